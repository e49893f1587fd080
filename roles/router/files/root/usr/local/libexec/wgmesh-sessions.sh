# shellcheck shell=sh
# Written by the Ansible role wgmesh.router.router, for wgmesh-health@.service. Writes
# down what BIRD says of its sessions, and whether the router is drained, for a process that may not ask BIRD itself.
# Several may do so at once: each replaces the file in one step.
exec </dev/null >/dev/null # which are the connection
umask 022
dir=/run/wgmesh-health
mkdir -p "$dir" && new=$(mktemp "$dir/sessions.XXXXXX") || exit 1
timeout 1 birdc -r show protocols all >"$new" 2>/dev/null || : >"$new"
# An older bird.conf has no such constant, which is an answer, and all else than 0 and 1 is none. The last line says
# that there was one, and room for it.
said=$(timeout 1 birdc -r eval wgmesh_drained 2>/dev/null)
case $? in
[01]) printf '%s\n' "$said" | sed -n 's/^[0-9-]*T[0-9:]*Z.*/drained: &/p' >>"$new" && echo asked >>"$new" ;;
esac
chmod 644 "$new"
mv -f "$new" "$dir/sessions"
