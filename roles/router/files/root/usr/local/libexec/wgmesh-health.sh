# shellcheck shell=sh
# Written by the Ansible role wgmesh.router.router, for wgmesh-health.socket. Answers
# one HTTP request, of a load balancer or a person, on standard input and output: 200
# while this router has a way of its own to another site, which is a BGP session that
# is up, and 503 otherwise, or when it is drained. One inside of the site does not
# count: by that, packets would only go on to the other router, and the balancer can
# bring them there itself. A drained router whose site's others are all out of reach
# is the last way out, as it is for BGP.
set -u
read -r method _ || exit 0
while read -r header && [ "${#header}" -gt 1 ]; do :; done # what is left unread would cut the answer short

# mawk and gawk, BIRD 2 (proto/bgp/bgp.c, bgp_show_proto_info)
sessions=$(awk '
    /^[^ ]/ { bgp = $2 == "BGP" }
    bgp && $1 == "BGP" && $2 == "state:" { state = $3 }
    bgp && $1 == "Neighbor" && $2 == "AS:" { neighbor = $3 }
    bgp && $1 == "Local" && $2 == "AS:" && $3 != neighbor { all++; if (state == "Established") up++ }
    bgp && $1 == "Local" && $2 == "AS:" && $3 == neighbor { others++; if (state == "Established") near++ }
    END { print up + 0 " of " all + 0 (others && !near ? " alone" : "") }' /run/wgmesh-health/sessions)

case $sessions in
"" | "0 of "*) status='503 Service Unavailable' ;;
*) status='200 OK' ;;
esac
body="${sessions% alone} BGP sessions to other sites are up"
drained=$(sed -n 's/^drained: //p' /run/wgmesh-health/sessions)
[ -z "$drained" ] || case $sessions in
*" alone") body="drained since $drained; no other router of the site is in reach; $body" ;;
*) status='503 Service Unavailable' body="drained since $drained" ;;
esac
case $status in
200*) grep -q '^asked$' /run/wgmesh-health/sessions || status='503 Service Unavailable' body='whether it is drained is not known' ;;
esac
printf 'HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n' "$status" $((${#body} + 1))
[ "$method" = HEAD ] || printf '%s\n' "$body"
