#!/bin/sh
# Written by the Ansible module wgmesh.router.wg_tunnel, beside the drop-in of
# wg-quick@.service that runs it:
#
#   up NAME MARK  Before the interface comes up: a file that is missing or breaks
#                 off, as a power cut leaves one, is put back from its copy. On
#                 another machine than the one of MARK the tunnel stays down: of
#                 two machines with one disk's keys, the last to call would take
#                 the traffic of the first.
#   start NAME    Makes the interface, and nothing on it, for a wg_tunnel that does
#                 the rest at once; for anybody else it is wg-quick up, with the
#                 IPv4 addresses alone where IPv6 is off.
#   after NAME    Says so again when the interface is up, where systemctl status
#                 shows it: what wg-quick says comes in between.
#   reload NAME   "wg syncconf" would take the keys away, which are in files of
#                 their own; so it is refused for tunnels of ours.
#
# WireGuard interfaces of others are left to wg-quick.
set -u
verb=$1 name=$2 machine=${3:-}
file=${WGMESH_DIRECTORY:-/etc/wireguard}/$name.conf
copy=$file.good
note=${WGMESH_RUN:-/run/wgmesh}/put-back-$name

here() {
  printf 'wgmesh.router boot %s\n' "$(cat "${WGMESH_MACHINE_ID:-/etc/machine-id}")" | sha256sum | cut -d' ' -f1
}

whole() { [ -f "$1" ] && [ "$(tail -n 1 "$1" | tr -d '\000')" = '# end' ]; }

mark='# Managed by wgmesh.router'

# theirs tells a file that begins like none of ours, whole or broken off.
theirs() {
  first=$(head -n 1 "$1" 2>/dev/null | tr -d '\000')
  case $first in "$mark"*) return 1 ;; esac
  case $mark in "$first"*) return 1 ;; esac
}

up() {
  if [ ! -f "$copy" ] || theirs "$copy" || theirs "$file"; then return 0; fi
  if [ -n "$machine" ] && [ "$machine" != "$(here)" ]; then
    echo "<3>$name: stays down: the machine id changed since it was set up (a cloned disk?), and the machine before may still use its keys; the mesh play or wgmesh join makes new ones. Is the id new at each boot? mesh_bind_to_machine: false"
    return 255 # systemd: failed, and not only skipped
  fi
  whole "$file" && return 0
  if ! whole "$copy"; then
    echo "<3>$name: $file is damaged, and so is $copy: run the mesh play, or restore one of them"
    return 255
  fi
  kept=
  if [ -e "$file" ]; then
    mv -f "$file" "$file.damaged" || return 255
    kept=", the damaged file is kept as $file.damaged"
  fi
  # Under another name first, so that a second power cut leaves all or nothing.
  cp -p "$copy" "$copy.new" && sync "$copy.new" && mv -f "$copy.new" "$file" || return 255
  sync "${file%/*}"
  # shellcheck disable=SC2174 # what is above is there
  mkdir -p -m 0700 "${note%/*}"
  echo "<4>$name: $file was missing or broke off: put back from $copy$kept; the mesh play says whether it is current" | tee "$note"
}

start() {
  bare=${WGMESH_RUN:-/run/wgmesh}/bare
  # A wg_tunnel that was killed leaves the file, and its number goes to another process.
  if [ -f "$bare" ] && read -r run program names <"$bare" && [ "$(readlink "/proc/$run/exe")" = "$program" ]; then
    case " $names " in
    *" $name "*)
      ip link add dev "$name" type wireguard 2>/dev/null || exec wireguard-go "$name"
      return
      ;;
    esac
  fi
  usable
  exec wg-quick up "$usable"
}

# Where IPv6 is off wg-quick takes the interface away again at its first IPv6 address, so it gets a file without.
usable() {
  usable=$name
  if [ "$(cat "${WGMESH_IPV6:-/proc/sys/net/ipv6/conf/default/disable_ipv6}" 2>/dev/null)" = 0 ] || theirs "$file" ||
    ! grep -q '^Address = .*:' "$file" || ! grep -q '^Address = [0-9.]*/' "$file"; then
    return
  fi
  four=${WGMESH_RUN:-/run/wgmesh}/ipv4
  # shellcheck disable=SC2174 # what is above is for root alone, too
  (umask 077 && mkdir -p -m 0700 "$four" && grep -v '^Address = .*:' "$file" >"$four/$name.conf") || return
  usable=$four/$name.conf
  echo "<4>$name: IPv6 is off here, so it comes up without its IPv6 address: switch it on (net.ipv6.conf.default.disable_ipv6; ipv6.disable of the kernel)"
}

after() {
  [ -f "$note" ] || return 0
  cat "$note"
  rm -f "$note"
}

reload() {
  if head -n 1 "$file" | grep -q "^$mark"; then
    echo "<3>$name: not reloaded: the keys are not in $file, and a reload would take them away; the mesh play changes a tunnel without a cut, systemctl restart wg-quick@$name reads the file anew" >&2
    return 1
  fi
  exec /bin/bash -c 'exec wg syncconf "$0" <(exec wg-quick strip "$0")' "$name"
}

case $verb in
up | start | after | reload) "$verb" ;;
*)
  echo "expected up, start, after or reload, got $verb" >&2
  exit 255
  ;;
esac
