#!/bin/sh
# Written by the Ansible module wgmesh.router.bird_config, beside the drop-in of
# BIRD's service that runs it before BIRD starts.
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
