# shellcheck shell=sh
# Make sure that the router has an Ansible that this collection runs with: the
# distribution's, or where that is too old (Ubuntu 22.04) one of PyPI in a folder of
# its own, which wgmesh join looks into first. Arguments: that folder, and the oldest
# version that will do.
set -eu
venv=$1 oldest=${2:?the oldest version that will do}

# new_enough PROGRAM
new_enough() {
    version=$("$1" --version 2>/dev/null | sed -n '1s/.*\[core \([0-9]*\.[0-9]*\).*/\1/p')
    [ -n "$version" ] && [ "$(printf '%s\n' "$oldest" "$version" | sort -V | head -n 1)" = "$oldest" ]
}

if [ -e "$venv" ]; then
    new_enough "$venv/bin/ansible" && exit 0
elif new_enough ansible; then
    exit 0
fi

if command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    i='apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends python3-venv'
    $i || { dpkg --configure -a && $i; } || { apt-get update && $i; }
fi
rm -rf "$venv"
mkdir -p "${venv%/*}"
# pip chooses the newest that this Python can run.
if ! python3 -m venv "$venv" || ! "$venv/bin/pip" install --quiet "ansible-core>=$oldest"; then
    rm -rf "$venv"
    echo "ansible-core $oldest or newer is neither here nor to be had from PyPI for $(python3 --version 2>&1): put one into $venv" >&2
    [ "$oldest" = 2.14 ] || echo "older ones run what an inventory plugin finds, such as the tag of a VM, as a template" >&2
    exit 1
fi
echo installed
