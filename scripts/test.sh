#!/usr/bin/env bash
# All tests on this machine. With vm among the kinds in ANOLE_TEST, what asks the
# kernel something runs in virtual machines with other kernels too (test/vm);
# make test-vm is that alone. Packages run one at a time where they share the
# node's cgroups. A test that skips must be on the list of this kind of machine in
# test/expected-skips; ANOLE_MACHINE=restricted names another list.
set -euo pipefail
cd "$(dirname "$0")/.."
go vet ./...
ANOLE_SKIPS=$(mktemp)
trap 'rm -f "$ANOLE_SKIPS"' EXIT
status=0

guests=1
case ,${ANOLE_TEST:-}, in
  *,vm,*)
    guests=0
    why=$(scripts/vm.sh setup 2>&1 | tee /dev/stderr) || guests=$?
    case $guests in
      0) ;;
      6) printf 'test/vm\tmachines\tno_peer\tvirtual machines are not supported here: %s\n' "${why//$'\n'/ }" >>"$ANOLE_SKIPS" ;;
      *) status=1 ;;
    esac
    ;;
esac

# The race detector needs cgo; the product does not.
export ANOLE_SKIPS ANOLE_TEST
CGO_ENABLED=1 go test -race -p 1 -timeout 15m ./... || status=$?
[ "$guests" -ne 0 ] || scripts/vm.sh test || status=$?
go run ./test/expected-skips -on "${ANOLE_MACHINE:-}" "$ANOLE_SKIPS" || status=$?
exit "$status"
