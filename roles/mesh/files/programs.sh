# shellcheck shell=sh
# Remove the programs of ours from a folder, which may be one of others, too: what does not have
# the name of a build stays, and so does the folder unless it has our name. Argument: the folder.
set -eu
cd "$1" 2>/dev/null || exit 0
build='./[0-9a-f]{64}'
find . -mindepth 2 -maxdepth 2 -regextype posix-extended -regex "$build/([.]wgmesh[.].*|wgmesh)" -delete
find . -mindepth 1 -maxdepth 1 -regextype posix-extended -regex "$build" -type d -empty -delete
case $PWD in */wgmesh) rmdir -- "$PWD" 2>/dev/null || : ;; esac
