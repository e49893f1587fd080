# shellcheck shell=sh
# Read what people made by hand on this router: WireGuard interfaces, their wg-quick files,
# addresses and BIRD. Nothing is written. No secret is printed: of a wg-quick file only the
# names of lines go out, and the values of Table, PublicKey and Endpoint. Needs no Python.
# A line each, fields with tabs between:
#   key, port, mark, endpoint, allowed, keepalive   as wg(8) shows them
#   ours INTERFACE                                  wgmesh.router made it
#   line INTERFACE NAME [VALUE]                     of its wg-quick file
#   calls INTERFACE PEER ENDPOINT                   the same, of a peer
#   unit INTERFACE STATE                            of wg-quick@, at a boot
#   made INTERFACE WHO                              who else makes it at a boot
#   ip JSON, route JSON                             addresses, and the main table
#   bird TEXT                                       what BIRD says of itself
# Another folder of wg-quick files may be given, and another /, for a test.
set -uf
dir=${1:-/etc/wireguard}
root=${2:-}
tab=$(printf '\t')

# ask WORD COMMAND...
ask() {
    word=$1
    shift
    "$@" 2>/dev/null | sed "s/^/$word$tab/"
}

# named NAME WORD PLACE...: reports whether a line there has the name behind this word. Nothing else goes out.
named() {
    name=$1 word=$2
    shift 2
    grep -rhsE "^[[:space:]]*${word}[[:space:]=]" "$@" | sed -E "s/^[[:space:]]*${word}[[:space:]]*=?[[:space:]]*([^[:space:]]*).*/\1/" | grep -qxF -e "$name"
}

ask key wg show all public-key
ask port wg show all listen-port
ask mark wg show all fwmark
ask endpoint wg show all endpoints
ask allowed wg show all allowed-ips
ask keepalive wg show all persistent-keepalive

# Of files that lie there beside those of what is up, nothing is said.
for name in $(wg show interfaces 2>/dev/null); do
    printf 'unit\t%s\t%s\n' "$name" "$(systemctl is-enabled "wg-quick@$name" 2>/dev/null)"
    ! named "$name" iface "$root/etc/network/interfaces" "$root/etc/network/interfaces.d" || printf 'made\t%s\tifupdown\n' "$name"
    ! named "$name" interface-name "$root/etc/NetworkManager/system-connections" "$root/run/NetworkManager/system-connections" ||
        printf 'made\t%s\tNetworkManager\n' "$name"
    ! named "$name" Name --include='*.netdev' "$root/etc/systemd/network" "$root/run/systemd/network" || printf 'made\t%s\tsystemd-networkd\n' "$name"
    file=$dir/$name.conf
    [ -f "$file" ] || continue
    awk -v name="$name" -v OFS='\t' '
        function told() { if (peer != "") print "calls", name, peer, (calls == "" ? "(none)" : calls); peer = calls = "" }
        NR == 1 && /^# Managed by wgmesh\.router/ { print "ours", name; exit }
        { sub(/#.*/, ""); gsub(/^[ \t]+|[ \t\r]+$/, "") }
        /^\[/ { told(); section = tolower($0); next }
        !/=/ { next }
        {
            key = $0; sub(/[ \t]*=.*/, "", key)
            value = $0; sub(/^[^=]*=[ \t]*/, "", value)
            low = tolower(key)
        }
        section == "[peer]" && low == "publickey" { peer = value; next }
        section == "[peer]" && low == "endpoint" { calls = value; next }
        section == "[interface]" && low == "table" { print "line", name, "Table", value; next }
        section == "[interface]" && low ~ /^(preup|postup|predown|postdown|dns|saveconfig|fwmark)$/ { print "line", name, key }
        END { told() }
    ' "$file"
done

ask ip ip -j addr show
ask route ip -j route show
ask route ip -j -6 route show
ask bird birdc -r show status
ask bird birdc -r show protocols all
ask bird birdc -r 'show route where source = RTS_STATIC'
exit 0
