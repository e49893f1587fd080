package mesh_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/mesh"
	"github.com/wgmesh/router/pkg/model"
	"github.com/wgmesh/router/pkg/plan"
)

// The nearest gateway counts, for each family by itself.
func TestGateway(t *testing.T) {
	tests := map[string]struct {
		router, zone, site mesh.List
		noZone             bool
		via4, via6         string
	}{
		"derived from the zone": {via4: "10.0.1.1", via6: "2001:db8:10:1::1"},
		"derived from the site": {noZone: true, via4: "10.0.0.1", via6: "2001:db8:10::1"},
		"the site's":            {site: mesh.List{"10.0.0.3"}, via4: "10.0.0.3", via6: "2001:db8:10:1::1"},
		"the zone's": {
			zone: mesh.List{"10.0.0.2"},
			site: mesh.List{"10.0.0.3", "2001:db8:10::3"}, via4: "10.0.0.2", via6: "2001:db8:10::3",
		},
		"the router's": {
			router: mesh.List{"10.0.0.4", "2001:db8:10::4"},
			zone:   mesh.List{"10.0.0.2"}, via4: "10.0.0.4", via6: "2001:db8:10::4",
		},
		"another zone's is not": {
			noZone: true, zone: mesh.List{"10.0.0.2"}, via4: "10.0.0.1", via6: "2001:db8:10::1",
		},
		"none of the router's own": {
			router: mesh.List{"none"}, site: mesh.List{"10.0.0.3"}, via4: "connected", via6: "connected",
		},
		"none of the zone, one v4": {zone: mesh.List{"none", "10.0.0.2"}, via4: "10.0.0.2", via6: "connected"},
		"none of the site":         {site: mesh.List{"none"}, via4: "connected", via6: "connected"},
		"link-local on interface":  {router: mesh.List{"fe80::1%ens5"}, via4: "10.0.1.1", via6: "fe80::1%ens5"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m := load(t, "dual-stack")
			site(&m, "both", func(s *mesh.Site) {
				s.Gateway = tt.site
				s.Zones["a"] = mesh.Zone{Networks: s.Zones["a"].Networks, Gateway: tt.zone}
			})
			router(&m, "both-a", func(r *mesh.Router) {
				r.Gateway = tt.router
				if tt.noZone {
					r.Zone = ""
				}
			})
			p := must.Get(m.Plan("both-a"))(t)
			require.Len(t, p.Bird.Static, 5)
			for _, s := range p.Bird.Static {
				have, want := s.Via.String(), tt.via6
				if s.Interface != "" {
					have += "%" + s.Interface
				}
				if s.Connected {
					assert.False(t, s.Via.IsValid() || s.OnLink || s.Derived)
					have = "connected"
				}
				if s.Network.Addr().Is4() {
					want = tt.via4
				}
				assert.Equal(t, want, have, s.Network)
			}
		})
	}
}

// A cloud's IPv6 addresses are all in the site's network, so a router's endpoint is
// too. The other sites' routers reach it outside of the tunnels, the own site's as all
// of the site.
func TestEndpointInOwnNetwork(t *testing.T) {
	m := load(t, "dual-stack")
	router(&m, "six-1", func(r *mesh.Router) { r.Endpoint = "2001:db8:20:10::4" })
	end := netip.MustParsePrefix("2001:db8:20:10::4/128")
	ways := func(p plan.Plan) map[netip.Prefix]netip.Addr {
		out := map[netip.Prefix]netip.Addr{}
		for _, s := range p.Bird.Static {
			if s.Outside {
				out[s.Network] = s.Source
			}
		}
		return out
	}
	for name, in := range m.Routers {
		p := must.Get(m.Plan(name))(t)
		own, _ := netip.ParseAddr(in.Endpoint)
		switch {
		case in.Site == "six":
			assert.NotContains(t, ways(p), end, name)
		case own.Is6():
			assert.Equal(t, map[netip.Prefix]netip.Addr{end: own}, ways(p), name)
		default:
			assert.Equal(t, map[netip.Prefix]netip.Addr{end: {}}, ways(p), name)
		}
		for _, o := range p.Bird.Originate {
			assert.NotEqual(t, end, o.Network, "it is announced to nobody")
		}
	}
	// What the router itself sends to ends outside of all sites carries the address that they know.
	p := must.Get(m.Plan("six-1"))(t)
	assert.Contains(t, ways(p), netip.MustParsePrefix(m.Routers["both-b"].Endpoint+"/128"))
	for to, own := range ways(p) {
		assert.True(t, to.Addr().Is6())
		assert.Equal(t, end.Addr(), own)
	}
}

// Whether nobody gave the gateway is told, so that a host may know a better one.
func TestGatewayDerived(t *testing.T) {
	for _, given := range []mesh.List{nil, {"10.0.1.1"}, {"none"}} {
		m := load(t, "dual-stack")
		router(&m, "both-a", func(r *mesh.Router) { r.Gateway = given })
		p := must.Get(m.Plan("both-a"))(t)
		for _, s := range p.Bird.Static {
			if s.Network.Addr().Is4() {
				assert.Equal(t, given == nil, s.Derived, s.Network)
			}
		}
	}
}

// Any valid mesh works when nothing is broken. pkg/model, which is held against real BIRDs, has
// what is left of one when something is.
func TestReach(t *testing.T) {
	for name, m := range meshes(t) {
		t.Run(name, func(t *testing.T) {
			assert.Empty(t, model.New(must.Get(m.Plans())(t)).After().Case().Cut)
		})
	}
}

func peer(of plan.Plan, name string) plan.Peer {
	for _, tunnel := range of.Tunnels {
		if tunnel.Peers[0].Name == name {
			return tunnel.Peers[0]
		}
	}
	return plan.Peer{}
}

// Two sites that nobody can call have no tunnel, so those with tunnels to both carry what they have for each other.
func TestWhoNeedsTransit(t *testing.T) {
	for name, tt := range map[string]struct {
		silent []string
		make   func(*mesh.Mesh)
		want   map[string][]plan.AS // of aws-1, by what the packets are for
	}{
		"all have tunnels": {nil, nil, map[string][]plan.AS{"office": {}, "azure": {}, "gcp": {}}},
		"two have none": {
			[]string{"office-1", "office-2", "gcp-1"},
			nil,
			map[string][]plan.AS{"office": {65040}, "azure": {}, "gcp": {65010}},
		},
		"one of their routers has": {
			[]string{"office-1", "gcp-1"}, nil, map[string][]plan.AS{"office": {}, "azure": {}, "gcp": {}},
		},
		"nor has aws": {
			[]string{"office-1", "office-2", "gcp-1", "aws-1", "aws-2"},
			nil,
			map[string][]plan.AS{"office": {}, "azure": {}, "gcp": {}},
		},
		"no transit": {[]string{"office-1", "office-2", "gcp-1"}, func(m *mesh.Mesh) {
			site(m, "aws", func(s *mesh.Site) { s.Transit = new(bool) })
		}, map[string][]plan.AS{"office": nil, "azure": nil, "gcp": nil}},
	} {
		t.Run(name, func(t *testing.T) {
			m := load(t, "field-case")
			for _, r := range tt.silent {
				router(&m, r, func(r *mesh.Router) { r.Endpoint = "" })
			}
			if tt.make != nil {
				tt.make(&m)
			}
			needs := map[string][]plan.AS{}
			for _, p := range plans(t, m)["aws-1"].Status.Prefixes {
				needs[p.Site] = p.Transit
			}
			assert.Equal(t, tt.want, needs)
		})
	}
}
