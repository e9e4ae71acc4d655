#!/usr/bin/env bash
# Installs the binary, its link sm3sum, man pages, completion and the systemd unit.
# PREFIX (default /usr/local) and DESTDIR are honoured; `scripts/install.sh
# remove` takes it all away again.
set -euo pipefail
cd "$(dirname "$0")/.."
root="${DESTDIR:-}${PREFIX:-/usr/local}"
unit="${DESTDIR:-}/etc/systemd/system/anole.service"
if [ "${1:-}" = remove ]; then
  if [ -z "${DESTDIR:-}" ] && command -v systemctl >/dev/null; then
    systemctl disable --now anole 2>/dev/null || true
  fi
  if [ -x "$root/bin/anole" ] && ! "$root/bin/anole" revert; then
    echo "not removed: the node could not be put back, see above" >&2
    exit 1
  fi
  if [ "$(readlink "$root/bin/sm3sum")" = anole ]; then
    rm -f "$root/bin/sm3sum"
  fi
  rm -f "$root/bin/anole" "$unit" "$root"/share/man/man1/anole*.1 "$root/share/bash-completion/completions/anole"
  if [ -z "${DESTDIR:-}" ] && command -v systemctl >/dev/null; then
    systemctl daemon-reload || true
  fi
  echo "removed; configuration and state in /etc/anole and /var/lib/anole were left"
  exit 0
fi
install -D -m 0755 bin/anole "$root/bin/anole"
if [ ! -e "$root/bin/sm3sum" ] || [ "$(readlink "$root/bin/sm3sum")" = anole ]; then
  ln -sfn anole "$root/bin/sm3sum"
else
  echo "there is another $root/bin/sm3sum: it stays" >&2
fi
install -d "$root/share/man/man1" "$root/share/bash-completion/completions" "$(dirname "$unit")"
bin/anole gen man "$root/share/man/man1"
bin/anole completion bash >"$root/share/bash-completion/completions/anole"
sed "s#/usr/bin/anole#${PREFIX:-/usr/local}/bin/anole#" deploy/systemd/anole.service >"$unit"
echo "installed in $root; start it: systemctl enable --now anole"
