package wg_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/wg"
)

// device changes the device of an interface behind our back.
func (f *fake) device(name string, change func(d *wg.Device)) {
	d := f.devices[name]
	d.Peers = slices.Clone(d.Peers)
	change(&d)
	f.devices[name] = d
}

// Each field that somebody changed by hand comes back, and nothing else is
// touched.
func TestDrift(t *testing.T) {
	tests := map[string]struct {
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
	}
	for name, tt := range tests {
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
	tests := map[string]struct {
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
	}
	for name, tt := range tests {
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
