package mesh_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/mesh"
	"github.com/wgmesh/router/pkg/plan"
)

// The figures of the case, as its network was built by hand.
func TestFieldCase(t *testing.T) {
	all := plans(t, load(t, "field-case"))
	names, interfaces := map[string]int{}, 0
	for _, p := range all {
		for _, tunnel := range p.Tunnels {
			names[tunnel.Name]++
			interfaces++
		}
	}
	assert.Len(t, names, 21)
	assert.Equal(t, 42, interfaces)
	for n := 1; n <= 21; n++ {
		assert.Equal(t, 2, names[fmt.Sprintf("wg%d", n)], "wg%d", n)
	}
	// The tunnel that the case describes: wg20 between aws-1 (5) and gcp-1 (7).
	i := slices.IndexFunc(all["gcp-1"].Tunnels, func(x plan.Tunnel) bool { return x.Name == "wg20" })
	assert.Equal(t, plan.Tunnel{
		Name: "wg20", ListenPort: 51820, MTU: 1400,
		Addresses: must.Prefixes("172.31.20.2/24"),
		Peers: []plan.Peer{{
			Name:                "aws-1",
			Endpoint:            netip.MustParseAddrPort("198.51.100.11:51820"),
			AllowedIPs:          prefixes("10.0.0.0/16", "10.1.0.0/16", "10.2.0.0/16", "172.31.20.0/24"),
			PersistentKeepalive: 25, PresharedKeyFile: "/etc/wireguard/wgmesh-psk/20.psk",
		}},
	}, all["gcp-1"].Tunnels[i])
	assert.Equal(t, []plan.Originate{
		{Network: netip.MustParsePrefix("10.1.0.0/16"), MED: 50},
		{Network: netip.MustParsePrefix("10.1.1.0/24"), MED: 100},
		{Network: netip.MustParsePrefix("10.1.2.0/24"), MED: 0},
	}, all["azure-2"].Bird.Originate)
	assert.True(t, all["gcp-1"].Bird.Static[0].OnLink)
	assert.False(t, all["aws-1"].Bird.Static[0].OnLink)
}

var prefixes = must.Prefixes

// random makes a valid mesh, the same one for the same seed.
func random(seed uint64) mesh.Mesh {
	r := rand.New(rand.NewPCG(seed, 1))
	var m mesh.Mesh
	m.SetDefaults()
	m.LinkPrefixLength = 24 + r.IntN(8)
	m.LinkPool = "172.16.0.0/12"
	m.Sites, m.Routers = map[string]mesh.Site{}, map[string]mesh.Router{}
	ids := r.Perm(30)
	for s := range 1 + r.IntN(5) {
		transit := r.IntN(4) > 0
		in := mesh.Site{AS: plan.AS(65001 + s), Transit: &transit, Zones: map[string]mesh.Zone{}}
		in.Cloud = []string{"", "azure", "gcp"}[r.IntN(3)]
		families := 1 + r.IntN(3)
		for z := range 1 + r.IntN(3) {
			var zone mesh.Zone
			if families&1 != 0 {
				zone.Networks = append(zone.Networks, fmt.Sprintf("10.%d.%d.0/24", s, z))
			}
			if families&2 != 0 {
				zone.Networks = append(zone.Networks, fmt.Sprintf("2001:db8:%d:%d::/64", s, z))
			}
			in.Zones[fmt.Sprint(z)] = zone
		}
		if families&1 != 0 {
			in.Networks = append(in.Networks, fmt.Sprintf("10.%d.0.0/16", s))
		}
		if families&2 != 0 {
			in.Networks = append(in.Networks, fmt.Sprintf("2001:db8:%d::/48", s))
		}
		name := fmt.Sprintf("site%d", s)
		m.Sites[name] = in
		for range 1 + r.IntN(3) {
			id := 1 + ids[len(m.Routers)]
			endpoint := fmt.Sprintf("192.0.2.%d", id)
			if r.IntN(3) == 0 {
				endpoint = fmt.Sprintf("2001:db8:ffff::%d", id)
			}
			m.Routers[fmt.Sprintf("r-%d", id)] = mesh.Router{
				ID: id, Site: name, Zone: fmt.Sprint(r.IntN(len(in.Zones))), Endpoint: endpoint,
			}
		}
	}
	// Some are behind address translation: one at most, or as many as come.
	for i, name := range slices.Sorted(maps.Keys(m.Routers)) {
		if (i == 0 || seed%2 == 1) && r.IntN(2) == 0 {
			router(&m, name, func(x *mesh.Router) { x.Endpoint = "" })
		}
		if seed%4 == 3 {
			router(&m, name, func(x *mesh.Router) {
				x.EndpointPortBase, x.ListenPortBase = r.IntN(2)*52000, r.IntN(2)*53000
				x.Endpoints = map[string]string{
					fmt.Sprintf("site%d", r.IntN(len(m.Sites))): fmt.Sprintf("203.0.113.%d", x.ID),
				}
			})
		}
	}
	return m
}

// meshes are those that the properties below are tried on.
func meshes(t *testing.T) map[string]mesh.Mesh {
	out := map[string]mesh.Mesh{}
	for _, name := range []string{"field-case", "dual-stack", "behind-nat", "one-address"} {
		out[name] = load(t, name)
	}
	for seed := range uint64(120) {
		m := random(seed)
		if err := m.Validate(); err != nil { // those that nobody carries for
			require.ErrorContains(t, err, "no third router carries for them")
			require.Equal(t, uint64(1), seed%2)
			continue
		}
		out[fmt.Sprintf("random %d", seed)] = m
	}
	require.Greater(t, len(out), 90)
	return out
}

// The two ends of every tunnel fit together.
func TestEndsAgree(t *testing.T) {
	for name, m := range meshes(t) {
		t.Run(name, func(t *testing.T) {
			all := plans(t, m)
			for a, p := range all {
				for b := range all {
					_, joined := called(m, a, b)
					_, back := called(m, b, a)
					assert.Equal(t, a != b && (joined || back), peer(p, b).Name == b, "%s and %s", a, b)
				}
				assert.True(t, slices.IsSorted(p.Sysctl.ReservedPorts))
				for i, tunnel := range p.Tunnels {
					far := all[tunnel.Peers[0].Name]
					j := slices.IndexFunc(far.Tunnels, func(x plan.Tunnel) bool { return x.Name == tunnel.Name })
					require.GreaterOrEqual(t, j, 0, "%s at %s", tunnel.Name, far.Router.Name)
					agree(t, m, p, far, i, j)
					assert.Equal(t, a, far.Tunnels[j].Peers[0].Name)
				}
			}
		})
	}
}

// called is the address at which a caller finds a router.
func called(m mesh.Mesh, caller, at string) (string, bool) {
	r := m.Routers[at]
	if a, found := r.Endpoints[m.Routers[caller].Site]; found {
		return a, true
	}
	return r.Endpoint, r.Endpoint != ""
}

func agree(t *testing.T, m mesh.Mesh, here, there plan.Plan, i, j int) {
	t.Helper()
	a, b := here.Tunnels[i], there.Tunnels[j]
	na, nb := here.Bird.Neighbors[i], there.Bird.Neighbors[j]
	ka, kb := here.PresharedKeys[i], there.PresharedKeys[j]
	number := plan.Number(here.Router.ID, there.Router.ID)
	assert.Equal(t, fmt.Sprintf("%s%d", m.InterfacePrefix, number), a.Name)
	assert.Equal(t, a.MTU, b.MTU)
	r := m.Routers[here.Router.Name]
	assert.Equal(t, cmp.Or(r.ListenPortBase, r.EndpointPortBase, m.PortBase)+number, a.ListenPort)
	e := b.Peers[0].Endpoint
	switch address, found := called(m, there.Router.Name, here.Router.Name); {
	case !found:
		assert.False(t, e.IsValid())
		assert.True(t, a.Peers[0].Endpoint.IsValid(), "one end can be called")
	case address != r.Endpoint:
		assert.Equal(t, address, e.Addr().String())
		assert.Equal(t, a.ListenPort, int(e.Port()), "the peer calls the port that we listen on")
	default:
		assert.Equal(t, strings.Trim(address, "[]"), e.Addr().String())
		assert.Equal(t, cmp.Or(r.EndpointPortBase, m.PortBase)+number, int(e.Port()),
			"the peer calls the port that is forwarded")
	}
	require.Len(t, b.Addresses, len(a.Addresses))
	for x := range a.Addresses {
		assert.Equal(t, a.Addresses[x].Masked(), b.Addresses[x].Masked())
		assert.NotEqual(t, a.Addresses[x], b.Addresses[x])
		assert.Contains(t, a.Peers[0].AllowedIPs, a.Addresses[x].Masked())
	}
	assert.Equal(t, a.Addresses[0].Addr(), na.LocalAddress)
	assert.Equal(t, na.LocalAddress, nb.Address)
	assert.Equal(t, na.LocalAddress6, nb.Address6)
	assert.Equal(t, here.Sysctl.IPv6, na.Address6.IsValid())
	assert.Equal(t, here.Bird.AS, nb.AS)
	assert.Equal(t, here.Bird.Transit, nb.Transit)
	assert.Equal(t, number, ka.Number)
	assert.Equal(t, number, kb.Number)
	assert.ElementsMatch(t, []string{"initiator", "responder"}, []string{ka.Role, kb.Role})
	assert.Equal(t, here.Router.ID < there.Router.ID, ka.Role == "initiator")
}

// No two tunnels share a link network, a port at one router or a name there.
func TestNothingTwice(t *testing.T) {
	for name, m := range meshes(t) {
		t.Run(name, func(t *testing.T) {
			seen := map[netip.Prefix]string{}
			for _, p := range plans(t, m) {
				for _, tunnel := range p.Tunnels {
					for _, a := range tunnel.Addresses {
						if of, ok := seen[a.Masked()]; ok {
							assert.Equal(t, of, tunnel.Name, a)
						}
						seen[a.Masked()] = tunnel.Name
					}
				}
			}
			for x := range seen {
				for y := range seen {
					assert.True(t, x == y || !x.Overlaps(y), "%s %s", x, y)
				}
			}
		})
	}
}

// A router that comes or goes changes nothing between the others.
func TestNumbersNeverMove(t *testing.T) {
	for name, m := range meshes(t) {
		t.Run(name, func(t *testing.T) {
			before := plans(t, m)
			for gone, r := range m.Routers {
				if r.State == mesh.StateAbsent {
					continue
				}
				fewer := m
				fewer.Routers = maps.Clone(m.Routers)
				delete(fewer.Routers, gone)
				if fewer.Validate() != nil {
					continue // it carried for two others
				}
				removed := plans(t, fewer)
				r.State = mesh.StateAbsent
				fewer.Routers[gone] = r
				absent := plans(t, fewer)
				for other, p := range absent {
					assert.Contains(t, p.Gate.Removed, plan.GateRemoved{Name: gone, ID: r.ID})
					p.Gate.Removed = removed[other].Gate.Removed
					absent[other] = p
				}
				assert.Equal(t, removed, absent,
					"to be absent and to be gone are the same to others, but that the gate knows who is absent")
				for other, p := range removed {
					want := slices.DeleteFunc(slices.Clone(before[other].Tunnels), func(x plan.Tunnel) bool {
						return x.Peers[0].Name == gone
					})
					assert.Equal(t, want, p.Tunnels, other)
				}
			}
		})
	}
}

// Maps have no order, and neither have the lists that mean sets.
func TestOrderDoesNotMatter(t *testing.T) {
	for name, m := range meshes(t) {
		t.Run(name, func(t *testing.T) {
			want := plans(t, m)
			for range 5 {
				assert.Equal(t, want, plans(t, shuffled(t, m)))
			}
		})
	}
}

// shuffled rebuilds the maps of m in another order.
func shuffled(t *testing.T, m mesh.Mesh) mesh.Mesh {
	t.Helper()
	raw := must.Get(json.Marshal(m))(t)
	var out mesh.Mesh
	require.NoError(t, json.Unmarshal(raw, &out))
	return out
}

// A site without living routers cannot be waited for.
func TestStatusLeavesOutSitesWithoutRouters(t *testing.T) {
	m := load(t, "field-case")
	router(&m, "gcp-1", func(r *mesh.Router) { r.State = mesh.StateAbsent })
	p := must.Get(m.Plan("aws-1"))(t)
	for _, x := range p.Status.Prefixes {
		assert.NotEqual(t, "gcp", x.Site)
	}
	assert.Len(t, p.Status.Prefixes, 5)
	assert.Len(t, p.Bird.Owners, 4, "it still owns its prefixes")
}

func FuzzPlan(f *testing.F) {
	for _, name := range []string{"field-case", "dual-stack", "behind-nat", "one-router"} {
		f.Add(must.Get(json.Marshal(load(f, name)))(f))
	}
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"routers": {"a": {"id": 9223372036854775807}, "b": {"id": -9223372036854775808}, "": {}}}`))
	f.Add([]byte(
		`{"routers": {"a": {"id": 1, "site": "s", "zone": "z"}}, "sites": {"s": {"networks": ["::/0", "x"], ` +
			`"zones": {"z": "0.0.0.0/32"}}}}`))
	f.Add([]byte(
		`{"link_pool": "255.255.255.254/31", "link_prefix_length": -1, "link_pool6": "ffff::/128", ` +
			`"port_base": 9223372036854775807}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var m mesh.Mesh
		m.SetDefaults()
		if json.Unmarshal(raw, &m) != nil {
			return
		}
		if err := m.Validate(); err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		for _, p := range plans(t, m) {
			text := must.Get(json.Marshal(p))(t)
			require.NotContains(t, string(text), `":null`)
			require.NotContains(t, string(text), `"invalid `)
		}
	})
}

// One mistake of 100 routers is one line, and not one for each pair.
func TestManySayOneMistakeOnce(t *testing.T) {
	const routers = 100
	each := func(change func(i int, r *mesh.Router, s *mesh.Site)) func(*mesh.Mesh) {
		return func(m *mesh.Mesh) {
			for i := 1; i <= routers; i++ {
				name, of := fmt.Sprintf("gw-%03d", i), fmt.Sprintf("site-%03d", i)
				router(m, name, func(r *mesh.Router) { site(m, of, func(s *mesh.Site) { change(i, r, s) }) })
			}
		}
	}
	for name, tt := range map[string]struct {
		change func(*mesh.Mesh)
		want   string
		warns  string
	}{
		"no endpoints": {
			change: each(func(_ int, r *mesh.Router, _ *mesh.Site) { r.Endpoint = "" }),
			want: "routers gw-001, gw-002, gw-003, gw-004, gw-005 and 95 more: " +
				"none has an endpoint for the others, and no third router carries",
		},
		"one has an endpoint": {
			change: each(func(i int, r *mesh.Router, _ *mesh.Site) {
				if i > 1 {
					r.Endpoint = ""
				}
			}),
			warns: "no tunnel between gw-002 and gw-003, gw-002 and gw-004 and 4849 more: neither has an endpoint",
		},
		"one endpoint": {
			change: each(func(_ int, r *mesh.Router, _ *mesh.Site) { r.Endpoint = "192.0.2.1" }),
			want: "routers gw-001, gw-002 and 98 more: " +
				"more than one would be called at 192.0.2.1:10001 and 4949 more: set",
		},
		"one network": {
			change: each(func(_ int, _ *mesh.Router, s *mesh.Site) { s.Networks = mesh.List{"10.1.0.0/16"} }),
			want:   "sites site-001, site-002, site-003, site-004, ",
		},
		"one site has all networks": {
			change: func(m *mesh.Mesh) {
				site(m, "site-050", func(s *mesh.Site) { s.Networks = mesh.List{"10.0.0.0/8"} })
			},
			want: "sites site-001, site-002, site-003, ",
		},
		"the link pool has all networks": {
			change: func(m *mesh.Mesh) { m.LinkPool = "10.0.0.0/8" },
			want:   "link_pool: 10.0.0.0/8 overlaps networks such as 10.0.1.0/24 of sites site-001, ",
		},
		"one site has all endpoints": {
			change: func(m *mesh.Mesh) {
				site(m, "site-001", func(s *mesh.Site) { s.Networks = append(s.Networks, "100.64.0.0/10") })
				router(m, "gw-001", func(r *mesh.Router) { r.Endpoint = "192.0.2.1" })
			},
			want: "routers gw-002 and 98 more: their endpoints are inside network 100.64.0.0/10 of site site-001, so",
		},
		"the link pool has all endpoints": {
			change: func(m *mesh.Mesh) { m.LinkPool = "100.64.0.0/10" },
			want:   "routers gw-001, gw-002, gw-003, gw-004, ",
		},
		"one host key": {
			change: each(func(_ int, r *mesh.Router, _ *mesh.Site) { r.HostKey = azureKey }),
			want:   "routers gw-001, gw-002, gw-003, ",
		},
		"one route table": {
			change: each(func(_ int, r *mesh.Router, s *mesh.Site) {
				s.Cloud, r.RouteTables = "aws", mesh.List{"rtb-0a"}
			}),
			want: "routers gw-001, gw-002, gw-003, ",
		},
		"one id": {
			change: each(func(_ int, r *mesh.Router, _ *mesh.Site) { r.ID = 7 }),
			want:   "routers gw-001, gw-002, gw-003, gw-004, ",
		},
		"one AS": {
			change: each(func(_ int, _ *mesh.Router, s *mesh.Site) { s.AS = 65000 }),
			want:   "sites site-001, site-002, site-003, ",
		},
		"one subnet in all zones": {
			change: func(m *mesh.Mesh) {
				site(m, "site-001", func(s *mesh.Site) {
					s.Zones = map[string]mesh.Zone{}
					for i := range routers {
						s.Zones[fmt.Sprintf("z%03d", i)] = mesh.Zone{Networks: mesh.List{"10.0.1.0/24"}}
					}
				})
			},
			warns: "site site-001: subnet 10.0.1.0/24 is in the zones z000, ",
		},
		"each subnet in all zones overlaps": {
			change: func(m *mesh.Mesh) {
				site(m, "site-001", func(s *mesh.Site) {
					s.Networks = mesh.List{"10.0.0.0/8"}
					s.Zones = map[string]mesh.Zone{"all": {Networks: mesh.List{"10.0.0.0/9"}}}
					for i := range 100 {
						network := fmt.Sprintf("10.0.%d.0/24", i)
						s.Zones[fmt.Sprintf("z%03d", i)] = mesh.Zone{Networks: mesh.List{network}}
					}
				})
				for name := range m.Sites {
					if name > "site-001" {
						delete(m.Sites, name)
						delete(m.Routers, strings.Replace(name, "site", "gw", 1))
					}
				}
			},
			warns: "site site-001: ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := many(routers)
			tt.change(&m)
			found := mesh.Problems{}
			if err := m.Validate(); err != nil {
				require.ErrorAs(t, err, &found)
			}
			for kind, have := range map[string][]string{tt.want: lines(found), tt.warns: m.Warnings()} {
				if kind == "" {
					assert.Empty(t, have[:min(3, len(have))], "%d lines", len(have))
					continue
				}
				require.Len(t, have[:min(3, len(have))], 1, "%d lines", len(have))
				assert.True(t, strings.HasPrefix(have[0], kind), have[0])
				assert.Contains(t, have[0], " more")
				assert.LessOrEqual(t, len(have[0]), 160)
			}
		})
	}
}

func lines(errs mesh.Problems) []string {
	var out []string
	for _, err := range errs {
		out = append(out, err.Error())
	}
	return out
}

// many are so many routers, each of a site of its own, and nothing is wrong with them.
func many(routers int) mesh.Mesh {
	m := mesh.Mesh{Routers: map[string]mesh.Router{}, Sites: map[string]mesh.Site{}, PortBase: 10000}
	m.LinkPool, m.LinkPrefixLength, m.BFD, m.InterfacePrefix = "172.16.0.0/14", 31, mesh.BFDNormal, "wg"
	m.PresharedKeyDirectory = "/etc/wireguard"
	for i := 1; i <= routers; i++ {
		site := fmt.Sprintf("site-%03d", i)
		m.Sites[site] = mesh.Site{
			AS:       plan.AS(4200000000 + i),
			Networks: mesh.List{fmt.Sprintf("10.%d.%d.0/24", i/250, i%250)},
		}
		m.Routers[fmt.Sprintf("gw-%03d", i)] = mesh.Router{
			ID:       i,
			Site:     site,
			Endpoint: fmt.Sprintf("100.64.%d.%d", i/250, i%250),
		}
	}
	return m
}
