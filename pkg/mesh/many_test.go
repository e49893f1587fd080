package mesh_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/pkg/mesh"
	"github.com/wgmesh/router/pkg/plan"
)

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
	tests := map[string]struct {
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
	}
	for name, tt := range tests {
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
