package profile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// sysctlFiles are what systemd-sysctl reads at boot. Where IPv6 is off, the lab's
// own interface needs it all the same.
func (p Profile) sysctlFiles(management string) []File {
	var out []File
	if len(p.Sysctl) > 0 {
		var text strings.Builder
		for _, key := range slices.Sorted(maps.Keys(p.Sysctl)) {
			fmt.Fprintf(&text, "%s = %s\n", key, p.Sysctl[key])
		}
		name := cmp.Or(p.SysctlFile, "60-hardening.conf")
		out = append(out, File{Path: "etc/sysctl.d/" + name, Text: text.String(), Mode: 0o644})
	}
	if p.NoIPv6 {
		out = append(out, File{
			Path: "etc/sysctl.d/70-no-ipv6.conf", Mode: 0o644,
			Text: "net.ipv6.conf.all.disable_ipv6 = 1\nnet.ipv6.conf.default.disable_ipv6 = 1\n",
		})
		out = append(out, unit("lab-management.service", `[Unit]
Description=The lab's own way to this host
DefaultDependencies=no
After=systemd-sysctl.service
Before=sysinit.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'echo 0 >/proc/sys/net/ipv6/conf/mgmt0/disable_ipv6; `+
			`ip address replace dev mgmt0 `+management+` nodad'
`)...)
		out[len(out)-1].Path = "etc/systemd/system/sysinit.target.wants/lab-management.service"
	}
	return out
}
