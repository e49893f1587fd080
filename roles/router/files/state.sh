# What the role router needs to know, one "name=value" a line. Reads only, needs
# no Python. Arguments: the apt packages, the dnf packages, the userspace WireGuard.
apt=$1 dnf=$2 userspace=$3

have() { command -v "$1" >/dev/null 2>&1; }

# A module that is not loaded yet counts: creating the first interface loads it.
# modinfo alone would miss a WireGuard that is built in.
if [ -d /sys/module/wireguard ] || modinfo wireguard >/dev/null 2>&1 ||
    grep -qs '/wireguard\.ko' "/lib/modules/$(uname -r)/modules.builtin"; then
    echo wireguard=kernel
    userspace=
else
    echo wireguard=userspace
fi

missing=
if have apt-get; then
    echo manager=apt
    for p in $apt $userspace; do
        dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
    done
elif have dnf; then
    echo manager=dnf
    for p in $dnf $userspace; do
        rpm -q --whatprovides "$p" >/dev/null 2>&1 || missing="$missing $p"
    done
else
    echo manager=none
fi
echo "missing=${missing# }"
echo "firewalld=$(systemctl is-enabled firewalld 2>/dev/null || true)"
echo "bird=$(systemctl is-enabled bird 2>/dev/null || true)"
