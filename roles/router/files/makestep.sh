# shellcheck shell=sh
# Let chrony step the clock, unless its configuration says how: an edited one may not. At any
# time, which chrony's FAQ has for machines that may be suspended: one that comes back hours
# behind would be slewed for half a day, and peers refuse its handshakes meanwhile. The
# distributions allow the first three updates only. That is a line of theirs, read after
# Debian's conf.d, so it stays: the status says when a clock is wrong.
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
printf '\n# Written by the role wgmesh.router.router.\nmakestep 1 -1\n' >> "$file" && echo changed
