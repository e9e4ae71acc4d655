#!/usr/bin/env bash
# Runs each fuzz target of the repository for FUZZTIME.
set -euo pipefail
cd "$(dirname "$0")/.."
grep -rlE '^func Fuzz' --include='*_test.go' . | while read -r f; do
  for t in $(grep -ohE '^func (Fuzz[A-Za-z0-9_]+)' "$f" | awk '{print $2}'); do
    echo "== $(dirname "$f") $t"
    go test -run '^$' -fuzz "^$t\$" -fuzztime "${FUZZTIME:-30s}" "$(dirname "$f")"
  done
done
