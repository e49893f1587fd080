#!/bin/sh
# Written by the Ansible module wgmesh.router.bird_config: wgmesh-floor.service runs it
# at boot with the list of networks to refuse.
#
# Of a list that breaks off, as a power cut leaves one, the whole lines count.
set -u
list=$1
breaks=
[ "$(tail -n 1 "$list" | tr -d '\000')" = '# end' ] || breaks=yes

# Without IPv6 nothing leaves by it.
family='.'
[ "$(cat /proc/sys/net/ipv6/conf/lo/disable_ipv6 2>/dev/null)" = 0 ] || family='\.'

lines=$(sed "${breaks:+\$d}" "$list" | tr -d '\000')

# The table of BIRD's that is for what the router itself sends (pkg/plan, OutsideTable).
own() {
  set -- "$1" rule show iif lo priority 32765 table 157157
  ip "$@" | grep -q . || ip "$1" rule add iif lo priority 32765 table 157157 || ip "$@" | grep -q .
}
wrong=
! echo "$lines" | grep -qx 0.0.0.0/0 || own -4 || wrong=yes
! echo "$lines" | grep -qx ::/0 || [ "$family" = '\.' ] || own -6 || wrong=yes

networks=$(echo "$lines" | grep -E '^[0-9a-f.:]+/[1-9][0-9]*$' | grep -e "$family")
echo "$networks" | sed 's/.\{1,\}/route replace unreachable & proto 157 metric 4294967295/' | ip -force -batch - ||
  # A replace fails where ours is there, and another one of that metric before it.
  for network in $networks; do
    case $network in *:*) v=-6 ;; *) v=-4 ;; esac
    ip $v route show exact "$network" type unreachable proto 157 | grep -q . || wrong=yes
  done
[ -z "$wrong" ] || exit 1
[ -z "$breaks" ] || { echo "<3>$list breaks off: run the mesh play"; exit 1; }
