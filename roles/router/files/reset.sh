# shellcheck shell=sh
# Take away what the roles router and routes put on a host beside what the modules make,
# and say a line for each thing that goes. What is not ours by its name stays. Needs no
# Python, may be cut off anywhere and run again. Arguments: CHECK ("True" only says what
# would go), and STATE:
#   ended   what runs, or could bring something back
#   absent  also the programs and the folders, which the modules need until they are done
# A third is the file of metrics that the mesh play writes, if any. With a fourth argument
# that folder stands for /, and programs are taken from PATH.
check=$1 state=$2 metrics=${3:-} root=${4:-}
set -eu
trap '' PIPE # what follows a line is done, whether or not anybody still listens

# does LINE COMMAND...
does() {
    printf '%s\n' "gone: $1" || :
    shift
    [ "$check" = True ] || "$@"
}

units=
for u in wgmesh-join.timer wgmesh-join.service wgmesh-host-key.service wgmesh-failover.service \
    wgmesh-health.socket wgmesh-metadata.service wgmesh-hostkeys.service; do
    # A unit without its file may still run. A join that is at work, or waits for its next
    # try, is "activating" and not enabled: it would put everything back.
    runs=$(systemctl is-active "$u" 2>/dev/null) || :
    on=$(systemctl is-enabled "$u" 2>/dev/null) || :
    case $runs:$on in
    *:enabled) does "unit $u" systemctl disable -q --now "$u" ;;
    inactive:* | failed:* | unknown:* | :*) continue ;;
    *) does "unit $u" systemctl stop "$u" ;;
    esac
    units="$units $u"
done
case $units in
*health*) [ "$check" = True ] || systemctl stop 'wgmesh-health@*.service' || true ;;
esac

for t in wgmesh_metadata wgmesh_health; do
    ! nft list table inet "$t" >/dev/null 2>&1 || does "table inet $t" nft delete table inet "$t"
done

# The account with our shell is ours. Its sessions end with it.
if grep -q '^wgmesh:.*:/usr/local/libexec/wgmesh-shell$' "$root/etc/passwd"; then
    [ "$check" = True ] || loginctl terminate-user wgmesh 2>/dev/null || true
    does 'account wgmesh' userdel --force wgmesh
fi

files='/etc/ssh/sshd_config.d/60-wgmesh.conf
/etc/sudoers.d/wgmesh
/etc/chrony/conf.d/50-wgmesh.conf
/usr/local/bin/wgmesh-cloud
/usr/local/libexec/wgmesh-cloud
/usr/local/libexec/wgmesh-gate
/usr/local/libexec/wgmesh-health.sh
/usr/local/libexec/wgmesh-sessions.sh
/usr/local/libexec/wgmesh-shell
/etc/systemd/system/nftables.service.d/60-wgmesh-health.conf
/etc/systemd/system/nftables.service.d/60-wgmesh-metadata.conf
/etc/systemd/system/user-*.slice.d/60-wgmesh.conf
/etc/systemd/system/wg-quick@.service.d/60-wgmesh-join.conf
/etc/systemd/system/wgmesh-failover.service
/etc/systemd/system/wgmesh-health.socket
/etc/systemd/system/wgmesh-health@.service
/etc/systemd/system/wgmesh-host-key.service
/etc/systemd/system/wgmesh-hostkeys.service
/etc/systemd/system/wgmesh-join.service
/etc/systemd/system/wgmesh-join.timer
/etc/systemd/system/wgmesh-metadata.service'
# Copies of routes that an adoption which was cut off has left (take.sh of the role mesh). One with
# this metric stands for a route by hand, which comes back.
uncopy() {
    family=$1 route=$2
    case $route in
    *' metric 50000'*)
        plain=$(printf '%s\n' "$route" | sed -E 's/ (metric|pref|error|expires) [^ ]+//g; s/ (linkdown|dead|offload|trap|rt_[a-z_]+)//g')
        # shellcheck disable=SC2086 # they are words
        ip "$family" route add $plain 2>/dev/null || :
        ;;
    esac
    ip "$family" route del "${route%% *}" proto 159
}

folders=
shared=
if [ "$state" = absent ]; then
    for family in -4 -6; do
        ip -o "$family" route show proto 159 | sed 's/\\/ /g' | while read -r route; do
            does "the copy of a route to ${route%% *}" uncopy "$family" "$route"
        done
    done
    if systemctl is-active -q wgmesh-taken.timer; then does 'unit wgmesh-taken.timer' systemctl stop wgmesh-taken.timer; fi
    files="$files
/usr/local/bin/wgmesh
/etc/wireguard/wgmesh-undo-last
$metrics"
    # What wgmesh join keeps where join.yml says so.
    kept=$(sed -n "s/^state_dir:[[:space:]]*[\"']\{0,1\}\(\/[^\"' ]*\).*/\1/p" "$root/etc/wgmesh/join.yml" 2>/dev/null) || :
    [ -z "$kept" ] || files="$files
$kept/inventory.json
$kept/inventory.found.json
$kept/missing
$kept/join.lock"
    folders="${kept:+$kept/ansible}"' /etc/wgmesh /var/lib/wgmesh /run/wgmesh-health /opt/wgmesh'
    # That of unpack.sh, which marks it. One that ansible-galaxy installed is its owner's.
    collection=/usr/share/ansible/collections/ansible_collections/wgmesh/router
    [ ! -e "$root$collection/.unpacked" ] || folders="$folders $collection"
    folders="$folders $collection.wgmesh-new $collection.wgmesh-old"
    # Those of others as well: they go when nothing is left in them.
    shared='/etc/wireguard/wgmesh-psk /etc/systemd/networkd.conf.d /etc/systemd/system/nftables.service.d
/etc/systemd/system/user-*.slice.d /etc/systemd/system/wg-quick@.service.d
/usr/share/ansible/collections/ansible_collections/wgmesh'"${kept:+ $kept}"
fi

removed=
for pattern in $files; do
    # And what a run that was cut off has left beside it, of put.sh, unpack.sh and Ansible.
    # shellcheck disable=SC2231 # of some, the folder is a pattern
    for path in "$root"$pattern "$root"$pattern.wgmesh-* "$root"$pattern.new "$root"${pattern%/*}/.ansible_tmp*"${pattern##*/}"; do
        if [ -e "$path" ] || [ -L "$path" ]; then
            removed="$removed $path"
            does "file ${path#"$root"}" rm -f "$path"
        fi
    done
done
if [ -n "$removed" ] && [ "$check" != True ]; then
    systemctl daemon-reload
    systemctl reset-failed 'wgmesh-*' 2>/dev/null || : # one that has failed stays in memory, without its file
    case $removed in
    */etc/ssh/*) systemctl try-reload-or-restart ssh.service sshd.service || true ;;
    esac
fi

# EL's chrony has no folder for files of others: the role adds three lines to its file.
conf=$root/etc/chrony.conf
if grep -qs '^# Written by the role wgmesh.router.router\.$' "$conf"; then
    does "lines in ${conf#"$root"}" sed -i -e '/^$/{$!N;/^\n# Written by the role wgmesh\.router\.router\.$/{$!N;d};P;D}' \
        -e '/^# Written by the role wgmesh\.router\.router\.$/{$!N;d}' "$conf"
fi

if [ "$state" = absent ]; then
    for path in "$root"/etc/wireguard/*.conf.by-hand*; do
        [ ! -e "$path" ] || printf '%s\n' "left: ${path#"$root"}, which an adoption or an undo put aside, with its keys"
    done
fi

for path in $folders; do
    [ ! -e "$root$path" ] || does "folder $path" rm -rf "$root$path"
    removed="$removed $root$path"
done
# What stays in a folder: in check mode without what would go, here or by the modules of this run.
stays() {
    find "$1" -mindepth 1 -maxdepth 1 | while IFS= read -r one; do
        case "$removed " in *" $one "*) continue ;; esac
        case $check${one#"$root"} in
        True/etc/wireguard/wgmesh-psk/[0-9]*.psk | True/etc/wireguard/wgmesh-psk/[0-9]*.json | True*/50-wgmesh.conf) ;;
        *) printf '%s\n' "$one" ;;
        esac
    done
}
for pattern in $shared; do
    for path in "$root"$pattern; do
        [ ! -d "$path" ] || [ -n "$(stays "$path")" ] || does "folder ${path#"$root"}" rmdir "$path"
    done
done
