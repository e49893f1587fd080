# shellcheck shell=sh
# put.sh CHECK PATH CONTENT [VALID [THEN]]: make PATH a file of that content, in one step,
# and say "changed" when it was none. With CHECK "True" only say so. The command VALID has
# to take the new file before, as its $1. THEN has whoever reads the file read it again. It
# is done here, whether or not anybody still listens: a run after one that was cut off in
# between would find the file as it should be, and leave it unread. Where THEN fails, a file
# beside PATH has the next run do all of it again.
check=$1 path=$2 content=$3 valid=${4:-} then=${5:-}
unread=$path.wgmesh-unread
trap '' PIPE
[ -e "$path" ] && [ ! -e "$unread" ] && [ "$(cat "$path")" = "$content" ] && exit 0
echo changed
[ "$check" != True ] || exit 0
set -e
umask 022
mkdir -p "${path%/*}"
new=$(mktemp "$path.wgmesh-XXXXXX")
printf '%s\n' "$content" > "$new"
chmod 644 "$new"
[ -z "$valid" ] || sh -c "$valid" valid "$new" || { rm -f "$new"; exit 1; }
# A power cut leaves the old file or the new one, and none that is empty.
sync "$new"
[ -z "$then" ] || : > "$unread"
mv -f "$new" "$path"
sync "${path%/*}"
[ -z "$then" ] || sh -c "$then"
rm -f "$unread"
