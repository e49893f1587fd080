#!/bin/sh
# Written by the Ansible role wgmesh.router.router: the login shell of the account
# wgmesh. sshd runs the command of a key through it, and it runs that one only, so
# that a key from elsewhere opens nothing. sudo's rule is for wgmesh-gate; the line of
# the key names the program, so that a router with an older shell still opens.
if [ $# = 2 ] && [ "$1" = -c ]; then
    case $2 in
    *[!A-Za-z0-9._/\ -]*) ;;
    'sudo -n /usr/local/bin/wgmesh gate '[A-Za-z0-9]*)
        exec sudo -n /usr/local/libexec/wgmesh-gate "${2#'sudo -n /usr/local/bin/wgmesh gate '}"
        ;;
    esac
fi
echo 'wgmesh: this account runs the command of its keys only' >&2
exit 1
