#!/usr/bin/env bash
# All tests. Packages run one at a time where they share the node's cgroups.
set -euo pipefail
cd "$(dirname "$0")/.."
go vet ./...
export ANOLE_SKIPS
ANOLE_SKIPS=$(mktemp)
trap 'rm -f "$ANOLE_SKIPS"' EXIT
# The race detector needs cgo; the product does not.
CGO_ENABLED=1 go test -race -p 1 -timeout 15m ./...
if [ -s "$ANOLE_SKIPS" ]; then
  echo "skipped, with reasons:"
  sort -u "$ANOLE_SKIPS"
fi
