#!/bin/sh
# Written by the Ansible module wgmesh.router.bird_config, beside the drop-in of
# BIRD's service that runs it before BIRD starts, and with the unit's name before it stops.
#
# BIRD deletes its routes in the kernel when it stops, and those that a killed one left when
# it starts, seconds before its sessions are back. They were right, so copies of them stay
# for half a minute. These are worse than every route of BIRD's and better than the floor
# (wgmesh-floor.service): they carry what would be refused, and nothing else.
#
# A configuration that BIRD refuses, or one of ours that breaks off, as a power
# cut leaves one, is put aside and replaced by the last one that the module
# wrote. One that somebody wrote by hand and BIRD accepts is left alone.
set -u
file=$1
good=$file.good

# why says in words what is wrong with a configuration, nothing if it is right.
why() {
  if [ ! -s "$1" ]; then
    echo 'missing or empty'
  elif [ -L "$1" ]; then
    echo 'a link'
  elif ! said=$(bird -p -c "$1" 2>&1); then
    echo "$said" | tail -n 1
  elif grep -q '^define wgmesh_config = ' "$1" && [ "$(tail -n 1 "$1" | tr -d '\000')" != '# end' ]; then
    echo 'breaks off'
  fi
}

# copies prints the commands for ip that copy the routes of a family.
copies() {
  ip "$1" route show proto bird 2>/dev/null |
    sed -n "/^[0-9a-f.:/]* via .* metric 4294967294\\( \\|\$\\)/{
      s/ \\(linkdown\\|dead\\|pref [a-z]*\\)//g
      s/ metric [0-9]*/ metric 4294967295/
      s/^\\([^ ]*\\)\\(.*\\)/route del \\1 proto 158\\nroute $2 \\1\\2 proto 158 $3/p
    }"
}

# keep copies all routes that there are, and has the copies taken away later.
keep() {
  four=$(copies -4 prepend '') six=$(copies -6 append 'pref high')
  [ -n "$four$six" ] || return
  echo "$four" | ip -4 -force -batch - 2>/dev/null
  echo "$six" | ip -6 -force -batch - 2>/dev/null
  systemctl -q stop wgmesh-kept.timer 2>/dev/null
  systemd-run -q --collect --unit=wgmesh-kept --on-active=30 --timer-property=AccuracySec=1 /bin/sh -c "$gone" && return
  sh -c "$gone"
}

# A change that waits would be lost. Of the names of the site's protocols, see ActHear.
reload() {
  if birdc configure status | grep -q unconfirmed; then
    echo 'a change waits for its confirmation; not reloaded' >&2
    exit 1
  fi
  if grep -q '^protocol static site[46]_' "$file"; then
    cp -pPT --remove-destination "$file" "$file.cand-again" &&
      sed -i 's/^\(protocol static site[46]_\)[^ ]*/\1again/' "$file.cand-again" &&
      birdc configure "\"$file.cand-again\""
    rm -f "$file.cand-again"
  fi
  exec birdc configure
}

gone='ip -4 route flush proto 158; ip -6 route flush proto 158'
[ $# != 3 ] || reload
if [ $# = 2 ]; then # one that only stops shall forward nothing
  if systemctl list-jobs --no-legend "$2" | grep -q ' restart '; then keep; else sh -c "$gone"; fi
  exit 0
fi
keep
[ -f "$good" ] || exit 0
wrong=$(why "$file")
[ -n "$wrong" ] || exit 0
if [ -n "$(why "$good")" ]; then
  echo "<3>$file cannot be used ($wrong), and neither can $good: run the mesh play"
  exit 0 # BIRD itself says the rest
fi
kept=
if [ -e "$file" ]; then
  mv -fT "$file" "$file.damaged" || exit 0
  kept=", it is kept as $file.damaged"
fi
# Under another name first, so that a second power cut leaves all or nothing. The
# folder is BIRD's and this is root: no link there is followed, neither one that is
# read nor one that is written to.
cp -pPT --remove-destination "$good" "$good.new" && sync "$good.new" && mv -fT "$good.new" "$file" || exit 0
sync "${file%/*}"
echo "<4>$file cannot be used ($wrong)$kept; BIRD starts with the last good one; the mesh play says whether it is current"
