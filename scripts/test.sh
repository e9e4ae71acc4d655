#!/usr/bin/env bash
# All tests. Packages run one at a time where they share the node's cgroups. A
# test that skips must be on the list of this kind of machine in
# test/expected-skips; ANOLE_MACHINE=restricted names another list.
set -euo pipefail
cd "$(dirname "$0")/.."
go vet ./...
export ANOLE_SKIPS
ANOLE_SKIPS=$(mktemp)
trap 'rm -f "$ANOLE_SKIPS"' EXIT
# The race detector needs cgo; the product does not.
status=0
CGO_ENABLED=1 go test -race -p 1 -timeout 15m ./... || status=$?
go run ./test/expected-skips -on "${ANOLE_MACHINE:-}" "$ANOLE_SKIPS" || status=$?
exit "$status"
