//go:build lab

package proof_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestDualStack has two sites with IPv4 and IPv6 and one with IPv4 only: both
// families work between the sites that have them, also through a third. Before, a
// host is not as its plan needs it; afterwards, something hinders what is forwarded.
func TestDualStack(t *testing.T) {
	l := up(t, "dual", "test/proof/testdata/dual.yml")
	lookFirst(t, l)
	l.mesh(t)
	l.allPing(t)
	onTheWire(t, l)
	l.tool(t, "cut", "one", "two")
	l.waitFor(t, "one-1", "ip -6 route show 2001:db8:2::/48 | grep -q 'dev wg2 '")
	l.allPing(t)
	l.tool(t, "join", "one", "two")
	l.waitFor(t, "one-1", "ip -6 route show 2001:db8:2::/48 | grep -q 'dev wg1 '")
	assert.Empty(t, l.mesh(t).changed())
	truth(t, l)
}

// onTheWire asks for neighbours in the routers' own subnets. One of these is all of its
// site, and one router is its site's gateway itself.
func onTheWire(t *testing.T, l lab) {
	for _, ask := range []struct{ host, command string }{
		{"one-1", "ip route get 10.0.1.77"},
		{"one-1", "ip -6 route get 2001:db8:1:1::77"},
		{"one-1", "ip route get 10.0.9.77"},
		{"three-1", "ip route get 10.2.1.77"},
	} {
		got := l.in(t, ask.host, ask.command)
		assert.Contains(t, got, "dev eth0 ", ask.host)
		assert.NotContains(t, got, " via ", ask.host)
	}
	assert.Contains(t, l.in(t, "one-1", "ip route show default"), "metric 1024", "the lab gives a metric")
}

// inTheWay is what a host can have that its plan needs: how it came there, how it goes
// again, and what the play says about it.
var inTheWay = []struct{ comes, goes, says string }{
	{
		"systemd-run -q --unit=udp-thief perl -MSocket -e 'socket(S, PF_INET, SOCK_DGRAM, 0); " +
			"bind(S, sockaddr_in(51801, INADDR_LOOPBACK)) or die; sleep 999'",
		"systemctl stop udp-thief", "UDP 51801 is held by perl, pid ",
	},
	{"systemd-run -q --unit=tcp-thief iperf3 -s -p 179", "systemctl stop tcp-thief", "TCP 179 is held by iperf3, pid "},
	{
		"ip link add wg3 type veth peer name other", "ip link del wg3",
		"wg3 is a veth interface that wgmesh.router did not make",
	},
	{
		"mkdir -p -m 700 /etc/wireguard; umask 077; echo '[Interface]' >/etc/wireguard/wg1.conf",
		"rm /etc/wireguard/wg1.conf", "/etc/wireguard/wg1.conf was not made for this mesh",
	},
	{
		"ip link add docker0 type veth peer name container; ip addr add 10.0.5.1/24 dev docker0", "ip link del docker0",
		"10.0.5.0/24 of docker0 overlaps with 10.0.0.0/16 of site one",
	},
	{
		"echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6",
		"echo 0 >/proc/sys/net/ipv6/conf/default/disable_ipv6", "IPv6 is off (net.ipv6.conf.default.disable_ipv6 = 1)",
	},
	{
		"cp -p /etc/bird/bird.conf /run/bird.conf; echo 'protocol bgp uplink { disabled; local as 65000; " +
			"neighbor 192.0.2.1 as 65001; }' >>/etc/bird/bird.conf",
		"cat /run/bird.conf >/etc/bird/bird.conf",
		"/etc/bird/bird.conf has a bgp protocol that wgmesh.router did not make",
	},
	{
		"mount --bind /etc/bird /etc/bird; mount -o remount,bind,ro /etc/bird", "umount /etc/bird",
		"/etc/bird: read-only file system",
	},
	{
		"cp /etc/machine-id /run/id; mount --bind /run/id /etc/machine-id", "umount /etc/machine-id",
		"the id of this machine is new at each boot (/etc/machine-id is in memory)",
	},
}

// lookFirst has a router on which much is in the way: nothing is written on it, each
// cause is told with its owner, and the others make their mesh.
func lookFirst(t *testing.T, l lab) {
	const host = "two-1"
	for _, thing := range inTheWay {
		l.in(t, host, thing.comes)
	}
	l.waitFor(t, host, "ss -ltn | grep -q ':179 ' && ss -lun | grep -q ':51801 '")
	before, began := l.onRouters(t, state), time.Now()
	for _, args := range [][]string{{"--check"}, nil} {
		counts, out, err := l.play(t, args...)
		require.Error(t, err, "the run is green")
		assert.NotZero(t, counts[host]["failed"], tail(out))
		assert.Contains(t, said(causes(t, out)), host)
		assert.Zero(t, counts[host]["changed"], tail(out))
		for _, thing := range inTheWay {
			assert.Contains(t, out, thing.says)
		}
		after := l.onRouters(t, state)
		if args == nil {
			before, after = map[string]string{host: before[host]}, map[string]string{host: after[host]}
		}
		same(t, before, after)
	}
	l.waitFor(t, "node-one-a", "ping -c 1 -W 1 "+l.addresses(t)["node-three-a"].Address)
	t.Logf("both runs and what is compared took %v", time.Since(began).Round(time.Second))
	for _, thing := range slices.Backward(inTheWay) {
		l.in(t, host, thing.goes)
	}
}

// TestOneAddress has two routers behind one public address, and two that nobody can
// call: those have no tunnel, and the office carries what they have for each other.
func TestOneAddress(t *testing.T) {
	l := up(t, "one-address", "test/proof/testdata/one-address.yml")
	before := []string{"-e", "mesh_link_pool=172.31.0.0/16", "-e", "mesh_settle=60"} // the default until 0.3.0
	_, out := l.green(t, "mesh", before...)
	plain := strings.Join(strings.Fields(out), " ")
	for _, warning := range []string{
		"site office: as 64512 is the default of AWS's gateways",
		"no tunnel between branch-1 and shop-1: neither has an endpoint",
	} {
		assert.Equal(t, 1, strings.Count(plain, warning), "%s:\n%s", warning, tail(out))
	}
	l.allPing(t)

	// Between the two the LAN, from outside the ports that are forwarded, and nothing
	// between the two that nobody can call.
	for router, want := range map[string]string{
		"office-1": "wg1 10.0.1.11:53801", "office-2": "wg1 10.0.1.10:51801",
		"branch-1": "wg2 198.51.100.7:51802\nwg3 198.51.100.7:52803",
		"shop-1":   "wg4 198.51.100.7:51804\nwg5 198.51.100.7:52805",
	} {
		have := l.in(t, router,
			`wg show all endpoints | grep -v 203.0.113 | awk '{ print $1, $3 }' | grep -E '^wg1 |198.51.100.7' | sort`)
		assert.Equal(t, want, have, router)
	}
	assert.Equal(t, "53801\n53803\n53805", l.in(t, "office-2", "wg show all listen-port | awk '{ print $2 }' | sort"))

	// One of the two that carry is lost, and the other one takes all of it.
	assert.Contains(t, l.in(t, "branch-1", "ip route show 10.2.0.0/16"), "dev wg")
	way := func(host, network string) string {
		return l.in(t, host, "ip route show "+network+" | grep -o 'dev wg[0-9]*'")
	}
	there, back := way("branch-1", "10.2.0.0/16"), way("shop-1", "10.1.0.0/16")
	l.in(t, "office-1", "systemctl stop bird")
	l.waitFor(t, "branch-1", "ip route show 10.2.0.0/16 | grep -q 'dev wg3 '")
	l.waitFor(t, "shop-1", "ip route show 10.1.0.0/16 | grep -q 'dev wg5 '")
	hosts := l.addresses(t)
	l.ping(t, "node-branch-a", hosts["node-shop-a"].Address)
	l.ping(t, "node-shop-a", hosts["node-branch-a"].Address)
	l.in(t, "office-1", "systemctl start bird")
	l.waitFor(t, "branch-1", "ip route show 10.2.0.0/16 | grep -q '"+there+" '")
	l.waitFor(t, "shop-1", "ip route show 10.1.0.0/16 | grep -q '"+back+" '")

	// A new default renumbers nobody.
	had := l.states(t)
	counts, out := l.red(t, "mesh")
	for _, r := range l.routers {
		assert.Equal(t, 1, counts[r]["failed"], "%s: %s", r, tail(out))
	}
	assert.Contains(t, flat(out), "mesh_link_pool is not set and its default is 198.18.0.0/16: set it to 172.31.0.0/16")
	l.unchanged(t, had)
	assert.Empty(t, l.mesh(t, before...).changed())
}
