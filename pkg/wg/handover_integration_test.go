//go:build integration

package wg_test

import (
	"context"
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

	b.want.PublicKeys["a"] = newKeys(t, a, b)
	b.want.Handover = []string{"a"}
	limit := 20 * time.Second
	end := b.watch(b.change(), limit)
	began := time.Now()
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
