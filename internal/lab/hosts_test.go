//go:build lab

package lab

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
)

// hosts looks on each host for what its lab_host says.
func hosts(t *testing.T, l trial) {
	type see struct{ command, want string }
	for host, all := range map[string][]see{
		"e1": {
			{"ip route show 10.1.1.0/24", `^10.1.1.0/24 dev eth0 proto kernel scope link src 10.1.1.10 metric 100 *$`},
			{"ip route show default", `^default via 10.1.1.1 dev eth0 proto dhcp src 10.1.1.10 metric 100 *$`},
			{"ip -6 route show default", `via 2001:db8:1:1::1 dev eth0 proto static metric 100`},
			{"systemctl is-active systemd-networkd; networkctl list mgmt0", `^active\n[\s\S]*unmanaged`},
		},
		"e2": {
			{
				"ip route show 10.1.2.0/24",
				`dev eth0 proto kernel scope link src 10.1.2.10 metric 100 *\n.*dev eth1 proto kernel scope ` +
					`link src 10.1.2.11 metric 200`,
			},
			{"ip route show default", `via 10.1.2.1 dev eth0 metric 100 *\n.* via 10.1.2.1 dev eth1 metric 200`},
			{"ip rule", `10101:\tfrom 10.1.2.10 lookup 101 *\n10102:\tfrom 10.1.2.11 lookup 102`},
			{"ip route show table 102", `default via 10.1.2.1 dev eth1 *\n10.1.2.0/24 dev eth1`},
			{"ip -6 rule", `from 2001:db8:1:2::11 lookup 102`},
			{"ping -c1 -W30 -I 10.1.2.11 10.1.1.10", ` 0% packet loss`},
			{"nft list chain ip filter FORWARD", `policy drop;\n.*jump DOCKER-USER`},
			{"ip -br addr show docker0", `172.17.0.1/16`},
			{
				"sysctl net.ipv4.conf.all.rp_filter net.ipv4.conf.all.send_redirects",
				`rp_filter = 1\n.*send_redirects = 0`,
			},
			{"ls /etc/sysctl.d", `zz-hardening.conf`},
			{"su admin -c 'sudo -n true'", `password is required`},
			{"su admin -c 'echo lab | sudo -S id -u'", `0$`},
		},
		"w1": {
			{"ip route show default", `metric 100`},
			{
				"ip -6 addr show dev eth0; cat /proc/sys/net/ipv6/conf/{all,default,eth0,mgmt0}/disable_ipv6 | " +
					"tr -d '\n'",
				`^1110$`,
			},
			{
				"nft list ruleset",
				`table inet filter[\s\S]*chain ufw6-user-forward[\s\S]*chain FORWARD \{\n.*policy drop`,
			},
			{"systemctl is-enabled nftables; grep '^flush' /etc/nftables.conf", `enabled\nflush ruleset`},
			{"setsid su admin -c 'sudo -n id -u'", `must have a tty`},
		},
		"e6": {
			{"wg show all listen-port | sort", `flannel-wg\t51820\ntailscale0\t41641\nwg-road\t51999`},
			{"ls /etc/wireguard; ip route get 100.97.0.7", `^wg-road.conf\n100.97.0.7 dev `},
			{"ip rule", `220:\tfrom 192.168.77.0/24 lookup 220[\s\S]*5270:\tfrom all lookup 52`},
			{
				"ip route show table 220; ip route show 192.168.78.0/24",
				`unreachable default[\s\S]*blackhole 192.168.78.0/24 proto static metric 4000`,
			},
			{"ss -Hltnp sport = 179", `0.0.0.0:179 .*"bird"`},
			{"sysctl net.ipv4.conf.all.rp_filter", `= 1`},
		},
		"w6": {
			{"cat /proc/sys/net/ipv4/icmp_echo_ignore_all", `1`},
		},
	} {
		// What it looks for is there when the host has booted, not when sshd answers.
		script := "exec 2>&1; systemctl is-system-running --wait"
		for _, s := range all {
			script += "\necho =====\n" + s.command
		}
		out, _ := l.try("exec", host, script+"\ntrue")
		said := strings.Split(out, "=====\n")
		require.Len(t, said, len(all)+1, out)
		assert.Equal(t, "running", strings.TrimSpace(said[0]), "%s: a unit failed", host)
		for i, s := range all {
			assert.Regexp(t, regexp.MustCompile(s.want), strings.TrimSpace(said[i+1]), "%s: %s", host, s.command)
		}
	}
}

// TestGroupsOfUnits shows that the end of a lab that is called "join" does not end the
// unit wgmesh-join.service on the routers of another lab.
func TestGroupsOfUnits(t *testing.T) {
	name := "units" + pid()
	host := must.Get(makeGroups("wgmesh-other" + name + ".host.a"))(t)
	t.Cleanup(func() { require.NoError(t, kill(host, 10*time.Second)) })
	for _, tree := range host {
		require.NoError(t, os.Mkdir(filepath.Join(tree, "wgmesh-"+name+".service"), 0o755))
	}
	assert.Empty(t, groupsOf(name))
	assert.ElementsMatch(t, host, groupsOf("other"+name))
}
