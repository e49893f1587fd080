# shellcheck shell=sh
# What the role router needs to know, one "name=value" a line. Reads only, needs
# no Python. Arguments: the apt packages, the dnf packages, the userspace
# WireGuard, the units that must start at boot besides BIRD and chrony. Without chrony among
# the packages something else keeps the time, and chrony is let alone.
apt=$1 dnf=$2 userspace=$3 units=$4

have() { command -v "$1" >/dev/null 2>&1; }

# A module that is not loaded yet counts: creating the first interface loads it.
# modinfo alone would miss a WireGuard that is built in.
if [ -d /sys/module/wireguard ] || modinfo wireguard >/dev/null 2>&1 ||
    grep -qs '/wireguard\.ko' "/lib/modules/$(uname -r)/modules.builtin"; then
    echo wireguard=kernel
    userspace=
else
    echo wireguard=userspace
    if have wireguard-go; then userspace=; fi
fi

missing='' epel=''
if have apt-get; then
    echo manager=apt
    chrony=chrony
    installed() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }
    for p in $apt $userspace; do
        # A BIRD 3 does as well, and bird2 would take its place.
        if ! installed "$p" && { [ "$p" != bird2 ] || ! installed bird3; }; then missing="$missing $p"; fi
    done
elif have dnf; then
    echo manager=dnf
    chrony=chronyd
    for p in $dnf $userspace; do
        rpm -q --whatprovides "$p" >/dev/null 2>&1 || missing="$missing $p"
    done
    # EL's own packages have no BIRD. Fedora's have, and so may somebody's mirror.
    if ! grep -qx 'ID="\{0,1\}fedora"\{0,1\}' /etc/os-release; then
        case " $missing " in
            *' bird '*) dnf -q repoquery bird 2>/dev/null | grep -q . || epel=missing ;;
        esac
    fi
else
    echo manager=none
    chrony=chronyd
fi
case " $apt " in *' chrony '*) ;; *) [ "$chrony" != chrony ] || chrony='' ;; esac
case " $dnf " in *' chrony '*) ;; *) [ "$chrony" != chronyd ] || chrony='' ;; esac
echo "missing=${missing# }"
echo "epel=$epel"
echo "chrony=$chrony"

off=
for u in bird $chrony $units; do
    [ "$(systemctl is-enabled "$u" 2>/dev/null)" = enabled ] || off="$off $u"
done
echo "off=${off# }"
echo "firewalld=$(systemctl is-enabled firewalld 2>/dev/null || true)"

[ -z "$chrony" ] || grep -qsE '^[[:space:]]*makestep[[:space:]]' /etc/chrony.conf /etc/chrony/chrony.conf /etc/chrony/conf.d/*.conf &&
    echo makestep=yes || echo makestep=no

grep -qs '^# mesh: ' /etc/sysctl.d/99-zz-wgmesh.conf && echo profile=mesh || echo profile=none

# guarded NAME UNIT ACTIVE: how a unit is that has a table of nftables.
guarded() {
    if [ ! -e "/etc/systemd/system/$2" ]; then
        echo "$1=absent"
    elif systemctl -q is-active "$2" && nft list table inet "wgmesh_$1" >/dev/null 2>&1; then
        echo "$1=$3"
    else
        echo "$1=stopped"
    fi
}
guarded metadata wgmesh-metadata.service loaded
guarded health wgmesh-health.socket listening

[ -e /etc/systemd/system/wgmesh-join.timer ] && echo join=installed || echo join=absent
