//go:build integration

package meshmeasure_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
)

// A pair is two routers in network namespaces with one tunnel of userspace WireGuard between them,
// over IPv4 or IPv6. The module runs in a, and for its server in b, as the binary does on a router.
type pair struct {
	binary          string
	ns              map[string]nettest.Namespace
	tun             map[string]string // interface names: wireguard-go's sockets are shared by all namespaces
	outside, inside map[string]string
}

func newPair(t *testing.T, outside, inside map[string]string, outsideLength, insideLength int) *pair {
	t.Helper()
	nettest.Need(t, "wg", "nft", "ping", "iperf3")
	p := &pair{
		binary: nettest.Wgmesh(t, "modules"), outside: outside, inside: inside, ns: map[string]nettest.Namespace{},
		tun: map[string]string{"a": nettest.Unique("a"), "b": nettest.Unique("b")},
	}
	for _, n := range []string{"a", "b"} {
		p.ns[n] = nettest.New(t, n)
	}
	nettest.Cable(t, p.ns["a"], "under", p.ns["b"], "under")
	public := map[string]string{}
	for _, n := range []string{"a", "b"} {
		p.address(t, n, outside[n], outsideLength, "under")
		p.in(t, n, "ip", "link", "set", "under", "up")
		p.ns[n].Userspace(t, p.tun[n])
		public[n] = p.ns[n].Key(t, p.tun[n])
		p.address(t, n, inside[n], insideLength, p.tun[n])
		p.in(t, n, "ip", "link", "set", p.tun[n], "mtu", "1340", "up")
	}
	for n, other := range map[string]string{"a": "b", "b": "a"} {
		endpoint := outside[other] + ":51820"
		if strings.Contains(outside[other], ":") {
			endpoint = "[" + outside[other] + "]:51820"
		}
		p.in(t, n, "wg", "set", p.tun[n], "peer", public[other], "endpoint", endpoint, "allowed-ips", "0.0.0.0/0,::/0")
	}
	require.Eventually(t, func() bool { // for the neighbours' addresses and the handshake
		return p.ns["a"].Command("ping", "-c1", "-W1", inside["b"]).Run() == nil
	}, 2*time.Minute, 100*time.Millisecond)
	return p
}

func (p *pair) address(t *testing.T, n, address string, length int, device string) {
	t.Helper()
	args := []string{"ip", "addr", "add", fmt.Sprintf("%s/%d", address, length), "dev", device}
	if strings.Contains(address, ":") {
		args = append(args, "nodad")
	}
	p.in(t, n, args...)
}

func (p *pair) in(t *testing.T, n string, args ...string) string {
	t.Helper()
	return p.ns[n].Run(t, args...)
}

// lose makes b drop what a rule of nft names, and returns what mends it.
func (p *pair) lose(t *testing.T, rule string) (mend func()) {
	t.Helper()
	p.in(t, "b", "nft",
		"add table inet t; add chain inet t in { type filter hook input priority 0; }; add rule inet t in "+
			rule+" drop")
	return func() { p.in(t, "b", "nft", "delete table inet t") }
}

// way is what the tests look at of one way of a result.
type way struct {
	Sent, Received  int
	Min, Avg, Mbits float64
	Blocked         bool
}

func (p *pair) module(t *testing.T, n string, change map[string]any) (outside, inside way, problems []any) {
	t.Helper()
	options := map[string]any{
		"router": "office-1", "interval": 0.05, "count": 20, "port": 5901, "seconds": 1, "parallel": 4,
		"tunnels": []any{map[string]any{
			"name": p.tun["a"], "peer": "azure-2", "address": p.inside["b"], "endpoint": p.outside["b"],
		}},
	}
	maps.Copy(options, change)
	cmd := p.ns[n].Command(p.binary, "mesh_measure")
	cmd.Stdin = bytes.NewReader(must.Get(json.Marshal(options))(t))
	out, err := cmd.Output()
	require.NoError(t, err, "%s", out)
	var res struct {
		Changed  bool
		Tunnels  []struct{ Outside, Inside way }
		Lines    []string
		Problems []any
	}
	require.NoError(t, json.Unmarshal(out, &res))
	assert.False(t, res.Changed)
	if len(res.Tunnels) == 0 {
		return way{}, way{}, res.Problems
	}
	t.Log(strings.Join(res.Lines, "\n"))
	return res.Tunnels[0].Outside, res.Tunnels[0].Inside, res.Problems
}

func (p *pair) serves(t *testing.T) int {
	t.Helper()
	return strings.Count(p.in(t, "b", "ss", "-Hltn", "sport", "=", "5901"), "LISTEN")
}

func TestMeasure(t *testing.T) {
	t.Run("IPv4", func(t *testing.T) {
		all(t, newPair(t, map[string]string{"a": "192.0.2.1", "b": "192.0.2.2"},
			map[string]string{"a": "172.31.20.0", "b": "172.31.20.1"}, 24, 31), "icmp")
	})
	t.Run("IPv6", func(t *testing.T) {
		all(t, newPair(t, map[string]string{"a": "2001:db8::1", "b": "2001:db8::2"},
			map[string]string{"a": "fd00:31::14:0", "b": "fd00:31::14:1"}, 64, 127), "icmpv6")
	})
}

// come wants so many answers, or one less: ping waits for two round trips after its last
// packet, and wireguard-go may be kept waiting for longer.
func come(t *testing.T, want int, w way) {
	t.Helper()
	assert.Contains(t, []int{want, want - 1}, w.Received)
}

func all(t *testing.T, p *pair, icmp string) {
	echo := icmp + " type echo-request iifname under "
	t.Run("both ways are there", func(t *testing.T) {
		outside, inside, problems := p.module(t, "a", nil)
		assert.Equal(t, 20, outside.Received)
		come(t, 20, inside)
		assert.Positive(t, outside.Min)
		assert.Greater(t, inside.Min, outside.Min, "WireGuard in userspace takes its time")
		assert.Empty(t, problems)
	})
	t.Run("every second packet is lost outside", func(t *testing.T) {
		defer p.lose(t, echo+"numgen inc mod 2 == 0")()
		outside, inside, _ := p.module(t, "a", nil)
		assert.Equal(t, 10, outside.Received)
		come(t, 20, inside)
	})
	t.Run("every fourth packet is lost inside", func(t *testing.T) {
		defer p.lose(t, "udp dport 51820 meta length > 1000 numgen inc mod 4 == 0")()
		outside, inside, _ := p.module(t, "a", nil)
		assert.Equal(t, 20, outside.Received)
		come(t, 15, inside)
	})
	t.Run("an endpoint that answers no ping is no problem", func(t *testing.T) {
		defer p.lose(t, echo)()
		outside, inside, problems := p.module(t, "a", nil)
		assert.Equal(t, way{Sent: 20}, outside)
		come(t, 20, inside)
		assert.Empty(t, problems)
	})
	t.Run("a tunnel that does not work is one", func(t *testing.T) {
		defer p.lose(t, "udp dport 51820")()
		outside, inside, problems := p.module(t, "a", nil)
		assert.Equal(t, 20, outside.Received)
		assert.Equal(t, way{Sent: 20}, inside)
		require.Len(t, problems, 1)
		assert.Contains(t, problems[0], "does not answer ping inside")
	})
	throughput := map[string]any{"ping": false, "throughput": true}
	t.Run("throughput, and no server after it", func(t *testing.T) {
		_, _, problems := p.module(t, "b", map[string]any{"state": "serving"})
		require.Empty(t, problems)
		require.Equal(t, 2, p.serves(t))
		outside, inside, problems := p.module(t, "a", throughput)
		require.Empty(t, problems)
		assert.Greater(t, outside.Mbits, inside.Mbits)
		assert.Greater(t, inside.Mbits, 1.0)
		assert.Eventually(t, func() bool { return p.serves(t) == 0 }, 2*time.Minute, 50*time.Millisecond)
	})
	t.Run("a loss takes throughput", func(t *testing.T) {
		was, _ := p.pass(t, throughput)
		defer p.lose(t, "udp dport 51820 meta length > 1000 numgen inc mod 2 == 0")()
		is, problems := p.pass(t, throughput)
		require.Empty(t, problems)
		assert.Less(t, is.Mbits, was.Mbits)
	})
	t.Run("a firewall keeps the port closed outside", func(t *testing.T) {
		defer p.lose(t, "iifname under tcp dport 5901")()
		_, _, problems := p.module(t, "b", map[string]any{"state": "serving"})
		require.Empty(t, problems)
		outside, inside, problems := p.module(t, "a", throughput)
		assert.True(t, outside.Blocked)
		assert.Positive(t, inside.Mbits)
		assert.Empty(t, problems)
		assert.Eventually(t, func() bool { return p.serves(t) == 1 }, 2*time.Minute, 50*time.Millisecond,
			"the server outside still waits, and the one inside ends after its client")
		p.module(t, "b", map[string]any{"state": "stopped"})
		assert.Zero(t, p.serves(t))
	})
}

// pass measures the throughput once, with servers.
func (p *pair) pass(t *testing.T, throughput map[string]any) (inside way, problems []any) {
	t.Helper()
	_, _, problems = p.module(t, "b", map[string]any{"state": "serving"})
	require.Empty(t, problems)
	defer p.module(t, "b", map[string]any{"state": "stopped"})
	_, inside, problems = p.module(t, "a", throughput)
	return inside, problems
}
