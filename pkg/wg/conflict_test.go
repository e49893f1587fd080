package wg_test

import (
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/wg"
)

// Ports and addresses go from one interface of ours to another in one run.
func TestMakesRoom(t *testing.T) {
	for name, change := range map[string]func(*wg.Want){
		"two swap their ports": func(w *wg.Want) {
			w.Tunnels[0].ListenPort, w.Tunnels[1].ListenPort = w.Tunnels[1].ListenPort, w.Tunnels[0].ListenPort
		},
		"each takes the next one's": func(w *wg.Want) {
			w.Tunnels[0].ListenPort, w.Tunnels[1].ListenPort = 51802, 51803
		},
		"one takes that of one that may have any": func(w *wg.Want) {
			w.Tunnels[0].ListenPort, w.Tunnels[1].ListenPort = 51802, 0
		},
		"two swap their addresses": func(w *wg.Want) {
			w.Tunnels[0].Addresses, w.Tunnels[1].Addresses = w.Tunnels[1].Addresses, w.Tunnels[0].Addresses
		},
		"all have other names": func(w *wg.Want) {
			w.Tunnels[0].Name, w.Tunnels[1].Name, w.Replace = "vpn1", "vpn2", true
		},
		"all have other names and ports": func(w *wg.Want) {
			w.Tunnels[0].Name, w.Tunnels[1].Name, w.Replace = "vpn1", "vpn2", true
			w.Tunnels[0].ListenPort, w.Tunnels[1].ListenPort = 50001, 50002
		},
		"other names, with a purge": func(w *wg.Want) {
			w.Tunnels[0].Name, w.Tunnels[1].Name, w.Purge = "vpn1", "vpn2", true
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, w := converged(t)
			change(&w)
			converge(t, f, w)
			if strings.HasPrefix(w.Tunnels[0].Name, "vpn") {
				assert.NotContains(t, f.dump(), "wg1", "what was in the way is gone")
			}
		})
	}
}

// What somebody else has is refused before anything is written, with his name.
func TestRefusesWhatOthersHave(t *testing.T) {
	for name, tt := range map[string]struct {
		host   func(*fake)
		change func(*wg.Want)
		want   string
	}{
		"a port of a program": {
			func(f *fake) { f.ports = map[int]string{51801: "nginx (process 7)"} }, nil,
			"wg1: UDP port 51801 is held by nginx (process 7): end that",
		},
		"a port of a program, later": {
			func(f *fake) { f.ports = map[int]string{51909: "chronyd (process 8)"} },
			func(w *wg.Want) { w.Tunnels[0].ListenPort = 51909 },
			"wg1: UDP port 51909 is held by chronyd (process 8)",
		},
		"an address": {
			func(f *fake) {
				f.links["eth0"] = wg.Link{
					Kind: "dummy", Up: true, Addresses: []netip.Prefix{netip.MustParsePrefix("172.31.1.0/24")},
				}
			}, nil,
			"wg1: address 172.31.1.0 is on interface eth0",
		},
		"names without a guard": {
			nil, func(w *wg.Want) { w.Tunnels[0].Name, w.Tunnels[1].Name = "vpn1", "vpn2" },
			"vpn1: UDP port 51801 is that of interface wg1, which is not wanted any more: set purge: true",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, w := meshHost(), mesh()
			if tt.change != nil {
				converge(t, f, w)
				tt.change(&w)
			}
			if tt.host != nil {
				tt.host(f)
			}
			s := must.Get(wg.Observe(t.Context(), f, w))(t)
			require.ErrorContains(t, must.Err(wg.Diff(w, s)), tt.want)
		})
	}
}

// A link-local address is one of a link: others have the same, such as docker0 fe80::1.
func TestLinkLocalIsNobodys(t *testing.T) {
	f, w := meshHost(), mesh()
	f.links["docker0"] = wg.Link{Kind: "bridge", Up: true, Addresses: prefixes("fe80::1/64")}
	f.links["wg9"], f.files["wg9"] = wg.Link{Kind: "wireguard", Addresses: prefixes("fe80::1/64")},
		wg.File{Ours: true, Text: wg.Mark + "\n"}
	w.Tunnels[0].Addresses = prefixes("fe80::1/64")
	converge(t, f, w)
}

// An interface that had lost its file was there all the same.
func TestRevertWithoutFile(t *testing.T) {
	f, w := converged(t)
	delete(f.files, "wg1")
	s, d := planned(t, f, w)
	_, interfaces := wg.Touched(w, s, d)
	must.Get(wg.Apply(t.Context(), f, d))(t)
	must.Get(wg.Revert(t.Context(), f, interfaces, map[string]string{}))(t)
	assert.Contains(t, f.links, "wg1")
}

// A process that hangs is the trouble of its own tunnel: the others are mended, and go back.
func TestOneHangs(t *testing.T) {
	f, w := converged(t)
	want := f.devices["wg2"].ListenPort
	texts := map[string]string{"wg1": f.files["wg1"].Text, "wg2": f.files["wg2"].Text}
	for i := range w.Tunnels {
		w.Tunnels[i].ListenPort += 100
	}
	s, d := planned(t, f, w)
	_, before := wg.Touched(w, s, d)
	l := f.links["wg1"]
	l.Kind, f.hangs = "tun", "wg1"
	f.links["wg1"] = l

	s, d = planned(t, f, w)
	must.Get(wg.Apply(t.Context(), f, d))(t)
	assert.Equal(t, want+100, f.devices["wg2"].ListenPort)
	var named []string
	for _, p := range wg.PendingPeers(w, s) {
		assert.Equal(t, "read WireGuard state: injected", p.Reason)
		assert.True(t, p.Refused)
		named = append(named, p.Tunnel)
	}
	assert.Equal(t, []string{"wg1"}, slices.Compact(named))

	_, err := wg.Revert(t.Context(), f, before, texts)
	require.ErrorIs(t, err, errInjected)
	assert.Equal(t, want, f.devices["wg2"].ListenPort)

	l.Kind = "wireguard" // the kernel has no process that can hang
	f.links["wg1"] = l
	require.ErrorIs(t, must.Err(wg.Observe(t.Context(), f, w)), errInjected)
}

// A change that is taken back leaves the host as it was, also when the way back is
// cut off at any of its steps and taken again.
func TestRevert(t *testing.T) {
	for name, change := range map[string]func(*fake, *wg.Want){
		"address": func(_ *fake, w *wg.Want) { w.Tunnels[0].Addresses = prefixes("172.30.1.0/31") },
		"port":    func(_ *fake, w *wg.Want) { w.Tunnels[0].ListenPort = 50001 },
		"ports":   func(_ *fake, w *wg.Want) { w.Tunnels[0].ListenPort, w.Tunnels[1].ListenPort = 51802, 51801 },
		"MTU":     func(_ *fake, w *wg.Want) { w.Tunnels[0].MTU = 576 },
		"MTU and port that there were not": func(f *fake, w *wg.Want) {
			*f, w.Tunnels[0].MTU, w.Tunnels[0].ListenPort = *meshHost(), 0, 0
			converge(t, f, *w)
			w.Tunnels[0].MTU, w.Tunnels[0].ListenPort = 9000, 50001
		},
		"key": func(_ *fake, w *wg.Want) { w.PublicKeys["ann"] = keyOf("new") },
		"endpoint": func(_ *fake, w *wg.Want) {
			w.Tunnels[0].Peers[0].Endpoint = netip.MustParseAddrPort("192.0.2.1:1")
		},
		"allowed IPs": func(_ *fake, w *wg.Want) { w.Tunnels[0].Peers[0].AllowedIPs = prefixes("10.9.0.0/16") },
		"names": func(_ *fake, w *wg.Want) {
			w.Tunnels[0].Name, w.Tunnels[1].Name, w.Replace = "vpn1", "vpn2", true
		},
		"one more": func(_ *fake, w *wg.Want) {
			more := w.Tunnels[1]
			more.Name, more.ListenPort, more.Addresses = "wg3", 51803, prefixes("172.31.3.0/31")
			more.Peers = []plan.Peer{{Name: "cat", PublicKey: keyOf("cat")}}
			w.Tunnels = append(w.Tunnels, more)
		},
		"a name for the mesh": func(_ *fake, w *wg.Want) { w.Mesh = "routers" },
		"and another port":    func(_ *fake, w *wg.Want) { w.Mesh, w.Tunnels[0].ListenPort = "routers", 50001 },
		"purge":               func(_ *fake, w *wg.Want) { w.Tunnels, w.Purge = w.Tunnels[:1], true },
		"first of all":        func(f *fake, _ *wg.Want) { *f = *meshHost() },
		"one was down":        func(f *fake, _ *wg.Want) { delete(f.links, "wg1"); delete(f.devices, "wg1") },
		"none at boot":        func(f *fake, _ *wg.Want) { clear(f.units) },
		"a mended file": func(f *fake, _ *wg.Want) {
			f.files["wg1"] = wg.File{Ours: true, Text: f.files["wg1"].Text + "# x\n"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for cut := range 30 {
				f, w := converged(t)
				change(f, &w)
				f.mss, f.boot = wg.MSS{File: "x", Live: "x"}, wg.BootCurrent // not a matter of Revert
				before := f.dump()
				texts := map[string]string{}
				for name, file := range f.files {
					texts[name] = file.Text
				}
				s, d := planned(t, f, w)
				d.MSS = nil
				_, interfaces := wg.Touched(w, s, d)
				must.Get(wg.Apply(t.Context(), f, d))(t)
				f.writes, f.failAt = nil, cut
				_, err := wg.Revert(t.Context(), f, interfaces, texts)
				if cut == 0 {
					require.NoError(t, err)
				}
				whole := len(f.writes) < cut
				f.failAt = 0
				must.Get(wg.Revert(t.Context(), f, interfaces, texts))(t)
				assert.Equal(t, strings.ReplaceAll(before, "failed=true", "failed=false"),
					strings.ReplaceAll(f.dump(), "failed=true", "failed=false"), "cut off at step %d", cut)
				f.writes = nil
				must.Get(wg.Revert(t.Context(), f, interfaces, texts))(t)
				assert.Empty(t, f.writes, "a third time does nothing")
				if whole {
					break
				}
			}
		})
	}
}

// processes are interfaces by processes, which answer when all of them were asked.
type processes struct {
	*fake
	all, asked atomic.Int32
}

func (p *processes) Device(string) (wg.Device, error) {
	p.asked.Add(1)
	for end := time.Now().Add(10 * time.Second); p.asked.Load() < p.all.Load(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return wg.Device{}, nil
		}
	}
	return wg.Device{}, errInjected
}

// Each that hangs costs seconds, so all of them are asked at the same time.
func TestManyHang(t *testing.T) {
	f, w := converged(t)
	p := processes{fake: f}
	for name, l := range f.links {
		if _, ours := f.devices[name]; ours {
			l.Kind = "tun"
			f.links[name] = l
			p.all.Add(1)
		}
	}
	require.Greater(t, p.all.Load(), int32(1))
	s := must.Get(wg.Observe(t.Context(), &p, w))(t)
	for name := range f.devices {
		require.ErrorIs(t, s.Interfaces[name].Silent, errInjected, name)
	}
}
