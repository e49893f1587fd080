# shellcheck shell=sh
# Hand what people made by hand on this router over to a mesh, so that its modules find
# what they would have made. Nothing that runs is stopped, and no key leaves the host.
#   take CHECK MESH INTERFACE:NUMBER...
#     The private key of the interfaces becomes that of the router, their pre-shared keys
#     those of the tunnels with these numbers, and their wg-quick files get the mark of the
#     mesh; the former ones stay beside them, as .by-hand. Routes get a copy that stands
#     before them: as soon as the first router has its new BIRD, those of the others change.
#     So they do where nothing else is to take, while bird.conf is not the mesh's.
#   free CHECK
#     Once BIRD is at rest, a copy goes where it has a route of the mesh in its place.
# With CHECK=True it only says what would be done. Says a line for each thing, and in the
# end "refused: ..." for what cannot be. May be cut off and run again. Needs no Python.
verb=$1 check=$2
shift 2
dir=${WGMESH_DIRECTORY:-/etc/wireguard}
key=$dir/wgmesh.key
psk=$dir/wgmesh-psk
thaw=${WGMESH_THAW:-/run/wgmesh/taken}
bird=${WGMESH_BIRD:-/etc/bird/bird.conf /etc/bird.conf}
mark='# Managed by wgmesh.router'
copies=159         # the protocol of the copies, in the kernel
worse=50000        # their metric where nothing stays that they have to stand before
last=4294967294    # that of the mesh's BIRD
frozen=1800        # seconds, after which BIRD has its way where a run went no further
# Seconds. So long, a session that BIRD by hand began can be in the way of the mesh's: then
# the mesh's BIRD, which hears nothing of it, ends both (startup hold time).
rest=${WGMESH_REST:-30}
set -eu
umask 077

refuse() {
    printf 'refused: %s\n' "$1"
    exit 1
}

# does LINE COMMAND...
does() {
    printf 'took: %s\n' "$1"
    shift
    [ "$check" = True ] || "$@"
}

ours() {
    case $(head -n 1 "$dir/$1.conf" 2>/dev/null) in "$mark"*) return 0 ;; esac
    return 1
}

# The BIRD of the mesh names its file there (plan.BirdStamp).
# shellcheck disable=SC2086 # they are words
birds() { grep -qs '^define wgmesh_config = ' $bird; }

# put FILE: what comes in, whole or not at all. A FILE.new may be somebody's draft.
put() { cat >"$1.wgmesh" && sync "$1.wgmesh" && mv -f "$1.wgmesh" "$1"; }

# A key is as old as the file that has it, which is not yet another.
take_key() {
    wg show "$1" private-key | put "$key"
    [ ! -f "$dir/$1.conf" ] || touch -r "$dir/$1.conf" "$key"
}

take_psk() {
    mkdir -p "$psk"
    wg show "$1" preshared-keys | cut -f 2 | put "$psk/$2.psk"
}

# keep FILE: a copy beside it, whole or not at all. Another one that is there is of an earlier
# time, or of a run that was cut off.
keep() {
    copy=$1.by-hand
    if [ -e "$copy" ] && ! cmp -s "$1" "$copy"; then mv -f "$copy" "$copy-$(sha256sum <"$copy" | cut -c -8)"; fi
    cp -p "$1" "$copy.wgmesh" && sync "$copy.wgmesh" && mv -f "$copy.wgmesh" "$copy" && sync "$dir"
}

# The keys go out of the file. Hooks read them from theirs, as in a file of wg_tunnel.
take_file() {
    keep "$dir/$1.conf"
    awk -v first="$mark (taken over)." -v mesh="$mesh" -v key="$key" -v psk="$psk/$2.psk" '
        {
            line = $0; sub(/#.*/, "", line)
            name = tolower(line); sub(/=.*/, "", name); gsub(/[ \t]/, "", name)
        }
        name == "publickey" { peer = line; sub(/^[^=]*=/, "", peer); gsub(/[ \t\r]/, "", peer) }
        name == "presharedkey" { shared = 1; next }
        name == "saveconfig" { next }
        name == "privatekey" { at = NR }
        { text[NR] = $0 }
        END {
            print first; print "# mesh: " mesh
            for (n = 1; n <= NR; n++) {
                if (n == at && shared) print "PostUp = wg set %i peer " peer " preshared-key " psk
                if (n == at) print "PostUp = wg set %i private-key " key
                else if (n in text) print text[n]
            }
            print "# end"
        }
    ' "$dir/$1.conf" | put "$dir/$1.conf"
}

# words LINE: those of a route that its copy has as well.
words() {
    printf '%s\n' "$1" | sed -E 's/\\/ /g; s/ (proto|metric|pref|error|expires) [^ ]+//g; s/ (linkdown|dead|offload|trap|rt_[a-z_]+)\b//g'
}

# Copies stand before the routes of BIRD, by hand or of the mesh, so each gets out of the way of
# one that is there later if nobody else sees to it. Where there is none it is the only way.
freeze() {
    mkdir -p "${thaw%/*}"
    put "$thaw" <<END
for family in -4 -6; do
    ip -o \$family route show table main proto $copies | grep -v ' metric $worse ' | while read -r to _; do
        ip -o \$family route show table main exact "\$to" | grep -qvE '^(unreachable|blackhole|prohibit|throw) | proto $copies | dead ' || continue
        ip \$family route del "\$to" proto $copies
    done
done
END
    systemctl -q stop wgmesh-taken.timer 2>/dev/null || true
    systemd-run -q --collect --unit=wgmesh-taken --on-active="$frozen" --on-unit-active=300 /bin/sh "$thaw" 2>/dev/null || true
}

copy_routes() {
    [ "$check" = True ] || freeze
    for family in -4 -6; do
        ip -o "$family" route show table main | while read -r route; do
            case $route in
            *" proto kernel"* | *" proto ra"* | *" proto $copies "* | "fe80::"* | unreachable* | blackhole* | prohibit*) continue ;;
            *" proto bird "*) by=bird ;;
            *) by=other ;;
            esac
            dev=${route#* dev }
            dev=${dev%% *}
            case $by" $names " in other*" $dev "* | bird*) ;; *) continue ;; esac
            metric=$(printf '%s\n' "$route" | sed -nE 's/.* metric ([0-9]+).*/\1/p')
            at=$worse
            [ "$by" = other ] || [ "${metric:-0}" -eq 0 ] || at=$((metric - 1))
            # shellcheck disable=SC2046 # they are words
            set -- $(words "$route")
            does "the route to $1 by $dev" ip "$family" route add "$@" proto "$copies" metric "$at" 2>/dev/null || true
            # What stays of BIRD's is BIRD's; any other would stand before the mesh's.
            if [ "$by" = other ] && [ "$check" != True ]; then
                ip "$family" route del "$@" ${metric:+metric "$metric"}
            fi
        done
    done
}

# swallows INTERFACE: reports whether wg-quick, or somebody like it, sends everything there by rules
# that ask for no mark. They and the mark stay, and the mesh takes /0 out of the AllowedIPs.
swallows() { [ "$(wg show "$1" fwmark)" != off ] && wg show "$1" allowed-ips | grep -qE '[[:space:]](0\.0\.0\.0|::)/0'; }

take() {
    mesh=$1 own='' names='' left=''
    shift
    for pair in "$@"; do
        name=${pair%:*}
        if ! wg show "$name" private-key >/dev/null 2>&1; then continue; fi
        names="$names $name"
        public=$(wg show "$name" public-key)
        : "${own:=$public}"
        [ "$own" = "$public" ] || refuse "$name has another private key than the others: end it, or leave it out of mesh_links"
        ! ours "$name" || continue
        [ "$(wg show "$name" peers | wc -l)" -eq 1 ] || refuse "$name has not one peer: leave it out of mesh_links"
        ! swallows "$name" || refuse "$name has AllowedIPs /0 and a FwMark: policy rules send all into it, and the mesh lets no such in: \
give it the sites' networks first"
    done
    if [ -z "$own" ]; then
        :
    elif [ -e "$key" ]; then
        [ "$(wg pubkey <"$key")" = "$own" ] || refuse "$key is another key than that of$names: move it away if no tunnel of a mesh uses it"
    else
        does "the private key of ${names##* }" take_key "${names##* }"
    fi
    for pair in "$@"; do
        name=${pair%:*} number=${pair##*:}
        case " $names " in *" $name "*) ;; *) continue ;; esac
        ours "$name" && continue
        left=yes
        shared=$(wg show "$name" preshared-keys | cut -f 2)
        [ "$shared" = '(none)' ] || [ -e "$psk/$number.json" ] || does "the pre-shared key of $name" take_psk "$name" "$number"
        shared=
    done
    if [ -n "$left" ] || ! birds; then copy_routes; fi
    for pair in "$@"; do
        name=${pair%:*} number=${pair##*:}
        ours "$name" || [ ! -f "$dir/$name.conf" ] || does "$dir/$name.conf" take_file "$name" "$number"
    done
}

# free_routes: reports whether none is left.
free_routes() {
    for family in -4 -6; do
        ip -o "$family" route show table main proto "$copies" | while read -r to _; do
            ip "$family" route show table main exact "$to" | grep -v '^unreachable' | grep -q -e " metric $last" -e ' proto kernel ' || continue
            ip "$family" route del "$to" proto "$copies" && printf 'freed: %s\n' "$to"
        done
    done
    ! copied
}

# copied: reports whether there is a copy.
copied() { [ -n "$(ip -4 route show proto "$copies")$(ip -6 route show proto "$copies")" ]; }

# unchanged: how many seconds ago a protocol of BIRD has changed last. Those of yesterday have
# a date.
unchanged() {
    timeout --foreground 5 birdc show protocols 2>&1 </dev/null | awk -v now="$(date +%T)" '
        function of_day(time, part) { split(time, part, ":"); return part[1] * 3600 + part[2] * 60 + int(part[3]) }
        BEGIN { least = 86400 }
        $1 == "Name" { answers = 1 }
        $5 ~ /^[0-9]+:[0-9]+:[0-9]/ { ago = (of_day(now) - of_day($5) + 86400) % 86400; if (ago < least) least = ago }
        END { print answers ? least : 0 }
    '
}

# settle waits until BIRD is at rest, or for three times as long as that takes: a copy is the
# way that does not change. BIRD knows since when, so that whoever comes late need not wait.
settle() {
    end=$(($(date +%s) + 3 * rest))
    while [ "$(unchanged)" -lt "$rest" ] && [ "$(date +%s)" -lt "$end" ]; do sleep 1; done
}

free() {
    [ "$check" != True ] || return 0
    if ! copied; then
        systemctl -q stop wgmesh-taken.timer 2>/dev/null || true
        return 0
    fi
    settle
    for _ in $(seq 60); do
        if free_routes; then
            systemctl -q stop wgmesh-taken.timer 2>/dev/null || true
            return 0
        fi
        sleep 1
    done
    for family in -4 -6; do
        ip -o "$family" route show proto "$copies" | sed -E 's/^([^ ]+).* dev ([^ ]+).*/left: \1 by \2, for which BIRD has no route of the mesh/'
    done
}

"$verb" "$@"
