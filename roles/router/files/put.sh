# shellcheck shell=sh
# put.sh CHECK PATH CONTENT: make PATH a file of that content, in one step, and
# say "changed" when it was none. With CHECK "True" only say so.
check=$1 path=$2 content=$3
[ -e "$path" ] && [ "$(cat "$path")" = "$content" ] && exit 0
echo changed
[ "$check" != True ] || exit 0
set -e
umask 022
mkdir -p "${path%/*}"
new=$(mktemp "$path.XXXXXX")
printf '%s\n' "$content" > "$new"
chmod 644 "$new"
# A power cut leaves the old file or the new one, and none that is empty.
sync "$new"
mv -f "$new" "$path"
sync "${path%/*}"
