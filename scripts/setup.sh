#!/usr/bin/env bash
# Installs what a build (setup.sh go), the tests (setup.sh test), those in
# virtual machines alone (setup.sh vm) or the benches (setup.sh bench) need and is
# not there yet, from Debian's packages, and says so. The tests' tools are
# pinned to the releases of Debian 12; on other systems it names what is
# missing. With ANOLE_DRY=1 it says what it would install and does not.
set -euo pipefail
cd "$(dirname "$0")/.."

links=$PWD/.cache/bin # in front of make's PATH
wanted=$(awk '$1 == "go" { print $2; exit }' go.mod)
oldest=1.21 # from here on Go fetches by itself the release that go.mod names

say() { printf 'setup: %s\n' "$*" >&2; }

# --- packages -----------------------------------------------------------------

can_install() { command -v apt-get >/dev/null && { [ "$(id -u)" -eq 0 ] || [ -n "${ANOLE_DRY:-}" ]; }; }

# No service may start by being installed, and the ban ends however this ends.
ban_services() {
  [ ! -e /usr/sbin/policy-rc.d ] || return 0
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
  chmod +x /usr/sbin/policy-rc.d
}

refresh() { [ -n "${ANOLE_DRY:-}" ] || apt-get update -qq; }

install_packages() {
  if [ -n "${ANOLE_DRY:-}" ]; then
    say "would install Debian packages: $*"
    return 0
  fi
  say "installing Debian packages: $*"
  ban_services
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# --- Go -----------------------------------------------------------------------

# not_older A B: whether release A is B or later.
not_older() { [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }

# release GO: the release of that Go itself, nothing if it does not run.
release() {
  (cd / && GOTOOLCHAIN=local "$1" env GOVERSION) 2>/dev/null | sed -nE 's/^(devel )?go([0-9]+(\.[0-9]+)*).*/\2/p'
}

# builds GO: whether that Go builds this module, by itself or after it fetched
# the release that go.mod names.
builds() {
  local has
  has=$(release "$1") || true
  [ -n "$has" ] || return 1
  if not_older "$has" "$wanted"; then return 0; fi
  not_older "$has" "$oldest" || return 1
  GOTOOLCHAIN=${GOTOOLCHAIN:-auto} "$1" version >/dev/null
}

# link GO: make finds it from now on.
link() {
  say "using $1"
  if [ -n "${ANOLE_DRY:-}" ]; then return 0; fi
  mkdir -p "$links"
  ln -sfn "$1" "$links/go"
}

# packaged: the newest release of Go among the packages, as in golang-1.24-go,
# that can be of use.
packaged() {
  local v
  apt-cache pkgnames golang-1. 2>/dev/null | sed -nE 's/^golang-(1\.[0-9]+)-go$/\1/p' | sort -rV | while read -r v; do
    not_older "$v" "$oldest" || continue
    case $(apt-cache policy "golang-$v-go") in
      *'Candidate: (none)'*) ;;
      *) echo "$v" ;;
    esac
  done | sed -n 1p
}

no_go() {
  local proxy=${GOPROXY:-https://proxy.golang.org} code
  code=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release 2>/dev/null) || true
  say "$1"
  say "Needed is Go $wanted or later, or Go $oldest or later that reaches $proxy and fetches it from there."
  say "Install it from https://go.dev/doc/install and run make again."
  if command -v apt-get >/dev/null; then
    say "Or let this script install Debian's: run make as root, with backports among the sources of apt:"
    say "  echo 'deb http://deb.debian.org/debian ${code:-CODENAME}-backports main' >/etc/apt/sources.list.d/backports.list"
  fi
  exit 1
}

need_go() {
  local go has v packages
  PATH=$links:$PATH
  go=${GO:-go}
  if builds "$go"; then return 0; fi
  has=$(release "$go") || true
  [ "$go" = go ] || no_go "GO=$go ${has:+is Go $has and }does not build this."
  for go in /usr/local/go/bin/go $(printf '%s\n' /usr/lib/go-*/bin/go | sort -rV); do
    if builds "$go"; then link "$go"; return 0; fi
  done
  has=${has:+"Go $has is here and does not build this. "}
  can_install || no_go "${has}Not root, or no apt-get: nothing can be installed."
  refresh || say "apt-get update failed; trying what it knew before"
  v=$(packaged)
  [ -n "$v" ] || no_go "${has}The configured Debian packages have no Go $oldest or later."
  packages="golang-$v-go"
  [ -e /etc/ssl/certs/ca-certificates.crt ] || packages+=" ca-certificates"
  # shellcheck disable=SC2086
  install_packages $packages || no_go "${has}apt-get could not install $packages."
  go=/usr/lib/go-$v/bin/go
  [ -n "${ANOLE_DRY:-}" ] || builds "$go" || no_go "$go, just installed, could not fetch Go $wanted."
  link "$go"
}

# --- the tests' tools -----------------------------------------------------------

# Each line: a program that must be found, and the package that has it.
test_tools='gcc gcc
clang-14 clang-14
llvm-strip-14 llvm-14
promtool prometheus
chromium chromium
systemd-analyze systemd
tmux tmux
fio fio
redis-server redis-server
openssl openssl
redis-benchmark redis-tools
nginx nginx-light
wrk wrk
tcpdump tcpdump
qemu-x86_64-static qemu-user-static
sbsign sbsigntool
osslsigncode osslsigncode
pesign pesign
modinfo kmod
xz xz-utils
/usr/lib/systemd/boot/efi/systemd-bootx64.efi systemd-boot-efi
/usr/lib/linux-kbuild-6.1/scripts/sign-file linux-kbuild-6.1
cryptsetup cryptsetup-bin'
vm_tools='qemu-system-x86_64 qemu-system-x86'
bench_tools='pgbench postgresql
mysqlslap mariadb-client
mariadbd mariadb-server
haproxy haproxy
h2load nghttp2-client
tshark tshark
curl curl'

missing_packages() {
  local tool package
  while read -r tool package; do
    command -v "$tool" >/dev/null || printf '%s ' "$package"
  done <<<"$1"
  [ "$1" != "$test_tools" ] || [ -e /usr/include/bpf/bpf_helpers.h ] || printf 'libbpf-dev '
}

# need_tools LIST
need_tools() {
  local packages
  packages=$(missing_packages "$1")
  [ -n "$packages" ] || return 0
  if can_install; then
    # shellcheck disable=SC2086
    if refresh && install_packages $packages; then
      # The tests start what they need: no server from the next boot on.
      case $packages in *prometheus*) systemctl disable prometheus prometheus-node-exporter >/dev/null 2>&1 || true ;; esac
      case $packages in *redis-server*) systemctl disable redis-server >/dev/null 2>&1 || true ;; esac
      case $packages in *nginx*) systemctl disable nginx >/dev/null 2>&1 || true ;; esac
      case $packages in *postgresql*) systemctl disable postgresql >/dev/null 2>&1 || true ;; esac
      case $packages in *mariadb-server*) systemctl disable mariadb >/dev/null 2>&1 || true ;; esac
      case $packages in *haproxy*) systemctl disable haproxy >/dev/null 2>&1 || true ;; esac
      return 0
    fi
  fi
  say "not installed, the tests that need them skip: $packages"
}

# The container runtimes of test/containers.
need_containers() {
  if can_install && [ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ]; then
    if scripts/containers.sh; then return 0; fi
  fi
  say "no container runtimes, the tests that need them skip"
}

# Room gm's third parties of later releases.
need_peers() {
  if command -v dpkg-deb >/dev/null && scripts/peers.sh; then return 0; fi
  say "no programs of later releases, the tests that need them skip"
}

case "${1:-go}" in
  go) need_go ;;
  test) need_go; need_tools "$test_tools"; need_containers; need_peers ;;
  vm) need_go; need_tools "$vm_tools" ;;
  bench) need_go; need_tools "$test_tools"; need_tools "$bench_tools"; need_peers ;;
  *) say "usage: setup.sh go|test|vm|bench"; exit 2 ;;
esac
