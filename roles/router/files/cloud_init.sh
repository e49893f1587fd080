# shellcheck shell=sh
# unwritten: why cloud-init will write no network in the root folder that this is in;
# nothing where it will write one.
unwritten() {
    if [ ! -x usr/bin/cloud-init ] && [ ! -x usr/local/bin/cloud-init ]; then
        echo 'cloud-init is not installed'
    elif [ -e etc/cloud/cloud-init.disabled ]; then
        echo '/etc/cloud/cloud-init.disabled is there'
    elif [ "$(readlink etc/systemd/system/cloud-init-local.service)" = /dev/null ]; then
        echo 'cloud-init-local.service is masked'
    else
        {
            cat proc/cmdline boot/grub*/grub.cfg 2>/dev/null | grep -oE '(cloud-init|network-config)=disabled' |
                sed "s/^/the kernel's command line has /"
            # network: {config: disabled}, or the same in lines of its own.
            find etc/cloud/cloud.cfg etc/cloud/cloud.cfg.d -maxdepth 1 -name '*.cfg' -exec awk '
                FNR == 1 || /^[^ \t#]/ { inside = 0 }
                /^["\047]?network["\047]?[ \t]*:/ { inside = 1 }
                inside && /^([^#]*[ \t{,"\047])?config["\047]?[ \t]*:[ \t]*["\047]?disabled/ { print "network is disabled in /" FILENAME }
            ' {} + 2>/dev/null
        } | head -n 1
    fi
}
