# shellcheck shell=sh
# Let chrony step the clock in its first three updates. The distributions'
# configurations do; an edited one may not.
if grep -qsE '^[[:space:]]*makestep[[:space:]]' /etc/chrony.conf /etc/chrony/chrony.conf /etc/chrony/conf.d/*.conf; then
    exit 0
elif [ -d /etc/chrony/conf.d ]; then # Debian, Ubuntu
    file=/etc/chrony/conf.d/50-wgmesh.conf
elif [ -e /etc/chrony.conf ]; then # EL, Fedora
    file=/etc/chrony.conf
else
    echo 'chrony: neither /etc/chrony/conf.d nor /etc/chrony.conf found' >&2
    exit 1
fi
printf '\n# Written by the role wgmesh.router.router.\nmakestep 1 3\n' >> "$file" && echo changed
