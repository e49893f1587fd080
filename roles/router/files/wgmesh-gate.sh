#!/bin/sh
# Written by the Ansible role wgmesh.router.router: what sudo lets the account wgmesh
# run. The rule has no pattern for arguments, which sudo-rs refuses, so anything may
# come here: the name of one router goes on.
if [ $# = 1 ]; then
    case $1 in
    '' | [!A-Za-z0-9]* | *[!A-Za-z0-9._-]*) ;;
    *) exec /usr/local/bin/wgmesh gate "$1" ;;
    esac
fi
echo 'wgmesh-gate: expected the name of one router' >&2
exit 1
