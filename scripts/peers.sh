#!/usr/bin/env bash
# Third parties of room gm, once: programs and libraries of later releases of Debian than
# the system's, unpacked into .cache/peers and not installed, each with the C library it
# was built for. .cache/peers/bin has a command for each program:
#
#	openssl-3.5     Debian 13        openssl-4.0   experimental
#	evmctl-1.4      Debian 12        evmctl-1.5    Debian 13
#	cksum-9.7       Debian 13        botan-3       sid
#
# and .cache/peers/gcrypt/root has libgcrypt of sid, for the benches' driver. With
# ANOLE_DRY=1 it says what it would do and does not.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=$PWD/.cache/peers
# shellcheck source=scripts/debian.sh
. scripts/debian.sh

say() { printf 'peers: %s\n' "$*" >&2; }

# release SUITE PACKAGE PREFIX: the newest release there that begins so.
release() {
  apt "$1" apt-cache madison "$2" | awk -F' *[|] *' -v p="$3" 'index($2, p) == 1 { print $2; exit }'
}

# have NAME PROGRAM SUITE:PACKAGE=PREFIX…: .cache/peers/NAME/root has those packages, and
# .cache/peers/bin/NAME runs its PROGRAM, unless that is "-".
have() {
  local name=$1 program=$2 p suite package prefix v
  shift 2
  [ ! -e "$dir/$name/done" ] || return 0
  say "unpacking $name"
  [ -z "${ANOLE_DRY:-}" ] || return 0
  rm -rf "${dir:?}/$name"
  for p in "$@"; do
    suite=${p%%:*} package=${p#*:} prefix=''
    case $package in *=*) prefix=${package#*=} package=${package%%=*} ;; esac
    [ -e "$dir/apt/$suite.fresh" ] || { refresh "$suite"; touch "$dir/apt/$suite.fresh"; }
    v=$(release "$suite" "$package" "$prefix")
    [ -n "$v" ] || { say "$suite has no $package $prefix"; return 1; }
    unpack "$suite" "$package=$v" "$dir/$name/root"
  done
  [ "$program" = - ] || wrap "$name" "$program"
  touch "$dir/$name/done"
}

# wrap NAME PROGRAM: .cache/peers/bin/NAME, with the C library beside it.
wrap() {
  local root=$dir/$1/root
  local lib=$root/usr/lib/x86_64-linux-gnu
  mkdir -p "$dir/bin"
  cat >"$dir/bin/$1.new" <<END
#!/bin/sh
export OPENSSL_MODULES='$lib/ossl-modules' OPENSSL_CONF="\${OPENSSL_CONF:-/dev/null}"
exec '$root/lib64/ld-linux-x86-64.so.2' --library-path '$lib:$root/lib/x86_64-linux-gnu' '$root$2' "\$@"
END
  chmod +x "$dir/bin/$1.new"
  [ -e "$root/lib64/ld-linux-x86-64.so.2" ] || {
    mkdir -p "$root/lib64"
    ln -sf "$(cd "$root" && find . -name ld-linux-x86-64.so.2 -type f | sed "s|^.|$root|" | sed -n 1p)" "$root/lib64/ld-linux-x86-64.so.2"
  }
  mv "$dir/bin/$1.new" "$dir/bin/$1"
}

[ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] || { say "for amd64 alone"; exit 1; }
mkdir -p "$dir"
have openssl-3.5 /usr/bin/openssl trixie:openssl=3.5 trixie:libssl3t64=3.5 trixie:libc6 trixie:zlib1g trixie:libzstd1
have openssl-4.0 /usr/bin/openssl experimental:openssl=4.0 experimental:libssl4=4.0 sid:libc6 sid:zlib1g sid:libzstd1
have evmctl-1.4 /usr/bin/evmctl bookworm:ima-evm-utils=1.4 bookworm:libimaevm2=1.4 bookworm:libssl3 bookworm:libkeyutils1 bookworm:libc6
have evmctl-1.5 /usr/bin/evmctl trixie:ima-evm-utils=1.5 trixie:libimaevm4=1.5 trixie:libssl3t64 trixie:libkeyutils1 trixie:libc6 trixie:zlib1g trixie:libzstd1
have cksum-9.7 /usr/bin/cksum trixie:coreutils=9.7 trixie:libssl3t64 trixie:libacl1 trixie:libattr1 trixie:libselinux1 trixie:libpcre2-8-0 trixie:libcap2 trixie:libsystemd0 trixie:libgmp10 trixie:libc6 trixie:zlib1g trixie:libzstd1
have botan-3 /usr/bin/botan sid:botan=3.13 sid:libbotan-3-13=3.13 sid:libc6 sid:libstdc++6 sid:libgcc-s1 sid:zlib1g sid:libbz2-1.0 sid:liblzma5 sid:libsqlite3-0 sid:libtspi1 sid:libssl3t64=3 sid:libzstd1
have gcrypt - sid:libgcrypt20=1.12 sid:libgcrypt20-dev=1.12 sid:libgpg-error0 sid:libgpg-error-dev sid:libc6
