#!/usr/bin/env bash
# Installs what a build (setup.sh go) or the tests (setup.sh test) need and is
# not there yet, from Debian's packages, and says so. Pinned to the releases of
# Debian 12; on other systems it names what is missing.
set -euo pipefail

say() { printf 'setup: %s\n' "$*" >&2; }

need_go() {
  if ! command -v go >/dev/null; then
    say "Go 1.26 or later is needed: https://go.dev/doc/install"
    exit 1
  fi
}

# Each line: a program that must be found, and the package that has it.
test_tools='gcc gcc
clang-14 clang-14
llvm-strip-14 llvm-14
promtool prometheus
chromium chromium
systemd-analyze systemd
tmux tmux'

missing_packages() {
  while read -r tool package; do
    command -v "$tool" >/dev/null || printf '%s ' "$package"
  done <<<"$test_tools"
  [ -e /usr/include/bpf/bpf_helpers.h ] || printf 'libbpf-dev '
}

install_packages() {
  local packages
  packages=$(missing_packages)
  [ -n "$packages" ] || return 0
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    say "not installed, the tests that need them skip: $packages"
    return 0
  fi
  say "installing Debian packages: $packages"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  # No service may start by being installed, and the ban ends however this ends.
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod +x /usr/sbin/policy-rc.d
  fi
  # shellcheck disable=SC2086
  apt-get install -y -qq --no-install-recommends $packages >/dev/null
}

need_go() {
  if ! command -v go >/dev/null; then
    say "Go 1.26 or later is needed: https://go.dev/doc/install"
    exit 1
  fi
}

# Each line: a program that must be found, and the package that has it.
test_tools='gcc gcc
clang-14 clang-14
llvm-strip-14 llvm-14
promtool prometheus
chromium chromium
systemd-analyze systemd
tmux tmux'

missing_packages() {
  while read -r tool package; do
    command -v "$tool" >/dev/null || printf '%s ' "$package"
  done <<<"$test_tools"
  [ -e /usr/include/bpf/bpf_helpers.h ] || printf 'libbpf-dev '
}

install_packages() {
  local packages
  packages=$(missing_packages)
  [ -n "$packages" ] || return 0
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    say "not installed, the tests that need them skip: $packages"
    return 0
  fi
  say "installing Debian packages: $packages"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  # No service may start by being installed.
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d.anole && chmod +x /usr/sbin/policy-rc.d.anole
  local held=
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    mv /usr/sbin/policy-rc.d.anole /usr/sbin/policy-rc.d
    held=yes
  else
    rm -f /usr/sbin/policy-rc.d.anole
  fi
  # shellcheck disable=SC2086
  apt-get install -y -qq --no-install-recommends $packages >/dev/null
  [ -z "$held" ] || rm -f /usr/sbin/policy-rc.d
}

need_go
case "${1:-go}" in
  go) ;;
  test) install_packages ;;
  *) say "usage: setup.sh go|test"; exit 2 ;;
esac
