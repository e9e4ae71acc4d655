#!/usr/bin/env bash
# Virtual machines for tests of the real kernel.
#
#	vm.sh setup    fetch Debian's kernels and busybox, install QEMU, once
#	vm.sh test [-on "6.1 v1,6.12 v2"] [GO TEST'S FLAGS AND PACKAGES…]
#	               run tests in virtual machines, by default what needs a kernel in all
#	vm.sh with [-kernel 6.1] [-cgroup v2] -- COMMAND
#	               run a command that uses one machine: go test -exec "$PWD/bin/vm/exec" -v -run X ./qos
#
# The exit code is 6 where there is no QEMU or kernel to be had. A package is
# unpacked here and not installed, so that it touches nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=$PWD/.cache/vm
unsupported=6 # exit code: this node cannot have them
# kernel series, the suite that has it
kernels='6.1 bookworm
6.12 trixie'

say() { printf 'vm: %s\n' "$*" >&2; }

# shellcheck source=scripts/debian.sh
. scripts/debian.sh

# --- setup ------------------------------------------------------------------------

# kernel SERIES SUITE: $dir/SERIES/vmlinuz and lib/modules, as installed and
# with what depmod tells of them.
kernel() {
  local series=$1 suite=$2 out=$dir/$1 tree=$dir/apt/tree new=$dir/$1/new name
  [ ! -e "$out/lib" ] || return 0
  lists "$suite"
  name=$(apt "$suite" apt-cache depends linux-image-cloud-amd64 | sed -nE 's/^ *Depends: (linux-image-[0-9].*-cloud-amd64)$/\1/p' | sed -n 1p)
  case $name in
    "linux-image-$series"[.+-]*) ;;
    *) say "$suite has ${name:-no kernel}, not Linux $series"; return 1 ;;
  esac
  say "fetching Debian's $name"
  rm -rf "$tree" "$new"
  unpack "$suite" "$name" "$tree"
  mkdir -p "$new/lib"
  mv "$(find "$tree" -path '*lib/modules' -type d)" "$new/lib/"
  find "$new" -name '*.ko.xz' -exec "$dir/busybox" unxz {} +
  "$dir/busybox" depmod -b "$new" "${name#linux-image-}"
  cp "$tree"/boot/vmlinuz-* "$out/vmlinuz"
  mv "$new/lib" "$out/" # last: what is there is whole
  rm -rf "$tree" "$new"
}

# lists SUITE: what the archive has now.
lists() {
  refresh "$1" || { say "$(archive) does not tell what is in $1; is this machine offline?"; exit "$unsupported"; }
}

busybox() {
  [ ! -e "$dir/busybox" ] || return 0
  lists bookworm
  unpack bookworm busybox-static "$dir/apt/tree"
  cp "$dir/apt/tree/bin/busybox" "$dir/busybox.new"
  mv "$dir/busybox.new" "$dir/busybox"
  rm -rf "$dir/apt/tree"
}

setup() {
  local series suite
  mkdir -p "$dir"
  exec 9>"$dir/lock"
  flock 9 # trees may share what is fetched
  scripts/setup.sh vm
  command -v qemu-system-x86_64 >/dev/null || { say "QEMU is not installed"; exit "$unsupported"; }
  busybox
  while read -r series suite; do kernel "$series" "$suite"; done <<<"$kernels"
  scripts/containers.sh guest || say "no container runtimes for the machines: what needs them fails there"
  exec 9>&-
}

# --- test -------------------------------------------------------------------------

tools() {
  local tool
  for tool in guest exec "$@"; do CGO_ENABLED=0 go build -o "bin/vm/$tool" "./test/vm/$tool"; done
}

case "${1:-}" in
  setup) setup ;;
  test)
    shift
    setup
    tools matrix
    CGO_ENABLED=0 go build -o bin/vm/anole ./cmd/anole
    exec bin/vm/matrix -dir "$dir" "$@"
    ;;
  with)
    shift
    setup
    tools with
    exec bin/vm/with -dir "$dir" "$@"
    ;;
  *) sed -nE '2,/^set/ { s/^# ?//p }' "$0" >&2; exit 2 ;;
esac
