#!/bin/sh
# base.sh ROOT [SUITE]: a root file system of Debian or Ubuntu for the lab's hosts.
# It is cached by a hash of this file and the suite. The product's packages are not
# installed, but lie in apt's cache with everything they need, so that `apt-get
# install` works in there without a network.
set -eu
root=$1 suite=${2:-bookworm}
products="bird2 wireguard-tools wireguard-go nftables chrony sudo ansible-core"

# What a suite is made from. Ubuntu's keys are a package of Debian's, which apt
# fetches by Debian's keys; bookworm has none.
ubuntu_keys() {
  keys=$(mktemp -d)
  mkdir -p "$keys/lists/partial" "$keys/cache/archives/partial"
  chmod 755 "$keys"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main" > "$keys/sources"
  set -- -q -o "Dir::Etc::SourceList=$keys/sources" -o Dir::Etc::SourceParts=- -o "Dir::State::Lists=$keys/lists" \
    -o "Dir::Cache=$keys/cache" -o Acquire::Languages=none -o APT::Sandbox::User=root
  apt-get "$@" update
  (cd "$keys" && apt-get "$@" download ubuntu-keyring)
  dpkg-deb -x "$keys"/ubuntu-keyring_*.deb "$keys/files"
}
case $suite in
  bookworm | trixie) set -- ;;
  jammy | noble)
    ubuntu_keys
    set -- --components=main,universe --keyring="$keys/files/usr/share/keyrings/ubuntu-archive-keyring.gpg"
    ;;
  *)
    echo "base.sh: $suite: expected bookworm, trixie, jammy or noble" >&2
    exit 1
    ;;
esac

# Runs outside the new root, with the root as its only argument.
customize=$(mktemp)
trap 'rm -rf "$customize" ${keys:+"$keys"}' EXIT
cat > "$customize" <<END
#!/bin/sh
set -eu
unset LD_PRELOAD
chroot "\$1" apt-get clean
chroot "\$1" apt-get install -y -q --no-install-recommends --download-only $products
cd "\$1"
# One host key for all hosts of all labs: a known_hosts file of one line.
rm -f etc/ssh/ssh_host_*
chroot . ssh-keygen -q -t ed25519 -N "" -C lab -f /etc/ssh/ssh_host_ed25519_key
cat > etc/ssh/sshd_config.d/lab.conf <<CONF
HostKey /etc/ssh/ssh_host_ed25519_key
UseDNS no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
MaxSessions 100
MaxStartups 100:30:200
CONF
# What nobody waits for in a machine that lives for minutes.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \\
    e2scrub_all.timer e2scrub_reap.service fstrim.timer getty.target \\
    console-getty.service systemd-networkd.service systemd-resolved.service \\
    systemd-timesyncd.service systemd-udevd.service dev-hugepages.mount \\
    sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount; do
  ln -sf /dev/null "etc/systemd/system/\$unit"
done
mkdir -p etc/systemd/journald.conf.d
printf '[Journal]\nStorage=volatile\nRuntimeMaxUse=16M\n' > etc/systemd/journald.conf.d/lab.conf
echo 'LANG=C.UTF-8' > etc/default/locale
rm -f etc/resolv.conf etc/hostname
: > etc/machine-id
END
chmod +x "$customize"

eatmydata mmdebstrap --mode=root --variant=minbase \
  --aptopt='Acquire::Languages "none"' --dpkgopt=force-unsafe-io \
  --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --include=apt,systemd,systemd-sysv,dbus,openssh-server,openssh-sftp-server,iproute2,iputils-ping,iperf3,procps,kmod,sudo,dnsmasq-base \
  --skip=cleanup/apt/lists,cleanup/apt/cache \
  --customize-hook="$customize" "$@" "$suite" "$root"
# mmdebstrap writes these back after the hook.
rm -f "$root/etc/resolv.conf" "$root/etc/hostname"
: > "$root/etc/machine-id"
