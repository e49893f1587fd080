# shellcheck shell=sh
# Unpack the collection's tarball into a folder, unless it is what lies there, and
# put the programs of this machine in their places. Arguments: tarball, folder, where
# wgmesh goes, where wgmesh-cloud does.
set -eu
tarball=$1 dir=$2

case $(uname -m) in
x86_64) arch=amd64 ;;
aarch64) arch=arm64 ;;
*)
    echo "there is no build of wgmesh for $(uname -m)" >&2
    exit 1
    ;;
esac

umask 022
sum=$(sha256sum <"$tarball")
if [ "$(cat "$dir/.unpacked" 2>/dev/null)" != "$sum" ]; then
    # Beside it, since the collection may be the one that this play is of.
    rm -rf "$dir.wgmesh-new" "$dir.wgmesh-old"
    mkdir -p "$dir" "$dir.wgmesh-new"
    tar -xzf "$tarball" -C "$dir.wgmesh-new"
    sync -f "$dir.wgmesh-new" # before the mark: a power cut must not leave that over empty files
    printf '%s\n' "$sum" >"$dir.wgmesh-new/.unpacked"
    mv "$dir" "$dir.wgmesh-old"
    mv "$dir.wgmesh-new" "$dir"
    rm -rf "$dir.wgmesh-old"
    echo unpacked
fi
# put NAME PROGRAM
put() {
    ! cmp -s "$dir/plugins/plugin_utils/bin/$1_linux_$arch" "$2" || return 0
    install -D -m 0755 "$dir/plugins/plugin_utils/bin/$1_linux_$arch" "$2.new"
    sync "$2.new"
    mv -f "$2.new" "$2"
    sync "${2%/*}"
    echo unpacked
}
put wgmesh-cloud "$4" # first: `wgmesh join` starts it
put wgmesh "$3"
