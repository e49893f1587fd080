//go:build integration && kernel

package wg_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/nettest"
)

// These tests are about the kernel's WireGuard and fail without it.
func kernelPair(t *testing.T, n int) (a, b *router) {
	t.Helper()
	a, b = pair(t, n)
	require.Equal(t, "kernel", a.kind, "this kernel has no WireGuard: run these tests with `make kernel`")
	return a, b
}

// The changes of a working tunnel keep its session: neither the interface nor
// the handshake is another one after them, and a stream through it loses
// nothing. wireguard-go opens its socket anew for some of them.
func TestKernelKeepsTheSession(t *testing.T) {
	a, b := kernelPair(t, 1)
	a.apply()
	b.apply()
	a.reaches("172.31.1.2")
	tunnel := &a.want.Tunnels[0]
	peer := &tunnel.Peers[0]
	identity := func() string { return a.sh("ip -o link show %s | cut -d: -f1", tunnel.Name) }
	before := identity()
	// A session is that of before when its peer counts on. The time of its handshake says
	// less: it is another one every two minutes, which a slow machine takes for this.
	received := a.received(tunnel.Name)
	same := func(when string) {
		assert.Equal(t, before, identity(), "interface %s", when)
		now := a.received(tunnel.Name)
		assert.GreaterOrEqual(t, now, received, "the peer was made anew %s", when)
		received = now
	}
	stream := a.stream("172.31.1.2")
	allowed := peer.AllowedIPs
	for _, change := range []struct {
		name string
		make func()
		done string
	}{
		{"a network more", func() {
			peer.AllowedIPs = append(prefixes("10.55.0.0/16"), allowed...)
		}, "peer b (allowed_ips)"},
		{"a network less", func() { peer.AllowedIPs = allowed }, "peer b (allowed_ips)"},
		{"keepalive", func() { peer.PersistentKeepalive = 7 }, "peer b (persistent_keepalive 7)"},
		{"mtu", func() { tunnel.MTU = 1300 }, "mtu 1300"},
		{"address", func() {
			tunnel.Addresses = append(tunnel.Addresses, netip.MustParsePrefix("172.31.77.1/32"))
		}, "add address 172.31.77.1/32"},
		{"pre-shared key", func() {
			nettest.Sh(t, "umask 077; wg genpsk > %s/1.psk; cp %s/1.psk %s/1.psk", a.dir, a.dir, b.dir)
			b.apply()
		}, "peer b (preshared key)"},
	} {
		t.Run(change.name, func(t *testing.T) {
			change.make()
			assert.Contains(t, strings.Join(a.apply(), "\n"), tunnel.Name+": "+change.done)
			same("by the change")
		})
	}
	n, lost := stream.end(t)
	t.Logf("stream through the tunnel that changed: %d answers, %d lost", n, lost)
	assert.Zero(t, lost)

	// Another port is another socket; the session goes on from there.
	tunnel.ListenPort = 51899
	a.apply()
	a.reaches("172.31.1.2")
	same("by another port")
	assert.Contains(t, b.sh("wg show %s endpoints", b.want.Tunnels[0].Name), "192.0.2.1:51899", "the peer follows")
}

// What boots a router without a controller, the real wg-quick with our files,
// makes what a run of ours wants: nothing is left for it to do.
func TestKernelBootsFromFiles(t *testing.T) {
	a, b := kernelPair(t, 2)
	a.apply()
	b.apply()
	names := []string{a.want.Tunnels[0].Name, a.want.Tunnels[1].Name}
	for _, name := range names {
		a.sh("ip link del %s", name)
	}
	a.sh("nft flush ruleset")
	start := time.Now()
	for _, name := range names {
		a.sh("wg-quick up %s/%s.conf", a.dir, name)
	}
	d, pending := a.plan()
	assert.True(t, d.Empty(), "after wg-quick there is left: %+v", d)
	assert.Empty(t, pending)
	a.reaches("172.31.1.2")
	a.reaches("fd00:2::2")
	t.Logf("2 tunnels up from files and answering after %s", time.Since(start).Round(time.Millisecond))

	links := a.sh("ip -d -o link show type wireguard")
	for _, name := range names {
		assert.Contains(t, links, name)
		assert.Equal(t, "off\n", a.sh("wg show %s fwmark", name))
	}
	assert.Equal(t, 3, strings.Count(a.sh("ip rule"), "\n"), "no rule of ours: %s", a.sh("ip rule"))
	for _, name := range names {
		a.sh("wg-quick down %s/%s.conf", a.dir, name)
	}
	assert.Empty(t, strings.TrimSpace(a.sh("ip -o link show type wireguard")))
	assert.Equal(t, []string{names[0] + ": brought up", names[1] + ": brought up"}, a.apply())
}
