#!/usr/bin/env bash
# Container runtimes for test/containers, once. runc and crun are installed
# from Debian 12; containerd is unpacked into .cache/containers and not
# installed, since the tests want two releases and no service:
#
#	1.6   containerd of Debian 12 (bookworm), without NRI
#	1.7   containerd of Debian 13 (trixie), with NRI
#
# With "guest" it fetches what the virtual machines of test/vm run instead: the
# same, with the runc and crun of the same release and their libraries.
#
# busybox, which the tests make their image of, is unpacked beside them. With
# ANOLE_DRY=1 it says what it would do and does not.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=$PWD/.cache/containers
# shellcheck source=scripts/debian.sh
. scripts/debian.sh

say() { printf 'containers: %s\n' "$*" >&2; }

missing=''
[ "${1:-}" = guest ] || for p in runc crun; do command -v "$p" >/dev/null || missing+="$p "; done
if [ -n "$missing" ]; then
  say "installing Debian packages: $missing"
  # shellcheck disable=SC2086
  [ -n "${ANOLE_DRY:-}" ] || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

# have NAME SUITE PACKAGE RELEASE: .cache/containers/NAME is that package.
have() {
  [ ! -e "$dir/$1/done" ] || return 0
  say "unpacking $3 $4 of $2"
  [ -z "${ANOLE_DRY:-}" ] || return 0
  rm -rf "${dir:?}/$1"
  [ -e "$dir/apt/$2.fresh" ] || { apt "$2" apt-get update -qq; touch "$dir/apt/$2.fresh"; }
  case $(apt "$2" apt-cache policy "$3" | sed -nE 's/^ *Candidate: //p') in
    $4*) ;;
    *) say "$2 has another $3 than $4"; return 1 ;;
  esac
  unpack "$2" "$3" "$dir/$1"
  touch "$dir/$1/done"
}

# low NAME SUITE: .cache/containers/NAME-low has the low-level runtimes.
low() {
  local out=$dir/$1-low p
  [ ! -e "$out/done" ] || return 0
  say "unpacking runc and crun of $2"
  [ -z "${ANOLE_DRY:-}" ] || return 0
  rm -rf "$out"
  for p in $(apt "$2" apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances runc crun |
    grep -E '^(runc|crun|lib[a-z0-9+-]+)$' | grep -vx libelogind0); do
    unpack "$2" "$p" "$out"
  done
  touch "$out/done"
}

have 1.6 bookworm containerd 1.6.
have 1.7 trixie containerd 1.7.
have busybox bookworm busybox-static 1:1.35.
if [ "${1:-}" = guest ]; then
  low 1.6 bookworm
  low 1.7 trixie
fi
