#!/bin/sh
# Written by the Ansible role wgmesh.router.router: the login shell of the account
# wgmesh. sshd runs the command of a key through it, and it runs that one only, so
# that a key from elsewhere opens nothing.
if [ $# = 2 ] && [ "$1" = -c ]; then
    case $2 in
    *[!A-Za-z0-9._/\ -]*) ;;
    'sudo -n /usr/local/bin/wgmesh gate '[A-Za-z0-9]*)
        # shellcheck disable=SC2086
        exec $2
        ;;
    esac
fi
echo 'wgmesh: this account runs the command of its keys only' >&2
exit 1
