#!/bin/sh
# extra.sh BASE DIR PACKAGE...: what installing these packages adds to a base, as the
# upper layer DIR/upper of an overlay. They come from the distribution's mirror.
set -eu
base=$1 dir=$2
shift 2
root=$dir/root
mkdir -p "$dir/upper" "$dir/work" "$root"
mount -t overlay extra -o "lowerdir=$base,upperdir=$dir/upper,workdir=$dir/work" "$root"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d" # nothing is started
chmod 755 "$root/usr/sbin/policy-rc.d"
export DEBIAN_FRONTEND=noninteractive
install="apt-get install -y -q --no-install-recommends -o APT::Keep-Downloaded-Packages=false $*"
chroot "$root" sh -c "$install || { apt-get update -q && $install; }" >&2
if [ -d "$root/etc/NetworkManager" ]; then # it would take the lab's own interface
  printf '[keyfile]\nunmanaged-devices=interface-name:mgmt0\n' > "$root/etc/NetworkManager/conf.d/10-lab.conf"
fi
rm "$root/usr/sbin/policy-rc.d" "$root/etc/resolv.conf"
umount "$root/dev" "$root/proc" "$root"
find "$dir/upper/var/cache/apt" -name '*.deb' -type f -delete # those of the base stay in the base
