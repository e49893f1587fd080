//go:build lab

package proof_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// inTheWay is what a host can have that its plan needs: how it came there, how it goes
// again, and what the play says about it.
var inTheWay = []struct{ comes, goes, says string }{
	{
		"systemd-run -q --unit=udp-thief perl -MSocket -e 'socket(S, PF_INET, SOCK_DGRAM, 0); bind(S, sockaddr_in(51801, INADDR_LOOPBACK)) or die; sleep 999'",
		"systemctl stop udp-thief", "UDP 51801 is held by perl, pid ",
	},
	{"systemd-run -q --unit=tcp-thief iperf3 -s -p 179", "systemctl stop tcp-thief", "TCP 179 is held by iperf3, pid "},
	{"ip link add wg3 type veth peer name other", "ip link del wg3", "wg3 is a veth interface that wgmesh.router did not make"},
	{
		"mkdir -p -m 700 /etc/wireguard; umask 077; echo '[Interface]' >/etc/wireguard/wg1.conf", "rm /etc/wireguard/wg1.conf",
		"/etc/wireguard/wg1.conf was not made by wgmesh.router",
	},
	{
		"ip link add docker0 type veth peer name container; ip addr add 10.0.5.1/24 dev docker0", "ip link del docker0",
		"10.0.5.0/24 of docker0 overlaps with 10.0.0.0/16 of site one",
	},
	{"echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6", "echo 0 >/proc/sys/net/ipv6/conf/default/disable_ipv6", "IPv6 is off (net.ipv6.conf.default.disable_ipv6 = 1)"},
	{"cp /etc/machine-id /run/id; mount --bind /run/id /etc/machine-id", "umount /etc/machine-id", "the id of this machine is new at each boot (/etc/machine-id is in memory)"},
}

// lookFirst has a router on which much is in the way: nothing is written on it, each
// cause is told with its owner, and the others make their mesh.
func lookFirst(t *testing.T, l lab) {
	const host = "two-1"
	for _, thing := range inTheWay {
		l.in(t, host, thing.comes)
	}
	l.waitFor(t, host, "ss -ltn | grep -q ':179 ' && ss -lun | grep -q ':51801 '")
	before := l.onRouters(t, state)
	for _, args := range [][]string{{"--check"}, nil} {
		counts, out, err := l.play(t, args...)
		require.Error(t, err, "the run is green")
		assert.Equal(t, 1, counts[host]["failed"], tail(out))
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
	var undo []string
	for _, thing := range inTheWay {
		undo = append(undo, thing.goes)
	}
	l.in(t, host, strings.Join(undo, "; "))
}
