#!/usr/bin/env bash
# All tests on this machine, and some of what asks the kernel something in a
# virtual machine with cgroup v2 (test/vm). With vm among the kinds in ANOLE_TEST
# that is all of it, with both kernels and both versions; make test-vm is that
# alone. Packages run one at a time where they share the
# node's cgroups. A test that skips must be on the list of this kind of machine in
# test/expected-skips; ANOLE_MACHINE=restricted names another list.
set -euo pipefail
cd "$(dirname "$0")/.."
go vet ./...
ANOLE_SKIPS=$(mktemp)
trap 'rm -f "$ANOLE_SKIPS"' EXIT
status=0

guests=0
how=-brief
case ,${ANOLE_TEST:-}, in *,vm,*) how= ;; esac
why=$(scripts/vm.sh setup 2>&1 | tee /dev/stderr) || guests=$?
case $guests in
  0) ;;
  6) printf 'test/vm\tmachines\tno_peer\tvirtual machines are not supported here: %s\n' "${why//$'\n'/ }" >>"$ANOLE_SKIPS" ;;
  *) status=1 ;;
esac

# The race detector needs cgo; the product does not.
export ANOLE_SKIPS ANOLE_TEST
all=$(go list ./...)
# What only computes goes beside its like, all else by itself.
CGO_ENABLED=1 go test -race -p 2 -timeout 15m $(grep /gm/ <<<"$all" | grep -v -e /enforce -e /module) || status=$?
CGO_ENABLED=1 go test -race -p 1 -timeout 15m $(grep -v /gm/ <<<"$all") ./gm/kern/ima/enforce ./gm/module || status=$?
# What allocates nothing by a pool shows that without the race detector alone.
find . -name alloc_test.go -not -path './.cache/*' -printf '%h\n' | xargs go test -run Allocations || status=$?
# shellcheck disable=SC2086
[ "$guests" -ne 0 ] || scripts/vm.sh test $how || status=$?
go run ./test/expected-skips -on "${ANOLE_MACHINE:-}" "$ANOLE_SKIPS" || status=$?
exit "$status"
