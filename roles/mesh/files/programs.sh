# shellcheck shell=sh
# Remove the programs of ours from a folder, and the folder if nothing is left in it. It may be
# one of others, too: what does not have the name of a build stays. Argument: the folder.
set -eu
cd "$1" 2>/dev/null || exit 0
build='./[0-9a-f]{64}'
find . -mindepth 2 -maxdepth 2 -regextype posix-extended -regex "$build/([.]wgmesh[.].*|wgmesh)" -delete
find . -mindepth 1 -maxdepth 1 -regextype posix-extended -regex "$build" -type d -empty -delete
rmdir -- "$PWD" 2>/dev/null || :
