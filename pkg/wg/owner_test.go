package wg_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/wg"
)

// road is a tunnel that a user makes for himself.
func road() wg.Want {
	w := mesh()
	w.Tunnels = []plan.Tunnel{
		{Name: "wg-road", ListenPort: 51821, Addresses: prefixes("10.99.0.1/24"), MTU: 1400, Peers: []plan.Peer{{
			Name: "cat", PublicKey: keyOf("cat"), AllowedIPs: prefixes("10.99.0.2/32"),
		}}},
	}
	return w
}

func of(mesh string, w wg.Want) wg.Want {
	w.Mesh = mesh
	return w
}

// rows are the lines of a dump that are about one interface.
func rows(f *fake, name string) string {
	_, text, _ := strings.Cut("\n"+f.dump(), "\n"+name+":")
	text, _, _ = strings.Cut(text, "\nwg")
	text, _, _ = strings.Cut(text, "\nmss")
	return text + f.files[name].Text
}

// A mesh removes what it made and nothing else, and so does a user.
func TestPurgeIsOfOneMesh(t *testing.T) {
	f := meshHost()
	f.boot = wg.BootAbsent
	converge(t, f, road())
	alone := rows(f, "wg-road")
	w := of("routers", mesh())
	converge(t, f, w)
	assert.Contains(t, f.files["wg1"].Text, "\n# mesh: routers\n[Interface]")
	w.Tunnels, w.Purge = w.Tunnels[:1], true
	assert.Equal(t, []string{"wg2: removed"}, converge(t, f, w))
	assert.Equal(t, alone, rows(f, "wg-road"))
	kept := rows(f, "wg1")
	w.Tunnels = []plan.Tunnel{}
	converge(t, f, w)
	assert.Equal(t, []string{"wg-road"}, slices.Sorted(maps.Keys(f.files)))
	assert.Equal(t, alone, rows(f, "wg-road"))
	assert.Equal(t, wg.MSSText("wg"), f.mss.File, "the clamp of the user's tunnel stays")
	assert.Equal(t, wg.BootCurrent, f.boot, "and what brings it up at boot")

	w = of("routers", mesh())
	w.Tunnels = w.Tunnels[:1]
	converge(t, f, w)
	f.damaged = errors.New("not a key")
	r := road()
	r.Tunnels, r.Purge = []plan.Tunnel{}, true
	assert.Equal(t, []string{"wg-road: removed"}, converge(t, f, r))
	assert.Equal(t, kept, rows(f, "wg1"))
}

// A purge that was decided on before takes nothing that another run has made since: another tunnel,
// one of the same name, or the filter of one that stays.
func TestPurgeIsOfWhatWasStale(t *testing.T) {
	f := meshHost()
	f.boot = wg.BootAbsent
	w := of("routers", mesh())
	w.Input = wg.InputMesh
	converge(t, f, w)
	kept := rows(f, "wg2")
	later := func(names, peers []string) wg.Want {
		w := of("routers", mesh())
		w.Tunnels, w.Purge, w.Stale = []plan.Tunnel{}, true, &wg.Gone{Names: names, Peers: peers}
		return w
	}
	assert.Empty(t, converge(t, f, later([]string{"wg1"}, []string{"another"})))
	assert.Empty(t, converge(t, f, later([]string{}, nil)))
	want := []string{"mss clamp and input filter: loaded", "wg1: removed"}
	assert.Equal(t, want, converge(t, f, later([]string{"wg1"}, []string{"ann"})))
	assert.Equal(t, kept, rows(f, "wg2"))
	assert.Equal(t, wg.BootCurrent, f.boot)
	assert.Contains(t, f.mss.File, "wg2", "its filter")
}

// Two prefixes are clamped side by side, and neither run undoes the other.
func TestClampOfTwo(t *testing.T) {
	f := meshHost()
	w := of("routers", mesh())
	w.InterfacePrefix, w.Tunnels[0].Name, w.Tunnels[1].Name = "mesh", "mesh1", "mesh2"
	converge(t, f, w)
	converge(t, f, road())
	for _, w := range []wg.Want{w, road()} {
		_, d := planned(t, f, w)
		assert.True(t, d.Empty(), "%+v", d)
	}
	r := road()
	r.MSSClamp = false
	converge(t, f, r)
	_, d := planned(t, f, w)
	assert.True(t, d.Empty(), "%+v", d)
	assert.Equal(t, wg.MSSText("mesh"), f.mss.File)
}

// The filter of a mesh stays when a user purges, and the other way round.
func TestFilterOfTwoOwners(t *testing.T) {
	f := meshHost()
	r := road()
	r.Input = wg.InputMesh
	converge(t, f, r)
	w := of("routers", mesh())
	w.Purge = true
	converge(t, f, w)
	_, d := planned(t, f, r)
	assert.True(t, d.Empty(), "%+v", d)
}

// Files from before meshes had names are taken over where they are this mesh's, and
// nothing but their comment changes.
func TestAdopts(t *testing.T) {
	f := meshHost()
	converge(t, f, mesh())
	w := of("routers", mesh())
	assert.Equal(t, []string{"wg1: wg-quick file", "wg2: wg-quick file"}, converge(t, f, w))
}

func TestOlderFiles(t *testing.T) {
	for name, tt := range map[string]struct {
		change  func(*wg.Want)
		removed string // what a purge removes
		warns   string
	}{
		"to a router that is absent": {func(w *wg.Want) { w.Removed = []string{"ann", "dan"} }, "wg1", ""},
		"to one that is not known": {func(w *wg.Want) {
			w.Removed = []string{"dan"}
		}, "", "wg1: a tunnel to ann that an older version made is left alone"},
		"no mesh at all": {func(w *wg.Want) { w.Mesh = "" }, "wg1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f, w := meshHost(), of("routers", mesh())
			old := mesh()
			old.Tunnels[0].Peers[0].PresharedKeyFile = "/psk/1.psk"
			f.psks["/psk/1.psk"] = wg.Fingerprint{1}
			converge(t, f, old)
			w.Tunnels, w.Purge = w.Tunnels[1:], true
			tt.change(&w)
			s, _ := planned(t, f, w)
			assert.Equal(t, tt.removed, strings.Join(wg.Stale(w, s), " "))
			assert.Contains(t, strings.Join(wg.Unnamed(w, s), " "), tt.warns)
			converge(t, f, w)
			_, there := f.files["wg1"]
			assert.Equal(t, tt.removed == "", there)
		})
	}
}

// What somebody else made is refused by its name and his.
func TestOthersAreRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		have, want func() wg.Want
		err        string // empty: taken over
	}{
		"another mesh": {
			func() wg.Want { return of("routers", mesh()) }, func() wg.Want { return of("partners", mesh()) },
			"wg1: /etc/wireguard/wg1.conf belongs to the mesh routers: choose another name",
		},
		"a mesh, for a user": {
			func() wg.Want {
				return of("routers", mesh())
			}, mesh, "wg2: /etc/wireguard/wg2.conf belongs to the mesh routers",
		},
		"a user's, of a planned name": {
			func() wg.Want {
				w := road()
				w.Tunnels[0].Name = "wg1"
				return w
			}, func() wg.Want { return of("routers", mesh()) },
			"wg1: /etc/wireguard/wg1.conf was made with wg_tunnel for no mesh, to cat: remove it",
		},
		"a user's, at a planned port": {
			func() wg.Want { w := road(); w.Tunnels[0].ListenPort = 51802; return w },
			func() wg.Want { w := of("routers", mesh()); w.Purge = true; return w },
			"wg2: UDP port 51802 is that of interface wg-road, which wg_tunnel made for no mesh",
		},
		"a user's, with a planned address": {
			func() wg.Want { w := road(); w.Tunnels[0].Addresses = prefixes("172.31.1.0/24"); return w },
			func() wg.Want { w := of("routers", mesh()); w.Replace = true; return w },
			"wg1: address 172.31.1.0 is that of interface wg-road, which wg_tunnel made for no mesh",
		},
		"the mesh that it leaves": {
			func() wg.Want {
				return of("routers", mesh())
			}, func() wg.Want { w := of("partners", mesh()); w.Before = "routers"; return w }, "",
		},
		"an older file, its peer renamed": {
			mesh, func() wg.Want { w := of("routers", mesh()); w.Tunnels[0].Peers[0].Name = "anna"; return w }, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, w := meshHost(), tt.want()
			converge(t, f, tt.have())
			s, err := wg.Observe(t.Context(), f, w)
			require.NoError(t, err)
			_, err = wg.Diff(w, s)
			if tt.err == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.err)
			for line := range strings.Lines(err.Error()) {
				assert.LessOrEqual(t, len(line), 161, line)
			}
		})
	}
}
