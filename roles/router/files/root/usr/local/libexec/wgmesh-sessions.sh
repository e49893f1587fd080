# shellcheck shell=sh
# Written by the Ansible role wgmesh.router.router, for wgmesh-health@.service. Writes
# down what BIRD says of its sessions, and whether the router is drained, for a process that may not ask BIRD itself.
# Several may do so at once: each replaces the file in one step.
exec </dev/null >/dev/null # which are the connection
umask 022
dir=/run/wgmesh-health
mkdir -p "$dir" && new=$(mktemp "$dir/sessions.XXXXXX") || exit 1
timeout 1 birdc -r show protocols all >"$new" 2>/dev/null || : >"$new"
# An older bird.conf has no such constant.
timeout 1 birdc -r eval wgmesh_drained 2>/dev/null | sed -n 's/^[0-9-]*T[0-9:]*Z.*/drained: &/p' >>"$new"
chmod 644 "$new"
mv -f "$new" "$dir/sessions"
