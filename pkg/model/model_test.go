package model_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/mesh"
	"github.com/wgmesh/router/pkg/model"
	"github.com/wgmesh/router/pkg/plan"
)

// fieldCase is the network of examples/field-case, changed.
func fieldCase(t testing.TB, change ...func(*mesh.Mesh)) []plan.Plan {
	t.Helper()
	raw := must.Get(os.ReadFile("../mesh/testdata/field-case/mesh.yaml"))(t)
	var tree map[string]any
	require.NoError(t, yaml.Unmarshal(raw, &tree))
	raw = must.Get(json.Marshal(tree))(t)
	var m mesh.Mesh
	m.SetDefaults()
	require.NoError(t, json.Unmarshal(raw, &m))
	for _, f := range change {
		f(&m)
	}
	return planned(t, m)
}

func planned(t testing.TB, m mesh.Mesh) []plan.Plan {
	t.Helper()
	return must.Get(m.Plans())(t)
}

// noTransit has these sites carry nobody's traffic.
func noTransit(sites ...string) func(*mesh.Mesh) {
	return func(m *mesh.Mesh) {
		for _, name := range sites {
			s, no := m.Sites[name], false
			s.Transit = &no
			m.Sites[name] = s
		}
	}
}

// fault is "router gcp-1" or "tunnel azure-1 aws-1".
func fault(t testing.TB, n *model.Network, text string) model.Fault {
	t.Helper()
	kind, name, _ := strings.Cut(text, " ")
	all, _ := n.Faults()
	i := slices.IndexFunc(all, func(f model.Fault) bool {
		ends := strings.Fields(name)
		return f.Kind == kind && (f.Name == name || kind == model.TunnelFault &&
			(strings.HasSuffix(f.Name, " "+ends[0]+"-"+ends[1]) || strings.HasSuffix(f.Name, " "+ends[1]+"-"+ends[0])))
	})
	require.GreaterOrEqual(t, i, 0, "no %s among %v", text, all)
	return all[i]
}

// What is checked by hand: from the filters, with a pencil, and in pkg/bird with BIRD.
// 10.0 is office, 10.1 azure, 10.2 aws, 10.3 gcp; the third number is a zone.
func TestWays(t *testing.T) {
	azureToAWS := []string{
		"tunnel azure-1 aws-1", "tunnel azure-1 aws-2", "tunnel azure-2 aws-1", "tunnel azure-2 aws-2",
	}
	for name, tt := range map[string]struct {
		carryNobody []string
		drain       []string
		faults      []string
		want        map[string]string // router and prefix: the next router
	}{
		"health: straight to the zone's router, and of two the lower id": {want: map[string]string{
			"azure-1 10.2.1.0/24": "aws-1", "azure-1 10.2.2.0/24": "aws-2", "azure-2 10.2.1.0/24": "aws-1",
			"aws-1 10.1.1.0/24": "azure-1", "aws-1 10.1.2.0/24": "azure-2", "gcp-1 10.2.2.0/24": "aws-2",
			"office-2 10.2.0.0/16": "aws-1", "aws-2 10.0.0.0/16": "office-1", "aws-2 10.0.1.0/24": "office-1",
			"azure-1 10.1.2.0/24": "azure-1", "gcp-1 10.3.1.0/24": "gcp-1",
		}},
		"no own tunnel to the zone's router: by the neighbour's": {
			faults: []string{"tunnel azure-1 aws-2"}, want: map[string]string{
				"aws-2 10.1.1.0/24": "aws-1", "azure-1 10.2.2.0/24": "azure-2",
				"azure-1 10.2.1.0/24": "aws-1", "azure-1 10.2.0.0/16": "aws-1",
			},
		},
		"the zone's router is away": {faults: []string{"router azure-1"}, want: map[string]string{
			"aws-1 10.1.1.0/24": "azure-2", "gcp-1 10.1.1.0/24": "azure-2",
			"office-1 10.1.0.0/16": "azure-2", "azure-1 10.2.1.0/24": "",
		}},
		"a third site carries, of the lower router id": {faults: azureToAWS, want: map[string]string{
			"azure-1 10.2.1.0/24": "office-1", "azure-2 10.2.2.0/24": "office-1",
			"aws-1 10.1.1.0/24": "office-1", "office-1 10.2.2.0/24": "aws-2",
		}},
		"so it does without the underlay": {
			faults: []string{"underlay aws-azure"}, want: map[string]string{"azure-1 10.2.1.0/24": "office-1"},
		},
		"the own tunnel to a third site before the neighbour's": {
			faults: append(slices.Clone(azureToAWS), "tunnel office-1 azure-1", "tunnel office-2 azure-1"),
			want:   map[string]string{"azure-1 10.2.1.0/24": "gcp-1", "azure-2 10.2.1.0/24": "office-1"},
		},
		"a site that carries nobody": {
			carryNobody: []string{"office"}, faults: azureToAWS,
			want: map[string]string{"azure-1 10.2.1.0/24": "gcp-1"},
		},
		"no site that carries": {carryNobody: []string{"office", "gcp"}, faults: azureToAWS, want: map[string]string{
			"azure-1 10.2.1.0/24": "", "azure-1 10.3.1.0/24": "gcp-1",
		}},
		"draining": {drain: []string{"azure-1"}, want: map[string]string{
			"aws-1 10.1.1.0/24": "azure-2", "office-1 10.1.1.0/24": "azure-2",
			"azure-1 10.2.1.0/24": "azure-2", "azure-2 10.2.1.0/24": "aws-1",
		}},
		"draining, and nobody else is there": {
			drain: []string{"gcp-1"},
			want:  map[string]string{"aws-1 10.3.1.0/24": "gcp-1", "gcp-1 10.2.1.0/24": "aws-1"},
		},
		"a site is away": {
			faults: []string{"site azure"},
			want:   map[string]string{"aws-1 10.1.1.0/24": "", "aws-1 10.0.1.0/24": "office-1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := model.New(fieldCase(t, noTransit(tt.carryNobody...)), tt.drain...)
			var faults []model.Fault
			for _, f := range tt.faults {
				faults = append(faults, fault(t, n, f))
			}
			v := n.After(faults...)
			for from, to := range tt.want {
				router, prefix, _ := strings.Cut(from, " ")
				assert.Equal(t, to, v.Next(router, netip.MustParsePrefix(prefix)), from)
			}
		})
	}
}

// The case keeps what the README says of it, whatever two things fail.
func TestFieldCase(t *testing.T) {
	r := model.New(fieldCase(t)).Report(true)
	assert.Equal(t, 406, r.Plain, "7 routers, 21 tunnels, and all pairs of them")
	assert.Equal(t, 37, r.Singles, "and 3 sites, 6 underlays that are more than a router or a tunnel")
	assert.Equal(t, 37*36/2, r.Doubles)
	assert.Empty(t, r.Healthy.Cut)
	for _, c := range r.Single {
		assert.Empty(t, c.Cut, "%v", c.Faults)
	}
	var gone []string
	for _, c := range r.Double {
		assert.Empty(t, c.Cut, "%v", c.Faults)
		gone = append(gone, c.Gone...)
	}
	assert.Equal(t, []string{"office", "azure", "aws"}, gone, "sites whose two routers are away")
	assert.Positive(t, r.Moved)
}

// What is really cut is said to be.
func TestCuts(t *testing.T) {
	n := model.New(fieldCase(t, noTransit("office", "azure", "aws", "gcp")))
	r := n.Report(true)
	var cut []string
	for _, c := range r.Single {
		if len(c.Cut) > 0 {
			cut = append(cut, c.Faults[0].String())
		}
	}
	assert.Equal(t, []string{
		"underlay aws-azure", "underlay aws-gcp", "underlay aws-office", "underlay azure-gcp",
		"underlay azure-office", "underlay gcp-office",
	}, cut, "without transit an underlay that is away cuts its two sites")
	for _, c := range r.Double {
		for _, f := range c.Faults {
			for _, cut := range c.Cut {
				ends := min(cut.From, cut.To) + "-" + max(cut.From, cut.To)
				assert.False(t, f.Kind == model.UnderlayFault && f.Name == ends, "%v: what %s cuts alone", c.Faults, f)
			}
		}
	}
	c := n.After(fault(t, n, "tunnel azure-1 gcp-1"), fault(t, n, "tunnel azure-2 gcp-1")).Case()
	assert.ElementsMatch(t, []model.Cut{
		{From: "gcp", Routers: []string{"gcp-1"}, Whole: true, To: "azure", Why: model.NoRoute},
		{From: "azure", Routers: []string{"azure-1", "azure-2"}, Whole: true, To: "gcp", Why: model.NoRoute},
	}, c.Cut)

	plans := fieldCase(t)
	for i, p := range plans { // azure-1 takes nothing of aws's any more by one tunnel
		for k, tunnel := range p.Tunnels {
			if p.Router.Name == "azure-1" && tunnel.Peers[0].Name == "aws-1" {
				plans[i].Tunnels[k].Peers[0].AllowedIPs = tunnel.Addresses
			}
		}
	}
	assert.Contains(t, fmt.Sprint(model.New(plans).After().Case().Cut), model.NotAllowed)
}

// Who is not to carry for third sites does not, and two routers of one site still stand in for each other.
func TestForbiddenTransit(t *testing.T) {
	n := model.New(fieldCase(t, noTransit("azure", "gcp")))
	between := fault(t, n, "underlay aws-office")
	assert.ElementsMatch(t, []model.Cut{
		{From: "office", Routers: []string{"office-1", "office-2"}, Whole: true, To: "aws", Why: model.NoRoute},
		{From: "aws", Routers: []string{"aws-1", "aws-2"}, Whole: true, To: "office", Why: model.NoRoute},
	}, n.After(between).Case().Cut)
	assert.Empty(t, model.New(fieldCase(t, noTransit("azure"))).After(between).Case().Cut, "gcp may carry it")

	n = model.New(fieldCase(t, noTransit("office", "azure", "aws", "gcp")))
	var alone []model.Fault
	for _, other := range []string{"office-1", "office-2", "aws-1", "aws-2", "gcp-1"} {
		alone = append(alone, fault(t, n, "tunnel azure-1 "+other))
	}
	assert.Empty(t, n.After(alone...).Case().Cut)
}

// Traffic enters a site by the router of the destination's zone while that router
// lives, and by another one when it does not.
func TestEntryByZone(t *testing.T) {
	plans := fieldCase(t)
	n := model.New(plans)
	for _, tt := range []struct{ subnet, router, other string }{
		{"10.1.1.0/24", "azure-1", "azure-2"},
		{"10.1.2.0/24", "azure-2", "azure-1"},
		{"10.2.1.0/24", "aws-1", "aws-2"},
		{"10.2.2.0/24", "aws-2", "aws-1"},
	} {
		for want, v := range map[string]*model.View{
			tt.router: n.After(), tt.other: n.After(fault(t, n, "router "+tt.router)),
		} {
			for _, p := range plans {
				if strings.HasPrefix(want, p.Router.Site) {
					continue
				}
				way, why := v.Way(p.Router.Name, netip.MustParsePrefix(tt.subnet))
				require.Empty(t, why)
				assert.Equal(t, want, way[len(way)-1], "%s from %s", tt.subnet, p.Router.Name)
			}
		}
	}
}

// What is worked out from the healthy network is what a network has that was built
// without the thing that failed.
func TestAfterIsAsIfItNeverWas(t *testing.T) {
	plans := fieldCase(t)
	n := model.New(plans)
	all, _ := n.Faults()
	for _, f := range all {
		if f.Kind != model.RouterFault {
			continue
		}
		rest := model.New(slices.DeleteFunc(slices.Clone(plans), func(p plan.Plan) bool {
			return p.Router.Name == f.Name
		})).After()
		v := n.After(f)
		for _, p := range plans {
			for _, o := range plans[0].Bird.Owners {
				for _, network := range o.Networks {
					assert.Equal(t, rest.Next(p.Router.Name, network),
						v.Next(p.Router.Name, network), "%s: %s to %s", f, p.Router.Name, network)
				}
			}
		}
	}
}

// grid is a mesh of so many sites with so many routers each, a zone for each of them.
func grid(sites, routers int) mesh.Mesh {
	var m mesh.Mesh
	m.SetDefaults()
	m.Sites, m.Routers = map[string]mesh.Site{}, map[string]mesh.Router{}
	for s := 1; s <= sites; s++ {
		site := mesh.Site{
			AS:       plan.AS(65000 + s),
			Networks: mesh.List{fmt.Sprintf("10.%d.0.0/16", s)}, Zones: map[string]mesh.Zone{},
		}
		for z := 1; z <= routers; z++ {
			zone := fmt.Sprint("z", z)
			site.Zones[zone] = mesh.Zone{Networks: mesh.List{fmt.Sprintf("10.%d.%d.0/24", s, z)}}
			id := (s-1)*routers + z
			m.Routers[fmt.Sprintf("r%d", id)] = mesh.Router{
				ID: id, Site: fmt.Sprint("s", s), Zone: zone, Endpoint: fmt.Sprintf("192.0.2.%d", id),
			}
		}
		m.Sites[fmt.Sprint("s", s)] = site
	}
	return m
}

// chain is what has failed when only neighbours of r1 to r5 still have a tunnel.
func chain(t testing.TB, n *model.Network) (out []model.Fault) {
	for _, ends := range []string{"r1 r3", "r1 r4", "r1 r5", "r2 r4", "r2 r5", "r3 r5"} {
		out = append(out, fault(t, n, "tunnel "+ends))
	}
	return out
}

// Two sites carry, one after the other, and no third one does.
func TestLongestPath(t *testing.T) {
	n := model.New(planned(t, grid(5, 1)))
	v := n.After(chain(t, n)...)
	for from, to := range map[string]string{
		"r1 10.4.0.0/16": "r2", "r5 10.2.1.0/24": "r4", "r2 10.5.0.0/16": "r3",
		"r1 10.5.0.0/16": "", "r5 10.1.1.0/24": "",
	} {
		router, prefix, _ := strings.Cut(from, " ")
		assert.Equal(t, to, v.Next(router, netip.MustParsePrefix(prefix)), from)
	}
}

// BenchmarkPreview is what a preview takes: the goal is less than 1 s for the case with
// its 406 faults and pairs, and less than 10 s for 100 routers with all single ones.
func BenchmarkPreview(b *testing.B) {
	b.Run("case", func(b *testing.B) {
		for b.Loop() {
			r := model.New(fieldCase(b)).Report(true)
			b.ReportMetric(float64(r.Plain), "faults")
		}
	})
	b.Run("100", func(b *testing.B) {
		for b.Loop() {
			r := model.New(planned(b, grid(50, 2))).Report(false)
			b.ReportMetric(float64(r.Singles), "faults")
		}
	})
}

// Two pairs of sites whose names are one text with the sign between them.
func TestUnderlaysOfLikeNames(t *testing.T) {
	at := func(as plan.AS, id int, name, site, peer string, to plan.AS, mine, theirs string) plan.Plan {
		return plan.Plan{
			Router: plan.Self{Name: name, ID: id, Site: site},
			Bird: plan.Bird{AS: as, Neighbors: []plan.Neighbor{{
				Router: peer, AS: to, LocalAddress: netip.MustParseAddr(mine), Address: netip.MustParseAddr(theirs),
			}}},
		}
	}
	// The links have one pair of addresses, as adopted ones may.
	all, _ := model.New([]plan.Plan{
		at(1, 1, "a", "aws", "b", 2, "10.0.0.1", "10.0.0.2"), at(2, 2, "b", "eu-gcp", "a", 1, "10.0.0.2", "10.0.0.1"),
		at(3, 3, "c", "aws-eu", "d", 4, "10.0.0.1", "10.0.0.2"), at(4, 4, "d", "gcp", "c", 3, "10.0.0.2", "10.0.0.1"),
	}).Faults()
	var tunnels, underlays []string
	for _, f := range all {
		if f.Kind == model.TunnelFault {
			tunnels = append(tunnels, f.Name)
		}
		for _, same := range f.Same {
			if same.Kind == model.UnderlayFault {
				underlays = append(underlays, same.Name)
			}
		}
	}
	assert.Equal(t, []string{" a-b", " c-d"}, tunnels)
	assert.Len(t, underlays, 2)
}
