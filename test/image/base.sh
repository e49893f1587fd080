#!/bin/sh
# base.sh OUT.qcow2: a machine as the clouds' images of Debian are (BIOS, grub, the
# cloud kernel, systemd-networkd, cloud-init, nobody may log in), made of Debian's
# packages alone, without a loop device and without a mount. Cached by test/image/run
# under a hash of this file.
set -eu
out=$1
work=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"

# Runs outside the new root, with the root as its only argument.
cat > "$work/customize" <<'END'
#!/bin/sh
set -eu
unset LD_PRELOAD
cd "$1"
echo '/dev/vda1 / ext4 defaults,noatime 0 1' > etc/fstab
mkdir -p boot/grub
cat > boot/grub/grub.cfg <<CONF
serial
terminal_input serial console
terminal_output serial console
set timeout=0
menuentry Debian {
  linux /vmlinuz root=/dev/vda1 ro console=ttyS0 quiet
  initrd /initrd.img
}
CONF
chroot . systemctl -q enable systemd-networkd systemd-resolved
ln -sf ../run/systemd/resolve/stub-resolv.conf etc/resolv.conf
echo 'locale: C.UTF-8' > etc/cloud/cloud.cfg.d/10-locale.cfg # the only one that is here
rm -f etc/ssh/ssh_host_* etc/hostname var/lib/dbus/machine-id
: > etc/machine-id
END
# A small initramfs: what this machine's disk needs, which qemu reads in seconds.
cat > "$work/initramfs" <<'END'
#!/bin/sh
set -eu
mkdir -p "$1/etc/initramfs-tools/conf.d"
printf 'MODULES=list\nCOMPRESS=lz4\n' > "$1/etc/initramfs-tools/conf.d/machine.conf"
printf 'virtio_pci\nvirtio_blk\next4\n' > "$1/etc/initramfs-tools/modules"
END
chmod +x "$work/customize" "$work/initramfs"

eatmydata mmdebstrap --mode=root --variant=minbase \
  --aptopt='Acquire::Languages "none"' --dpkgopt=force-unsafe-io \
  --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --include=systemd,systemd-sysv,systemd-resolved,dbus,udev,openssh-server,openssh-sftp-server,sudo,cloud-init,iproute2,iputils-ping,procps,kmod,ca-certificates,linux-image-cloud-amd64,initramfs-tools,lz4 \
  --essential-hook="$work/initramfs" --customize-hook="$work/customize" bookworm "$work/root.tar"
mkdir "$work/root"
tar -C "$work/root" -xf "$work/root.tar"
rm "$work/root.tar"
ln -sf ../run/systemd/resolve/stub-resolv.conf "$work/root/etc/resolv.conf"
rm -f "$work/root/etc/hostname" # mmdebstrap writes these back after the hook
: > "$work/root/etc/machine-id"

# One partition behind the first MiB, where grub goes.
truncate -s 4G "$work/disk"
echo 'start=2048,type=83,bootable' | /sbin/sfdisk -q "$work/disk"
/sbin/mke2fs -q -t ext4 -L root -d "$work/root" -E offset=1048576 "$work/disk" $((4095 * 1024))k
grub-mkimage -O i386-pc -p '(hd0,msdos1)/boot/grub' -o "$work/core.img" biosdisk part_msdos ext2 normal linux configfile serial terminal echo search test
dd if=/usr/lib/grub/i386-pc/boot.img of="$work/disk" bs=440 count=1 conv=notrunc status=none
dd if="$work/core.img" of="$work/disk" bs=512 seek=1 conv=notrunc status=none
qemu-img convert -O qcow2 "$work/disk" "$work/qcow2"
mv "$work/qcow2" "$out"
