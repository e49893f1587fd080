package wg_test

import (
	"cmp"
	"crypto/ecdh"
	"crypto/sha256"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

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

var prefixes = must.Prefixes

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
			name: "nobody's key is known in this run", change: func() { w.PublicKeys = nil },
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
			name: "a tunnel less, without purge", change: func() { w.Tunnels = w.Tunnels[:1] },
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
			name: "nothing at all", change: func() { w.Tunnels = []plan.Tunnel{} },
			writes: "Stop wg7; RemoveFile wg7", state: "mss: false false\n",
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

// device changes the device of an interface behind our back.
func (f *fake) device(name string, change func(d *wg.Device)) {
	d := f.devices[name]
	d.Peers = slices.Clone(d.Peers)
	change(&d)
	f.devices[name] = d
}

// Each field that somebody changed by hand comes back, and nothing else is touched.
func TestDrift(t *testing.T) {
	for name, tt := range map[string]struct {
		drift  func(f *fake)
		writes []string
		done   []string // nil: the writes say it all
	}{
		"nothing": {func(*fake) {}, nil, nil},
		"mtu":     {func(f *fake) { _ = f.SetMTU("wg1", 1500) }, []string{"SetMTU wg1 1340"}, nil},
		"down": {func(f *fake) {
			_ = f.link("wg1", nil, func(l *wg.Link) { l.Up = false })
		}, []string{"SetUp wg1"}, nil},
		"address missing": {func(f *fake) {
			_ = f.RemoveAddress("wg2", prefixes("fd00::2/127")[0])
		}, []string{"AddAddress wg2 fd00::2/127"}, nil},
		"address extra": {func(f *fake) {
			_ = f.AddAddress("wg1", prefixes("10.9.9.9/32")[0])
		}, []string{"RemoveAddress wg1 10.9.9.9/32"}, nil},
		"address replaced in its subnet": {
			func(f *fake) {
				_ = f.RemoveAddress("wg1", prefixes("172.31.1.0/31")[0])
				_ = f.AddAddress("wg1", prefixes("172.31.1.1/31")[0])
			},
			[]string{"AddAddress wg1 172.31.1.0/31", "RemoveAddress wg1 172.31.1.1/31", "AddAddress wg1 172.31.1.0/31"},
			nil,
		},
		"link-local": {func(f *fake) { _ = f.AddAddress("wg1", prefixes("fe80::1/64")[0]) }, nil, nil},
		"port": {
			func(f *fake) { f.device("wg1", func(d *wg.Device) { d.ListenPort = 999 }) },
			[]string{"Configure wg1"},
			[]string{"wg1: listen_port 51801"},
		},
		"private key": {
			func(f *fake) { f.device("wg1", func(d *wg.Device) { d.PublicKey = keyOf("new") }) },
			[]string{"Configure wg1"},
			[]string{"wg1: private key"},
		},
		"peer removed": {
			func(f *fake) { f.device("wg1", func(d *wg.Device) { d.Peers = nil }) },
			[]string{"Configure wg1"},
			[]string{"wg1: peer ann (added)"},
		},
		"peer extra": {
			func(f *fake) {
				f.device("wg1", func(d *wg.Device) { d.Peers = append(d.Peers, wg.LivePeer{PublicKey: keyOf("cat")}) })
			},
			[]string{"Configure wg1"},
			[]string{"wg1: peer " + keyOf("cat").String() + " (removed)"},
		},
		"preshared key": {
			func(f *fake) { f.device("wg1", func(d *wg.Device) { d.Peers[0].PresharedKey = wg.Fingerprint{7} }) },
			[]string{"Configure wg1"},
			[]string{"wg1: peer ann (preshared key)"},
		},
		"preshared key unset": {
			func(f *fake) { f.device("wg1", func(d *wg.Device) { d.Peers[0].PresharedKey = wg.Fingerprint{} }) },
			[]string{"Configure wg1"},
			[]string{"wg1: peer ann (preshared key)"},
		},
		"preshared key that should not be": {
			func(f *fake) { f.device("wg2", func(d *wg.Device) { d.Peers[0].PresharedKey = wg.Fingerprint{7} }) },
			[]string{"Configure wg2"},
			[]string{"wg2: peer bob (preshared key)"},
		},
		"keepalive": {
			func(f *fake) { f.device("wg1", func(d *wg.Device) { d.Peers[0].PersistentKeepalive = 0 }) },
			[]string{"Configure wg1"},
			[]string{"wg1: peer ann (persistent_keepalive 25)"},
		},
		"allowed ip missing": {
			func(f *fake) {
				f.device("wg1", func(d *wg.Device) { d.Peers[0].AllowedIPs = prefixes("172.31.1.0/31") })
			},
			[]string{"Configure wg1"},
			[]string{"wg1: peer ann (allowed_ips)"},
		},
		"allowed ip extra": {
			func(f *fake) {
				f.device("wg1", func(d *wg.Device) {
					d.Peers[0].AllowedIPs = prefixes("10.1.0.0/16 10.77.0.0/16 172.31.1.0/31")
				})
			},
			[]string{"Configure wg1"},
			[]string{"wg1: peer ann (allowed_ips)"},
		},
		"endpoint moved, peer silent": {
			func(f *fake) {
				f.device("wg1", func(d *wg.Device) { d.Peers[0].Endpoint = netip.MustParseAddrPort("192.0.2.9:1") })
			},
			[]string{"Configure wg1"},
			[]string{"wg1: peer ann (endpoint 203.0.113.1:51801)"},
		},
		"interface deleted": {func(f *fake) {
			_ = f.DeleteLink("wg1")
		}, slices.Concat([]string{"Create wg1"}, furnished), nil},
		"interface dead": {
			func(f *fake) {
				delete(f.devices, "wg1")
				_ = f.link("wg1", nil, func(l *wg.Link) { l.Kind = "tun" })
				f.units["wg1"] = wg.Unit{Enabled: true, Failed: true}
			},
			slices.Concat([]string{"DeleteLink wg1", "Reset wg1", "Create wg1"}, furnished),
			nil,
		},
		"not enabled": {func(f *fake) { f.units["wg1"] = wg.Unit{} }, []string{"Enable wg1"}, nil},
		"file edited": {func(f *fake) {
			f.files["wg1"] = wg.File{Ours: true, Text: wg.Mark}
		}, []string{"WriteFile wg1"}, nil},
		"file lost":    {func(f *fake) { delete(f.files, "wg1") }, []string{"WriteFile wg1"}, nil},
		"clamp table":  {func(f *fake) { f.mss.Live = "" }, []string{"SetMSS"}, nil},
		"clamp edited": {func(f *fake) { f.mss.Live = "chain other" }, []string{"SetMSS"}, nil},
		"others' table": {func(f *fake) {
			f.flushed = []string{"/etc/wgmesh/metadata.nft"}
		}, []string{"LoadTable /etc/wgmesh/metadata.nft"}, nil},
		"clamp file lost": {func(f *fake) { f.mss.File = "" }, []string{"SetMSS"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := meshHost()
			converge(t, f, mesh())
			good := f.dump()
			tt.drift(f)
			_, d := planned(t, f, mesh())
			done := must.Get(wg.Apply(t.Context(), f, d))(t)
			assert.Equal(t, tt.writes, f.writes)
			if tt.done != nil {
				assert.Equal(t, tt.done, done)
			}
			for n, l := range f.links { // ours or not, it is not our business
				l.Addresses = slices.DeleteFunc(l.Addresses, func(a netip.Prefix) bool {
					return a.Addr().Is6() && a.Addr().IsLinkLocalUnicast()
				})
				l.Kind = "wireguard"
				f.links[n] = l
			}
			assert.Equal(t, good, f.dump())
		})
	}
}

// A change of a peer's key takes the old one out first, in the same message,
// else both fight for the allowed IPs (cilium#35750).
func TestKeyChangeIsOneMessage(t *testing.T) {
	f, w := converged(t)
	w.PublicKeys["ann"] = keyOf("new")
	_, d := planned(t, f, w)
	require.Len(t, d.Tunnels, 1)
	peers := d.Tunnels[0].Device.Peers
	require.Len(t, peers, 2)
	assert.True(t, peers[0].Remove && peers[0].PublicKey == keyOf("ann"))
	assert.True(t, peers[1].Add && peers[1].PublicKey == keyOf("new"))
}

// Allowed IPs are added without taking the others away for a moment.
func TestAllowedIPsChangeInPlace(t *testing.T) {
	f, w := converged(t)
	w.Tunnels[0].Peers[0].AllowedIPs = prefixes("10.1.0.0/16 10.7.0.0/16 172.31.1.0/31")
	_, d := planned(t, f, w)
	p := d.Tunnels[0].Device.Peers[0]
	assert.Equal(t, prefixes("10.7.0.0/16"), p.AddAllowedIPs)
	assert.Empty(t, p.RemoveAllowedIPs)

	converge(t, f, w)
	w.Tunnels[0].Peers[0].AllowedIPs = prefixes("10.1.0.0/16 172.31.1.0/31")
	_, d = planned(t, f, w)
	p = d.Tunnels[0].Device.Peers[0]
	assert.Empty(t, p.AddAllowedIPs)
	assert.Equal(t, prefixes("10.7.0.0/16"), p.RemoveAllowedIPs)
	converge(t, f, w)
}

// A network within a wanted one of the same peer says nothing more. To take it away would drop
// packets, so it stays; beside another peer's network around it, it goes.
func TestAllowedIPsThatSayNothingMore(t *testing.T) {
	f, w := converged(t)
	change := func(peer int, text string) wg.PeerChange {
		t.Helper()
		w.Tunnels[0].Peers[peer].AllowedIPs = prefixes(text)
		_, d := planned(t, f, w)
		converge(t, f, w)
		require.Len(t, d.Tunnels, 1)
		return d.Tunnels[0].Device.Peers[0]
	}
	p := change(0, "0.0.0.0/0 ::/0")
	assert.Equal(t, prefixes("0.0.0.0/0 ::/0"), p.AddAllowedIPs)
	assert.Empty(t, p.RemoveAllowedIPs)

	p = change(0, "10.1.2.0/24 172.31.1.0/31")
	assert.Equal(t, prefixes("10.1.2.0/24"), p.AddAllowedIPs)
	assert.Equal(t, prefixes("0.0.0.0/0 10.1.0.0/16 ::/0"), p.RemoveAllowedIPs)

	w.Tunnels[0].Peers = append(w.Tunnels[0].Peers, plan.Peer{Name: "bob"})
	change(1, "10.1.0.0/16")
	p = change(0, "10.0.0.0/8 172.31.1.0/31")
	assert.Equal(t, prefixes("10.1.2.0/24"), p.RemoveAllowedIPs, "the network around it is bob's")
}

// A peer that roamed is left where it is while it answers.
func TestEndpoint(t *testing.T) {
	roamed := netip.MustParseAddrPort("192.0.2.9:4000")
	other := netip.MustParseAddrPort("203.0.113.99:51801")
	configured := mesh().Tunnels[0].Peers[0].Endpoint
	for name, tt := range map[string]struct {
		live netip.AddrPort
		age  time.Duration // of the last handshake
		want netip.AddrPort
		set  bool
	}{
		"as configured":                          {configured, time.Second, configured, false},
		"roamed and answers":                     {roamed, 179 * time.Second, configured, false},
		"roamed and silent":                      {roamed, 181 * time.Second, configured, true},
		"roamed, before the clock was set back":  {roamed, -time.Hour, configured, true},
		"roamed, configured anew":                {roamed, time.Second, other, true},
		"configured anew, the peer moved there":  {other, time.Second, other, false},
		"none yet":                               {netip.AddrPort{}, time.Second, configured, true},
		"no longer configured, as it was learnt": {roamed, time.Hour, netip.AddrPort{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			f, w := converged(t)
			f.device("wg1", func(d *wg.Device) {
				d.Peers[0].Endpoint, d.Peers[0].LastHandshake = tt.live, time.Now().Add(-tt.age)
			})
			w.Tunnels[0].Peers[0].Endpoint = tt.want
			_, d := planned(t, f, w)
			set := netip.AddrPort{}
			for _, td := range d.Tunnels {
				for _, p := range td.Device.Peers {
					set = p.Endpoint
				}
			}
			if tt.set {
				assert.Equal(t, tt.want, set)
			} else {
				assert.False(t, set.IsValid(), "endpoint set to %s", set)
			}
		})
	}
}

// furnished is what is done to wg1 once it is made.
var furnished = []string{"Configure wg1", "SetMTU wg1 1340", "AddAddress wg1 172.31.1.0/31", "SetUp wg1"}
