package mesh_test

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/pkg/mesh"
	"github.com/wgmesh/router/pkg/plan"
)

// lab is a small model of the network that a set of plans makes: BGP as the
// plans' policy has it, and packets that WireGuard passes at both ends only
// when the allowed IPs of both say so. It knows nothing but the plans.
type lab struct {
	routers map[string]plan.Plan
	down    map[string]bool // tunnels by name
	dead    map[string]bool // routers by name
	rib     map[string]map[netip.Prefix]route
}

// route is the best one of a router for a prefix.
type route struct {
	via      string // name of the next router; empty: it is of the own site
	path     []plan.AS
	med      int
	internal bool // learned from a router of the same site
}

// converge runs the exchange until nothing changes any more.
func (l *lab) converge(t *testing.T) {
	t.Helper()
	l.rib = map[string]map[netip.Prefix]route{}
	for range 20 {
		next := map[string]map[netip.Prefix]route{}
		for name, self := range l.routers {
			next[name] = l.decide(self)
		}
		if assert.ObjectsAreEqual(l.rib, next) {
			return
		}
		l.rib = next
	}
	require.Fail(t, "routing does not settle", "down %v, dead %v", l.down, l.dead)
}

// decide picks the best routes of what the neighbours have at the moment.
func (l *lab) decide(self plan.Plan) map[netip.Prefix]route {
	out := map[netip.Prefix]route{}
	if l.dead[self.Router.Name] {
		return out
	}
	for _, o := range self.Bird.Originate {
		out[o.Network] = route{med: o.MED}
	}
	for _, n := range self.Bird.Neighbors {
		if l.down[n.Interface] || l.dead[n.Router] {
			continue
		}
		for prefix, r := range l.exported(l.routers[n.Router], self) {
			if have, ok := out[prefix]; accepted(self, n, prefix, r) && (!ok || better(r, have)) {
				out[prefix] = r
			}
		}
	}
	return out
}

// exported is what one router tells another.
func (l *lab) exported(from, to plan.Plan) map[netip.Prefix]route {
	out := map[netip.Prefix]route{}
	inside := from.Bird.AS == to.Bird.AS
	for prefix, r := range l.rib[from.Router.Name] {
		own := r.via == ""
		switch {
		case inside && (own || !r.internal):
			out[prefix] = route{via: from.Router.Name, path: r.path, med: r.med, internal: true}
		case !inside && own:
			out[prefix] = route{via: from.Router.Name, path: []plan.AS{from.Bird.AS}, med: r.med}
		case !inside && from.Bird.Transit && len(r.path) < plan.LongestPath:
			out[prefix] = route{via: from.Router.Name, path: append([]plan.AS{from.Bird.AS}, r.path...)}
		}
	}
	return out
}

// accepted is the import policy: no loops, the last AS owns the prefix, and a
// third site carries it only when the neighbour's may.
func accepted(self plan.Plan, n plan.Neighbor, prefix netip.Prefix, r route) bool {
	if len(r.path) == 0 || slices.Contains(r.path, self.Bird.AS) {
		return false // ours: the static route towards the site is better
	}
	if len(r.path) > 1 && !r.internal && !n.Transit {
		return false
	}
	last := r.path[len(r.path)-1]
	return slices.ContainsFunc(self.Bird.Owners, func(o plan.Owner) bool {
		return o.AS == last && slices.Contains(o.Networks, prefix)
	})
}

// better is the order of BGP: own, short, low MED of the same neighbour AS,
// external, and then anything that is the same for everybody.
func better(a, b route) bool {
	if b.via == "" || len(a.path) != len(b.path) {
		return b.via != "" && len(a.path) < len(b.path)
	}
	if a.path[0] == b.path[0] && a.med != b.med {
		return a.med < b.med
	}
	if a.internal != b.internal {
		return b.internal
	}
	return cmp.Less(a.via, b.via)
}

// walk follows a packet to the site that has the prefix and returns the router
// where it enters.
func (l *lab) walk(from plan.Plan, source, target netip.Prefix) (entry string, err error) {
	cur := from
	for range len(l.routers) + 1 {
		r, ok := l.rib[cur.Router.Name][target]
		switch {
		case !ok:
			return "", fmt.Errorf("%s has no route", cur.Router.Name)
		case r.via == "":
			return cur.Router.Name, nil
		}
		next := l.routers[r.via]
		out, in := peer(cur, r.via), peer(next, cur.Router.Name)
		if !covers(out.AllowedIPs, target) {
			return "", fmt.Errorf("%s may not send %s to %s", cur.Router.Name, target, r.via)
		}
		if !covers(in.AllowedIPs, source) {
			return "", fmt.Errorf("%s does not take %s from %s", r.via, source, cur.Router.Name)
		}
		cur = next
	}
	return "", fmt.Errorf("it goes in circles")
}

func peer(of plan.Plan, name string) plan.Peer {
	for _, tunnel := range of.Tunnels {
		if tunnel.Peers[0].Name == name {
			return tunnel.Peers[0]
		}
	}
	return plan.Peer{}
}

func covers(allowed []netip.Prefix, x netip.Prefix) bool {
	return slices.ContainsFunc(allowed, func(a netip.Prefix) bool {
		return a.Bits() <= x.Bits() && a.Contains(x.Addr())
	})
}

// unreachable lists the pairs of a living router and a prefix of another site
// with a living router that do not work, for all sources of the router's site.
func (l *lab) unreachable(t *testing.T) []string {
	t.Helper()
	l.converge(t)
	var out []string
	for name, from := range l.routers {
		for _, to := range from.Status.Prefixes {
			if l.dead[name] || !l.alive(to.Site) {
				continue
			}
			for _, source := range from.Status.SourceNetworks {
				if _, err := l.walk(from, source, to.Network); err != nil {
					out = append(out, fmt.Sprintf("%s to %s: %s", name, to.Network, err))
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

func (l *lab) alive(site string) bool {
	for name, p := range l.routers {
		if p.Router.Site == site && !l.dead[name] {
			return true
		}
	}
	return false
}

func set(names ...string) map[string]bool {
	out := map[string]bool{}
	for _, name := range names {
		out[name] = true
	}
	return out
}

// tunnels lists all tunnels with the sites at their ends.
func (l *lab) tunnels() map[string][2]string {
	out := map[string][2]string{}
	for _, p := range l.routers {
		for _, tunnel := range p.Tunnels {
			ends := [2]string{p.Router.Site, l.routers[tunnel.Peers[0].Name].Router.Site}
			slices.Sort(ends[:])
			out[tunnel.Name] = ends
		}
	}
	return out
}

func fieldLab(t *testing.T) *lab { return &lab{routers: plans(t, load(t, "field-case"))} }

// Any two tunnels may fail, and any router beside any tunnel.
func TestReachSurvivesTwoFailures(t *testing.T) {
	l := fieldLab(t)
	names := slices.Sorted(maps.Keys(l.tunnels()))
	require.Len(t, names, 21)
	require.Empty(t, l.unreachable(t))
	for i, a := range names {
		for _, b := range names[i:] {
			l.down = set(a, b)
			require.Empty(t, l.unreachable(t), "%s and %s are down", a, b)
		}
		for router := range l.routers {
			l.down, l.dead = set(a), set(router)
			require.Empty(t, l.unreachable(t), "%s is down and %s is dead", a, router)
		}
		l.dead = nil
	}
}

// A site pair without any direct tunnel goes through a third site, and each of
// the two may have lost a further site pair.
func TestReachThroughThirdSite(t *testing.T) {
	l := fieldLab(t)
	tunnels := l.tunnels()
	pairs := set()
	for _, ends := range tunnels {
		if ends[0] != ends[1] {
			pairs[ends[0]+" "+ends[1]] = true
		}
	}
	require.Len(t, pairs, 6)
	for one := range pairs {
		for two := range pairs {
			l.down = map[string]bool{}
			for name, ends := range tunnels {
				if pair := ends[0] + " " + ends[1]; pair == one || pair == two {
					l.down[name] = true
				}
			}
			require.Empty(t, l.unreachable(t), "all tunnels between %s and between %s are down", one, two)
		}
	}
}

// A site that forbids transit is not used for it, and loses nothing else.
func TestTransitCanBeForbidden(t *testing.T) {
	m := load(t, "field-case")
	forbid := false
	for _, name := range []string{"azure", "gcp"} {
		site(&m, name, func(s *mesh.Site) { s.Transit = &forbid })
	}
	l := &lab{routers: plans(t, m), down: map[string]bool{}}
	for name, ends := range l.tunnels() {
		l.down[name] = ends == [2]string{"aws", "office"}
	}
	bad := l.unreachable(t)
	assert.Len(t, bad, 2*3+2*2, "office and aws do not see each other's prefixes: %v", bad)
	for _, line := range bad {
		assert.Contains(t, line, "has no route")
	}
	site(&m, "gcp", func(s *mesh.Site) { s.Transit = nil })
	l.routers = plans(t, m)
	assert.Empty(t, l.unreachable(t), "gcp may carry it")
}

// Traffic enters a site by the router of the destination's zone while that
// router lives, and by another one when it does not.
func TestEntryByZone(t *testing.T) {
	l := fieldLab(t)
	for _, tt := range []struct{ subnet, router, other string }{
		{"10.1.1.0/24", "azure-1", "azure-2"},
		{"10.1.2.0/24", "azure-2", "azure-1"},
		{"10.2.1.0/24", "aws-1", "aws-2"},
		{"10.2.2.0/24", "aws-2", "aws-1"},
	} {
		for _, dead := range []map[string]bool{nil, set(tt.router)} {
			l.dead = dead
			l.converge(t)
			want := tt.router
			if dead[want] {
				want = tt.other
			}
			for _, from := range l.routers {
				if from.Router.Site == l.routers[tt.router].Router.Site {
					continue
				}
				entry, err := l.walk(from, from.Status.SourceNetworks[0], netip.MustParsePrefix(tt.subnet))
				require.NoError(t, err)
				assert.Equal(t, want, entry, "%s from %s", tt.subnet, from.Router.Name)
			}
		}
	}
}

// Any valid mesh works when nothing is broken.
func TestReach(t *testing.T) {
	for name, m := range meshes(t) {
		t.Run(name, func(t *testing.T) {
			l := &lab{routers: plans(t, m)}
			assert.Empty(t, l.unreachable(t))
		})
	}
}

// To forbid transit is about third sites: two routers of one site still stand
// in for each other.
func TestForbiddenTransitKeepsTheSiteTogether(t *testing.T) {
	m := load(t, "field-case")
	forbid := false
	for _, name := range []string{"office", "azure", "aws", "gcp"} {
		site(&m, name, func(s *mesh.Site) { s.Transit = &forbid })
	}
	l := &lab{routers: plans(t, m), down: map[string]bool{}}
	for _, tunnel := range l.routers["azure-1"].Tunnels {
		l.down[tunnel.Name] = tunnel.Peers[0].Name != "azure-2"
	}
	assert.Empty(t, l.unreachable(t))
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
