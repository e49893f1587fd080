//go:build integration

package wg_test

import (
	"context"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/wg"
)

func TestLiveCreate(t *testing.T) {
	a, b := pair(t, 3)
	b.sh("nft 'add table inet t; add chain inet t out { type filter hook output priority 0; }; " +
		"add rule inet t out udp length 156 counter'")
	began := time.Now()
	done := a.apply()
	assert.Len(t, done, 7, "%v", done) // the clamp; file and start of each tunnel
	b.apply()
	for _, address := range []string{"172.31.1.2", "172.31.2.2", "172.31.3.2", "fd00:3::2"} {
		a.reaches(address)
	}
	count := regexp.MustCompile(`packets (\d+) bytes`).FindStringSubmatch(b.sh("nft list table inet t"))
	// WireGuard tries again after 5 s, so a machine that needed longer may have done so.
	tries := 3 * (1 + int(time.Since(began)/(5*time.Second)))
	require.NotNil(t, count)
	begun := must.Get(strconv.Atoi(count[1]))(t)
	assert.LessOrEqual(t, begun, tries,
		"the first handshake must not need a retry: handshakes that b began, of 3 tunnels")
	assert.Empty(t, a.apply())

	start := time.Now()
	a.plan()
	t.Logf("a plan of 3 tunnels, and two dumps: %s", time.Since(start).Round(time.Millisecond))
	name := a.want.Tunnels[0].Name
	assert.NotContains(t, a.sh("cat %s/*.conf", a.dir), strings.TrimSpace(nettest.Sh(t, "cat %s/wgmesh.key", a.dir)))
	assert.Contains(t, a.sh("stat -c %%a %s/%s.conf", a.dir, name), "600")

	a.want.Tunnels, a.want.Purge = a.want.Tunnels[1:], true
	assert.Equal(t, []string{name + ": removed", name + ": wg-quick file"}[:1], a.apply())
	a.reaches("172.31.2.2")
	assert.NotContains(t, a.sh("ip -o link; ls %s", a.dir), name)
}

// Each field is broken by hand, alone. The plan names it, mends it, and a
// stream through the other tunnel loses nothing.
func TestLiveDrift(t *testing.T) {
	a, b := tunnelled(t, 2)
	name, other := a.want.Tunnels[0].Name, a.want.Tunnels[1].Name
	key := b.publicKey().String()
	foreign := strings.TrimSpace(nettest.Sh(t, "wg genkey | wg pubkey"))
	nettest.Sh(t, "umask 077; wg genkey > %s/other.key; wg genpsk > %s/other.psk", a.dir, a.dir)
	identity := a.sh("ip -o link show %s | cut -d: -f1", other)
	received := a.received(other)

	stream := a.stream("172.31.2.2")

	drifts := []struct{ name, break_, done string }{
		{"peer removed", "wg set " + name + " peer " + key + " remove", "peer b (added)"},
		{"foreign peer", "wg set " + name + " peer " + foreign + " allowed-ips 10.1.0.0/16", "peer b (allowed_ips)"},
		{"private key", "wg set " + name + " private-key " + a.dir + "/other.key", "private key"},
		{
			"preshared key",
			"wg set " + name + " peer " + key + " preshared-key " + a.dir + "/other.psk", "peer b (preshared key)",
		},
		{
			"preshared key unset", "wg set " + name + " peer " + key + " preshared-key /dev/null",
			"peer b (preshared key)",
		},
		{"address missing", "ip addr del 172.31.1.1/24 dev " + name, "add address 172.31.1.1/24"},
		{"address6 missing", "ip addr del fd00:1::1/64 dev " + name, "add address fd00:1::1/64"},
		{"address extra", "ip addr add 10.99.0.1/32 dev " + name, "remove address 10.99.0.1/32"},
		{"address with a peer", "ip addr add 10.9.0.1 peer 10.9.0.2/32 dev " + name, "remove address 10.9.0.1/32"},
		{
			"address other", "ip addr flush dev " + name + "; ip addr add 172.31.1.9/24 dev " + name,
			"remove address 172.31.1.9/24",
		},
		{"mtu", "ip link set " + name + " mtu 1400", "mtu 1340"},
		{"mtu too small for IPv6", "ip link set " + name + " mtu 1200", "mtu 1340"},
		{"port", "wg set " + name + " listen-port 40123", "listen_port 51801"},
		{"keepalive", "wg set " + name + " peer " + key + " persistent-keepalive 7", "persistent_keepalive 25"},
		{"allowed ips less", "wg set " + name + " peer " + key + " allowed-ips 172.31.1.0/24", "allowed_ips"},
		{
			"allowed ips more",
			"wg set " + name + " peer " + key + " allowed-ips 172.31.1.0/24,fd00:1::/64,10.1.0.0/16,10.55.0.0/16",
			"allowed_ips",
		},
		{"link down", "ip link set " + name + " down", "set up"},
		{"interface deleted", "ip link del " + name, "brought up"},
		{"clamp deleted", "nft delete table inet wgmesh", "mss clamp: loaded"},
		{"clamp changed", "nft add rule inet wgmesh forward drop", "mss clamp: loaded"},
		{"clamp file", "rm " + a.dir + "/wgmesh.nft", "mss clamp: loaded"},
		{"file", "sed -i s/MTU.*// " + a.dir + "/" + name + ".conf", "wg-quick file"},
	}
	if a.kind == "userspace" {
		drifts = append(drifts, struct{ name, break_, done string }{
			"wireguard-go killed",
			"kill -9 $(pgrep -fx \"wireguard-go " + name + "\"); while ip link show " + name +
				" >/dev/null 2>&1; do sleep 0.05; done", "brought up",
		})
	}
	for _, drift := range drifts {
		t.Run(drift.name, func(t *testing.T) {
			a.sh("%s", drift.break_)
			done := a.apply()
			assert.Contains(t, strings.Join(done, "\n"), drift.done)
			for _, d := range done {
				assert.NotContains(t, d, other)
			}
			assert.Empty(t, a.apply(), "a second run")
			a.reaches("172.31.1.2")
			a.reaches("fd00:1::2")
		})
	}
	n, lost := stream.end(t)
	t.Logf("stream through the other tunnel: %d answers, %d lost", n, lost)
	assert.Zero(t, lost)
	// A rekey is not a loss: it comes after two minutes, whoever does what. A peer that
	// was taken away, if only for a moment, counts from 0 again.
	assert.Equal(t, identity, a.sh("ip -o link show %s | cut -d: -f1", other), "the other tunnel kept its interface")
	assert.GreaterOrEqual(t, a.received(other), received+n*84, "the other tunnel kept its session: bytes received")
}

// A dual-stack router whose IPv6 is off at its next boot has its tunnels for IPv4.
func TestLiveStartWithoutIPv6(t *testing.T) {
	a, b := pair(t, 1)
	a.apply()
	b.apply()
	name := a.want.Tunnels[0].Name
	a.sh("ip link del %s; while ip link show %s 2>/dev/null; do sleep 0.05; done", name, name)
	a.sh("sysctl -qw net.ipv6.conf.all.disable_ipv6=1; WGMESH_DIRECTORY=%s WGMESH_RUN=%s/run sh boot.sh start %s",
		a.dir, a.dir, name)
	a.reaches("172.31.1.2")
	assert.NotContains(t, a.sh("ip address show %s", name), "inet6")
}

// received is how many bytes a tunnel has received from its peer.
func (r *router) received(tunnel string) int {
	r.t.Helper()
	fields := strings.Fields(r.sh("wg show %s transfer", tunnel))
	require.Len(r.t, fields, 3)
	return must.Get(strconv.Atoi(fields[1]))(r.t)
}

// An endpoint that the peer moved away from is not put back while it answers,
// and is once nothing has been heard for long.
func TestLiveRoaming(t *testing.T) {
	a, b := tunnelled(t, 1)
	name := a.want.Tunnels[0].Name
	b.sh("wg set %s listen-port 49999", b.want.Tunnels[0].Name)
	b.reaches("172.31.1.1")
	require.Contains(t, a.sh("wg show %s endpoints", name), "192.0.2.2:49999", "the peer must have roamed")
	d, _ := a.plan()
	assert.True(t, d.Empty(), "a roamed endpoint is no drift: %+v", d)

	// A new session is younger than 180 s, so silence is made by a peer that has never been heard.
	b.sh("ip link del %s", b.want.Tunnels[0].Name)
	key := b.publicKey().String()
	a.sh("wg set %[1]s peer %[2]s remove; wg set %[1]s peer %[2]s endpoint 192.0.2.77:7 allowed-ips 172.31.1.0/24",
		name, key)
	assert.Contains(t, strings.Join(a.apply(), "\n"), "endpoint 192.0.2.2:51801")
	b.apply()
	a.reaches("172.31.1.2")

	// Configured anew: set at once, although the peer answers.
	a.want.Tunnels[0].Peers[0].Endpoint = netip.MustParseAddrPort("192.0.2.2:51999")
	b.want.Tunnels[0].ListenPort = 51999
	assert.Contains(t, strings.Join(a.apply(), "\n"), "endpoint 192.0.2.2:51999")
	b.apply()
	a.reaches("172.31.1.2")
}

// The packets of a tunnel carry the source of the route to its peer (krt_prefsrc, pkg/bird), whichever WireGuard
// it is. The peer follows to where it is called from, and has a way to that address alone.
func TestLiveSource(t *testing.T) {
	a, b := pair(t, 1)
	const own, end = "fd00:a::4", "fd00:b::4"
	a.sh("ip addr add %s/128 dev eth0 nodad; ip addr add fd00:a::5/128 dev eth0 nodad", own)
	b.sh("ip addr add %s/128 dev eth0 nodad; ip -6 route add %s dev eth0", end, own)
	a.sh("ip -6 route add %s dev eth0", end)
	require.NotContains(t, a.sh("ip route get %s", end), own, "the kernel's choice")
	a.sh("ip -6 route replace %s dev eth0 src %s", end, own)
	a.want.Tunnels[0].Peers[0].Endpoint = netip.MustParseAddrPort("[" + end + "]:51801")
	b.want.Tunnels[0].Peers[0].Endpoint = netip.MustParseAddrPort("[" + own + "]:51801")
	b.apply()
	a.apply()
	a.reaches("172.31.1.2")
	assert.Contains(t, b.sh("wg show %s endpoints", b.want.Tunnels[0].Name), "["+own+"]:51801")
}

// A router whose peer has a new key loses only that tunnel, for a moment.
func TestLiveKeyChange(t *testing.T) {
	a, b := tunnelled(t, 2)
	nettest.Sh(t, "umask 077; wg genkey > %s/wgmesh.key", b.dir)
	b.apply()
	a.want.PublicKeys["b"] = b.publicKey()
	done := strings.Join(a.apply(), "\n")
	assert.Contains(t, done, "peer b (removed), peer b (added)")
	a.reaches("172.31.1.2")
	a.reaches("172.31.2.2")

	// A run that knows nobody's key leaves all as it is.
	a.want.PublicKeys = nil
	d, pending := a.plan()
	assert.True(t, d.Empty(), "%+v", d)
	assert.Empty(t, pending)
}

// The networks of a running tunnel become wider, narrower and others, again and again, and
// what they all let through never stops.
func TestLiveAllowedIPs(t *testing.T) {
	a, _ := tunnelled(t, 1)
	count := "20000"
	if a.kind == "kernel" { // the virtual machine of `make kernel` has slow processors
		count = "3000"
	}
	flood := a.Command("ping", "-n", "-q", "-f", "-c", count, "172.31.1.2")
	said := make(chan string, 1)
	go func() {
		out, err := flood.CombinedOutput()
		said <- string(out)
		assert.NoError(t, err)
	}()
	networks := []string{
		"0.0.0.0/0 ::/0", "172.31.1.0/24 10.1.0.0/16", "172.31.0.0/16 10.0.0.0/8 172.31.1.0/28",
		"172.31.1.2/32", "172.31.1.0/24 172.31.0.0/16",
	}
	var last string
	changes := 0
	require.NoError(t, a.opened(func(h *wg.Host) error {
		for ; last == ""; changes++ {
			a.want.Tunnels[0].Peers[0].AllowedIPs = prefixes(networks[changes%len(networks)])
			s, err := wg.Observe(t.Context(), h, a.want)
			if err != nil {
				return err
			}
			d, err := wg.Diff(a.want, s)
			if err != nil {
				return err
			}
			if _, err := wg.Apply(t.Context(), h, d); err != nil {
				return err
			}
			select {
			case last = <-said:
			default:
			}
		}
		return nil
	}))
	lost := regexp.MustCompile(`(\d+) packets transmitted, (\d+) received`).FindStringSubmatch(last)
	require.NotNil(t, lost, last)
	t.Logf("%d changes, %s", changes, lost[0])
	assert.Equal(t, lost[1], lost[2], "packets lost")
	again, _ := a.plan()
	assert.True(t, again.Empty())
}

// change applies what r wants, once, and returns what it did.
func (r *router) change() (d wg.Delta) {
	r.t.Helper()
	d, _ = r.compare()
	require.NoError(r.t, r.opened(func(h *wg.Host) error { return must.Err(wg.Apply(r.t.Context(), h, d)) }))
	return d
}

// watch hands over what d says, and returns how to end it.
func (r *router) watch(d wg.Delta, limit time.Duration) (end func()) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- r.opened(func(h *wg.Host) error {
			for _, o := range d.Handovers() {
				if err := h.HandOver(ctx, o, limit); err != nil {
					return err
				}
			}
			return nil
		})
	}()
	return func() {
		cancel()
		require.NoError(r.t, <-ended)
	}
}

// newKeys gives r a new private key, and each of the tunnels of both a new pre-shared key.
func newKeys(t *testing.T, r, peer *router) (key plan.PublicKey) {
	t.Helper()
	nettest.Sh(t, `umask 077; mv %[1]s/wgmesh.key %[1]s/before.key; wg genkey > %[1]s/wgmesh.key
		mv %[1]s/1.psk %[1]s/before.psk; wg genpsk > %[1]s/1.psk; cp -p %[1]s/1.psk %[2]s/1.psk`, r.dir, peer.dir)
	return r.publicKey()
}

// carries reports whether the peer with that key has networks, by what wg show says.
func carries(peers string, key plan.PublicKey) bool {
	for line := range strings.Lines(peers) {
		if strings.HasPrefix(line, key.String()) {
			return !strings.Contains(line, "(none)")
		}
	}
	return false
}

// A router takes a new private key and new pre-shared keys while packets go through its only
// tunnel, both ways. Not one is lost. It may go back to the key of before.
func TestHandover(t *testing.T) {
	a, b := tunnelled(t, 1)
	// A slow machine takes seconds, in which 128 packets may wait.
	there, back := a.streamEvery("0.1", "172.31.1.2"), b.streamEvery("0.1", "172.31.1.1")
	name, before := b.want.Tunnels[0].Name, a.publicKey()
	peers := func() string { return b.sh("wg show %s allowed-ips | cut -c1-44,45-60 | sort", name) }
	holds := func(key plan.PublicKey) bool { return carries(peers(), key) }

	b.want.PublicKeys["a"] = newKeys(t, a, b)
	b.want.Handover = []string{"a"}
	end := b.watch(b.change(), 20*time.Minute)
	assert.True(t, holds(before), "the key of before goes on until the new one is used:\n%s", peers())
	assert.False(t, holds(b.want.PublicKeys["a"]))
	time.Sleep(500 * time.Millisecond)
	a.want.Hold = time.Second
	a.change()
	require.Eventually(t, func() bool { return holds(b.want.PublicKeys["a"]) }, 3*time.Minute, 20*time.Millisecond)
	a.reaches("172.31.1.2")
	for _, s := range []*stream{there, back} {
		answers, lost := s.end(t)
		t.Logf("%d answers, %d lost", answers, lost)
		assert.Zero(t, lost)
	}

	// The router takes its change back, as Revert does: its peer does so too, by what it hears.
	nettest.Sh(t, `mv %[1]s/wgmesh.key %[1]s/new.key; cp -p %[1]s/before.key %[1]s/wgmesh.key
		mv %[1]s/1.psk %[1]s/new.psk; cp -p %[1]s/before.psk %[1]s/1.psk`, a.dir)
	a.change()
	began := time.Now()
	require.Eventually(t, func() bool { return holds(before) }, 3*time.Minute, 20*time.Millisecond)
	a.reaches("172.31.1.2")
	t.Logf("back after %v", time.Since(began))

	nettest.Sh(t, `mv %[1]s/new.key %[1]s/wgmesh.key; mv %[1]s/new.psk %[1]s/1.psk`, a.dir)
	a.change()
	require.Eventually(t, func() bool { return holds(b.want.PublicKeys["a"]) }, 3*time.Minute, 20*time.Millisecond)
	a.reaches("172.31.1.2")
	end()
	assert.NotContains(t, peers(), before.String(), "what is over is removed")
	b.want.Handover = nil
	b.apply()
	a.apply()
}

// A router loses its power before its new key is confirmed, and comes back with the one of
// before after its peers have stopped to wait for it.
func TestHandoverOfSilent(t *testing.T) {
	a, b := tunnelled(t, 1)
	name, before := b.want.Tunnels[0].Name, a.publicKey()
	peers := func() string { return b.sh("wg show %s allowed-ips", name) }
	holds := func(key plan.PublicKey) bool {
		_ = a.Command("ping", "-c1", "-W1", "172.31.1.2").Run()
		return carries(peers(), key)
	}

	began := time.Now()
	b.want.PublicKeys["a"] = newKeys(t, a, b)
	b.want.Handover = []string{"a"}
	change := b.change()
	limit := max(20*time.Second, 10*time.Since(began))
	end := b.watch(change, limit)
	began = time.Now()
	a.want.Hold = 300 * time.Millisecond
	a.change()
	require.Eventually(t, func() bool { return holds(b.want.PublicKeys["a"]) }, 3*time.Minute, 20*time.Millisecond,
		"%s", peers())
	a.sh("ip link set eth0 down")
	time.Sleep(limit - time.Since(began) + 3*time.Second)
	require.Contains(t, peers(), before.String(), "nobody has heard from the new key since")

	nettest.Sh(t, `cp -p %[1]s/before.key %[1]s/wgmesh.key; cp -p %[1]s/before.psk %[1]s/1.psk`, a.dir)
	a.change()
	a.sh("ip link set eth0 up")
	require.Eventually(t, func() bool { return holds(before) }, 3*time.Minute, 20*time.Millisecond, "%s", peers())
	a.reaches("172.31.1.2")
	end()
}
