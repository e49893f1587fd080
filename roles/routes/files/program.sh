# shellcheck shell=sh
# program.sh CHECK PROGRAM FOLDER AMD64 ARM64: make PROGRAM the build of this
# machine, which lies in FOLDER under its hash, and say "changed" when it was none.
# With CHECK "True" only say so. A copy, since old builds are cleaned up in there. What somebody
# else put there does not become a program of root's.
check=$1 program=$2 dir=$3
case $(uname -m) in
x86_64) build=$4 ;;
aarch64) build=$5 ;;
*)
    echo "there is no build of wgmesh-cloud for $(uname -m)" >&2
    exit 1
    ;;
esac
# is FILE: whether that is the build. The folder may be one of others, too (wgmesh_remote_dir).
is() {
    [ -f "$1" ] || return 1
    case $(sha256sum <"$1") in "$build "*) ;; *) return 1 ;; esac
}
is "$program" && exit 0
echo changed
[ "$check" != True ] || exit 0
set -e
umask 022
new=$(mktemp "$program.wgmesh-XXXXXX")
trap 'rm -f "$new"' EXIT
cp "$dir/$build/wgmesh" "$new"
is "$new" || {
    echo "$dir/$build/wgmesh is another file than that build: see who wrote it, then remove it and run again" >&2
    exit 1
}
chmod 755 "$new"
sync "$new"
mv -f "$new" "$program"
