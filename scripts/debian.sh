# Debian packages unpacked beside the system instead of installed, for scripts
# that source this file. They set $dir, where the lists and archives are kept.

# archive: where this machine gets Debian from.
archive() {
  local found
  found=$(sed -nE 's/^(URIs:|deb( +\[[^]]*\])?) *(https?:[^ ]*\/debian)\/?( .*)?$/\3/p' \
    /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | sed -n 1p)
  echo "${found:-http://deb.debian.org/debian}"
}

# apt SUITE COMMAND…: apt-get or apt-cache that knows that suite alone.
apt() {
  local suite=$1 tool=$2 at=$dir/apt/$1
  shift 2
  mkdir -p "$at/lists/partial" "$at/cache/archives/partial"
  printf 'deb %s %s main\n' "$(archive)" "$suite" >"$at/sources.list"
  "$tool" -o Dir::Etc::sourcelist="$at/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State::lists="$at/lists" -o Dir::Cache="$at/cache" -o APT::Sandbox::User=root "$@"
}

# unpack SUITE PACKAGE INTO
unpack() {
  local work=$dir/apt/deb.$2
  rm -rf "$work"
  mkdir -p "$work" "$3"
  (cd "$work" && apt "$1" apt-get download -qq "$2" >/dev/null)
  dpkg-deb -x "$work"/*.deb "$3"
  rm -rf "$work"
}
