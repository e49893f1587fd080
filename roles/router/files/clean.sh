# shellcheck shell=sh
# Removes what a machine must not share with the others of its image. Needs no
# Python. The connection that runs this lives on, and so do new commands on it:
# sshd has loaded its keys. A new connection is refused until the next boot.

# Nothing writes again on the way down. What is in /run is in no image.
mkdir -p /run/systemd/journald.conf.d /run/systemd/system/systemd-random-seed.service.d
printf '[Journal]\nStorage=volatile\n' > /run/systemd/journald.conf.d/zz-wgmesh-image.conf
printf '[Service]\nExecStop=\n' > /run/systemd/system/systemd-random-seed.service.d/zz-wgmesh-image.conf
# Sessions are noted as they open, and the last one is still to come. This is after
# all of them, on the way down.
cat > /run/systemd/system/wgmesh-image-end.service <<END
[Unit]
Description=Remove what was noted since the image was cleaned
RequiresMountsFor=/var/log /var/tmp
Before=systemd-user-sessions.service ssh.service sshd.service wtmpdb-update-boot.service systemd-update-utmp.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecStop=/bin/sh -c 'find /var/log -xdev ! -type d -exec rm -f {} +; rm -rf /root/.bash_history /home/*/.bash_history'
END
systemctl daemon-reload
systemctl start wgmesh-image-end
systemctl restart systemd-journald
for unit in apt-daily.timer apt-daily-upgrade.timer apt-daily.service apt-daily-upgrade.service dnf-makecache.timer \
    logrotate.timer unattended-upgrades.service syslog.socket rsyslog.service chrony.service chronyd.service; do
    systemctl stop "$unit" 2>/dev/null
done
[ ! -x /sbin/auditd ] || service auditd stop >/dev/null 2>&1 # systemd must not stop it

# Packages.
if command -v apt-get >/dev/null; then
    apt-get clean
    rm -rf /var/lib/apt/lists/*
fi
if command -v dnf >/dev/null; then
    dnf -q clean all >/dev/null 2>&1
    rm -rf /var/cache/dnf/* /var/cache/yum/*
fi

# What cloud-init knows of this instance. A seed that the base image has stays.
if [ -d /var/lib/cloud ]; then
    find /var/lib/cloud -mindepth 1 -maxdepth 1 ! -name seed -exec rm -rf {} +
fi
# Its network stays where it will write none again: nobody else would, either.
cd /
why=$(unwritten)
for file in /etc/netplan/50-cloud-init.yaml /etc/network/interfaces.d/50-cloud-init* /etc/systemd/network/10-cloud-init-* \
    /etc/NetworkManager/system-connections/cloud-init-*.nmconnection; do
    if [ -z "$why" ]; then rm -f "$file"; elif [ -e "$file" ]; then echo "kept: $file: $why"; fi
done

# What this machine has learnt and noted.
rm -rf /var/lib/dhcp/* /var/lib/dhclient/* /var/lib/chrony/* /var/lib/NetworkManager/*lease* \
    /var/lib/NetworkManager/secret_key /var/lib/systemd/random-seed /var/lib/urandom/random-seed \
    /var/lib/systemd/credential.secret /etc/udev/rules.d/70-persistent-net.rules
find /var/log -xdev ! -type d -exec rm -f {} +
rm -rf /var/log/journal/*
find /tmp /var/tmp -xdev -mindepth 1 -maxdepth 1 -exec rm -rf {} +

# By what it is known, and who may come in. The distribution's first boot, or
# wgmesh-hostkeys.service, makes new host keys.
for home in /root /home/*; do
    for name in .ssh/authorized_keys .ssh/authorized_keys2 .ssh/known_hosts .ansible \
        .bash_history .ash_history .zsh_history .python_history .lesshst .viminfo .wget-hsts; do
        rm -rf "${home:?}/$name"
    done
done
rm -f /etc/ssh/ssh_host_*
[ ! -f /var/lib/dbus/machine-id ] || [ -L /var/lib/dbus/machine-id ] || ln -sf /etc/machine-id /var/lib/dbus/machine-id
: > /etc/machine-id
sync
