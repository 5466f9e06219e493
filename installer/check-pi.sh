#!/bin/sh
# Says whether sensorlog-agent can run on this machine, and which file is the right one. Changes nothing.
#   sh check-pi.sh        ends with 0 when it can, with 1 when it can't
set -u
failed=0
ok() { echo "ok       $1"; }
no() {
  echo "NOT OK   $1"
  echo "         $2"
  failed=1
}

machine=$(uname -m)
bits=$(getconf LONG_BIT 2>/dev/null || echo unknown)
# a 64-bit kernel may carry a 32-bit system, as some Raspberry Pi OS do
case "$machine/$bits" in
  aarch64/64 | arm64/64) ok "64-bit ARM: take sensorlog-agent-aarch64-unknown-linux-gnu" ;;
  x86_64/64) ok "64-bit PC: take sensorlog-agent-x86_64-unknown-linux-gnu" ;;
  */32) no "this is a 32-bit system ($machine)" "install the 64-bit Raspberry Pi OS (Pi 3, 4, 5, Zero 2 W) or a 64-bit Debian" ;;
  *) no "there is no binary for $machine" "a 64-bit ARM or PC is needed" ;;
esac

id=unknown
name=unknown
version=
if [ -r /etc/os-release ]; then
  id=$(. /etc/os-release && echo "${ID:-unknown}")
  name=$(. /etc/os-release && echo "${PRETTY_NAME:-$id}")
  version=$(. /etc/os-release && echo "${VERSION_ID:-}")
fi
case "$id" in
  debian | raspbian)
    if [ -n "$version" ] && [ "${version%%.*}" -lt 12 ]; then
      no "$name is too old" "upgrade it to Debian 12 or 13"
    else
      ok "$name"
    fi
    ;;
  *) echo "?        $name: made for Debian 12 and 13 and Raspberry Pi OS; others are not tested" ;;
esac

if [ -d /run/systemd/system ]; then
  ok "systemd runs"
else
  no "systemd does not run here" "the service needs it; sensorlog-agent run works without"
fi

free=$(df -Pk /usr/local/bin 2>/dev/null | awk 'NR == 2 { print int($4 / 1024) }')
if [ "${free:-0}" -ge 128 ]; then
  ok "$free MiB are free for the binary"
else
  no "${free:-0} MiB are free in /usr/local/bin, and 128 are needed" "make room, such as with apt-get clean"
fi

exit "$failed"
