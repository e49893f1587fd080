# shellcheck shell=sh
# program.sh CHECK PROGRAM FOLDER AMD64 ARM64: make PROGRAM the build of this
# machine, which lies in FOLDER under its hash, and say "changed" when it was none.
# With CHECK "True" only say so. A copy, since old builds are cleaned up in there.
check=$1 program=$2 dir=$3
case $(uname -m) in
x86_64) build=$4 ;;
aarch64) build=$5 ;;
*)
    echo "there is no build of wgmesh-cloud for $(uname -m)" >&2
    exit 1
    ;;
esac
cmp -s "$dir/$build/wgmesh" "$program" && exit 0
echo changed
[ "$check" != True ] || exit 0
set -e
umask 022
new=$(mktemp "$program.wgmesh-XXXXXX")
trap 'rm -f "$new"' EXIT
cp "$dir/$build/wgmesh" "$new"
chmod 755 "$new"
sync "$new"
mv -f "$new" "$program"
