package wg_test

import (
	"cmp"
	"crypto/ecdh"
	"crypto/sha256"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/wg"
)

const keyPath = "/etc/wireguard/wgmesh.key"

// people are the routers of these tests.
var people = []string{"me", "ann", "bob", "cat", "new"}

// keyOf is the public key of someone.
func keyOf(name string) plan.PublicKey {
	seed := sha256.Sum256([]byte(name))
	private, err := ecdh.X25519().NewPrivateKey(seed[:])
	if err != nil {
		panic(err)
	}
	return plan.PublicKey(private.PublicKey().Bytes())
}

// nick is whose key it is.
func nick(k plan.PublicKey) string {
	for _, name := range people {
		if keyOf(name) == k {
			return name
		}
	}
	return k.String()
}

func prefixes(text string) []netip.Prefix {
	var out []netip.Prefix
	for _, one := range strings.Fields(text) {
		out = append(out, netip.MustParsePrefix(one))
	}
	return out
}

// mesh is a want of two tunnels, of which tests change what they are about.
func mesh() wg.Want {
	return wg.Want{
		PrivateKeyFile: keyPath, Directory: "/etc/wireguard", InterfacePrefix: "wg", MSSClamp: true,
		Tables:     map[string]string{"wgmesh_metadata": "/etc/wgmesh/metadata.nft"},
		PublicKeys: map[string]plan.PublicKey{"ann": keyOf("ann"), "bob": keyOf("bob")},
		Tunnels: []plan.Tunnel{
			{Name: "wg1", ListenPort: 51801, Addresses: prefixes("172.31.1.0/31"), MTU: 1340, Peers: []plan.Peer{{
				Name: "ann", Endpoint: netip.MustParseAddrPort("203.0.113.1:51801"), PersistentKeepalive: 25,
				AllowedIPs: prefixes("10.1.0.0/16 172.31.1.0/31"), PresharedKeyFile: "/psk/1",
			}}},
			{
				Name: "wg2", ListenPort: 51802, Addresses: prefixes("172.31.2.1/31 fd00::2/127"),
				MTU: 1420, Peers: []plan.Peer{{
					Name: "bob", Endpoint: netip.MustParseAddrPort("203.0.113.2:51802"),
					AllowedIPs: prefixes("10.2.0.0/16 172.31.2.0/31"),
				}},
			},
		},
	}
}

// meshHost is a host with the pre-shared keys of mesh.
func meshHost() *fake {
	f := newFake()
	f.psks["/psk/1"] = wg.Fingerprint{1}
	return f
}

// planned is Observe and Diff, with what must hold for any plan.
func planned(t *testing.T, f *fake, w wg.Want) (wg.Have, wg.Delta) {
	t.Helper()
	require.NoError(t, w.Validate())
	f.writes = nil
	before := f.dump()
	s := must.Get(wg.Observe(t.Context(), f, w))(t)
	d := must.Get(wg.Diff(w, s))(t)
	old, now := wg.Views(w, s, d)
	assert.Equal(t, d.Empty(), assert.ObjectsAreEqual(old, now),
		"the views must differ exactly when something changes: %+v -> %+v (%+v)", old, now, d)
	assert.Empty(t, f.writes, "a plan must not write")
	assert.Equal(t, before, f.dump())
	return s, d
}

// converge applies w, and requires that a second plan finds nothing to do.
func converge(t *testing.T, f *fake, w wg.Want) (done []string) {
	t.Helper()
	_, d := planned(t, f, w)
	done = must.Get(wg.Apply(t.Context(), f, d))(t)
	_, again := planned(t, f, w)
	require.True(t, again.Empty(), "second plan: %+v", again)
	return done
}

// converged is a host that has what mesh wants.
func converged(t *testing.T) (*fake, wg.Want) {
	t.Helper()
	f, w := meshHost(), mesh()
	converge(t, f, w)
	return f, w
}

// TestStates walks one host through wants and compares all of it after each.
func TestStates(t *testing.T) {
	f := meshHost()
	w := mesh()
	steps := []struct {
		name   string
		change func()
		writes string
		state  string // none is as before
	}{
		{
			name: "from nothing", change: func() {},
			writes: "SetMSS; WriteFile wg1; WriteFile wg2; Enable wg1 wg2; Create wg1; Create wg2; Configure wg1; " +
				"SetMTU wg1 1340; AddAddress wg1 172.31.1.0/31; SetUp wg1; " +
				"Configure wg2; SetMTU wg2 1420; AddAddress wg2 172.31.2.1/31; AddAddress wg2 fd00::2/127; SetUp wg2",
			state: `wg1: up=true mtu=1340 [172.31.1.0/31] key=me port=51801 enabled=true failed=false
  ann: psk=01 203.0.113.1:51801 [10.1.0.0/16 172.31.1.0/31] keepalive=25
wg2: up=true mtu=1420 [172.31.2.1/31 fd00::2/127] key=me port=51802 enabled=true failed=false
  bob: psk=00 203.0.113.2:51802 [10.2.0.0/16 172.31.2.0/31] keepalive=0
mss: true true
`,
		},
		{
			name:   "another peer, one file",
			change: func() { w.PublicKeys["ann"] = keyOf("new") },
			writes: "Configure wg1; WriteFile wg1",
			state: `wg1: up=true mtu=1340 [172.31.1.0/31] key=me port=51801 enabled=true failed=false
  new: psk=01 203.0.113.1:51801 [10.1.0.0/16 172.31.1.0/31] keepalive=25
wg2: up=true mtu=1420 [172.31.2.1/31 fd00::2/127] key=me port=51802 enabled=true failed=false
  bob: psk=00 203.0.113.2:51802 [10.2.0.0/16 172.31.2.0/31] keepalive=0
mss: true true
`,
		},
		{
			name:   "nobody's key is known in this run",
			change: func() { w.PublicKeys = nil },
			writes: "",
		},
		{
			name: "every field of one tunnel",
			change: func() {
				w.Tunnels[1].Addresses, w.Tunnels[1].MTU, w.Tunnels[1].ListenPort = prefixes(
					"172.31.9.1/31"), 1400, 51809
				w.Tunnels[1].Peers[0].PersistentKeepalive = 10
				w.Tunnels[1].Peers[0].AllowedIPs = prefixes("10.2.0.0/16 172.31.9.0/31")
				w.Tunnels[1].Peers[0].Endpoint = netip.MustParseAddrPort("[2001:db8::9]:51809")
			},
			writes: "SetMTU wg2 1400; AddAddress wg2 172.31.9.1/31; RemoveAddress wg2 172.31.2.1/31; " +
				"RemoveAddress wg2 fd00::2/127; Configure wg2; WriteFile wg2",
			state: `wg1: up=true mtu=1340 [172.31.1.0/31] key=me port=51801 enabled=true failed=false
  new: psk=01 203.0.113.1:51801 [10.1.0.0/16 172.31.1.0/31] keepalive=25
wg2: up=true mtu=1400 [172.31.9.1/31] key=me port=51809 enabled=true failed=false
  bob: psk=00 [2001:db8::9]:51809 [10.2.0.0/16 172.31.9.0/31] keepalive=10
mss: true true
`,
		},
		{
			name:   "a tunnel less, without purge",
			change: func() { w.Tunnels = w.Tunnels[:1] },
			writes: "",
		},
		{
			name:   "purge it, clamp no more",
			change: func() { w.Purge, w.MSSClamp = true, false },
			writes: "SetMSS; WriteFile wg1; Stop wg2; RemoveFile wg2",
			state: `wg1: up=true mtu=1340 [172.31.1.0/31] key=me port=51801 enabled=true failed=false
  new: psk=01 203.0.113.1:51801 [10.1.0.0/16 172.31.1.0/31] keepalive=25
mss: false false
`,
		},
		{
			name: "renamed: the old one holds the port until it is gone",
			change: func() {
				w.Tunnels[0].Name = "wg7"
				w.PublicKeys = map[string]plan.PublicKey{"ann": keyOf("ann")}
			},
			writes: "Stop wg1; RemoveFile wg1; WriteFile wg7; Enable wg7; Create wg7; Configure wg7; " +
				"SetMTU wg7 1340; AddAddress wg7 172.31.1.0/31; SetUp wg7",
			state: `wg7: up=true mtu=1340 [172.31.1.0/31] key=me port=51801 enabled=true failed=false
  ann: psk=01 203.0.113.1:51801 [10.1.0.0/16 172.31.1.0/31] keepalive=25
mss: false false
`,
		},
		{
			name:   "nothing at all",
			change: func() { w.Tunnels = []plan.Tunnel{} },
			writes: "Stop wg7; RemoveFile wg7",
			state:  "mss: false false\n",
		},
	}
	last := ""
	for _, s := range steps {
		s.change()
		_, d := planned(t, f, w)
		must.Get(wg.Apply(t.Context(), f, d))(t, s.name)
		assert.Equal(t, s.writes, strings.Join(f.writes, "; "), s.name)
		state := f.dump()
		for _, line := range strings.Split(state, "\n") {
			state = strings.Replace(state, line, strings.Split(line, " file=")[0], 1)
		}
		last = cmp.Or(s.state, last)
		assert.Equal(t, last, state, s.name)
		_, again := planned(t, f, w)
		assert.True(t, again.Empty(), "%s: second plan: %+v", s.name, again)
	}
}
