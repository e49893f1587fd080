//go:build integration

package model_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
	"github.com/wgmesh/router/pkg/bird"
	"github.com/wgmesh/router/pkg/birdc"
	"github.com/wgmesh/router/pkg/mesh"
	"github.com/wgmesh/router/pkg/model"
	"github.com/wgmesh/router/pkg/plan"
)

var (
	topologies = flag.Int("topologies", 3, "random networks to compare with BIRD")
	seed       = flag.Uint64("seed", 1, "of the first one")
)

// The law of the model: on random networks with a real BIRD on each router, every router
// has the routes in its kernel that the model gives it, in health, after each fault of a
// row of them that add up, and when all is mended.
func TestModelIsBIRD(t *testing.T) {
	for i := range *topologies {
		s := *seed + uint64(i)
		t.Run(fmt.Sprint("seed ", s), func(t *testing.T) {
			t.Parallel()
			compare(t, rand.New(rand.NewPCG(s, s)), s)
		})
	}
}

// The same for the longest path, which the random ones do not have.
func TestModelIsBIRDInAChain(t *testing.T) {
	n := model.New(planned(t, grid(5, 1)))
	l := start(t, "mc", planned(t, grid(5, 1)))
	for _, f := range chain(t, n) {
		l.set(t, f, "down")
	}
	l.agrees(t, n.After(chain(t, n)...), "in a chain")
}

func compare(t *testing.T, random *rand.Rand, seed uint64) {
	plans := randomPlans(random)
	var draining []string
	if random.IntN(3) == 0 {
		draining = append(draining, plans[random.IntN(len(plans))].Router.Name)
	}
	n := model.New(plans, draining...)
	l := start(t, fmt.Sprint("md", seed), plans, draining...)
	l.agrees(t, n.After(), "in health")

	// This test can fail: a network with one more that drains is another one.
	var others []string
	for _, p := range plans {
		if !slices.Contains(draining, p.Router.Name) {
			others = append(others, p.Router.Name)
		}
	}
	if lie := model.New(plans, append(slices.Clone(draining), others...)...); lie.After().Moves(n.After()) > 0 {
		assert.NotEmpty(t, l.differs(t, lie.After()), "the comparison sees no difference where there is one")
	}

	all, _ := n.Faults()
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	steps := min(5, len(all))
	for i := range steps {
		l.set(t, all[i], "down")
		l.agrees(t, n.After(all[:i+1]...), fmt.Sprint("after ", all[:i+1]))
	}
	for i := range steps {
		l.set(t, all[i], "up")
	}
	l.down = map[string]bool{}
	l.agrees(t, n.After(), "mended")
	t.Logf("seed %d: %d routers, %d sites, draining %v: %d states, no difference; %v", seed,
		len(plans), len(plans[0].Bird.Owners), draining, steps+2, all[:steps])
}

// randomPlans is a mesh of two to four sites with up to three routers each, with zones
// or without, some of them not reachable, some sites without transit, some with IPv6.
func randomPlans(random *rand.Rand) []plan.Plan {
	for {
		var m mesh.Mesh
		m.SetDefaults()
		m.Sites, m.Routers = map[string]mesh.Site{}, map[string]mesh.Router{}
		id, ids := 0, random.Perm(20)
		for s := 1; s <= 2+random.IntN(3); s++ {
			name := fmt.Sprint("s", s)
			site := mesh.Site{
				AS:       plan.AS(65000 + random.IntN(5)*10 + s),
				Networks: mesh.List{fmt.Sprintf("10.%d.0.0/16", s)}, Zones: map[string]mesh.Zone{},
			}
			if random.IntN(3) == 0 {
				site.Networks = append(site.Networks, fmt.Sprintf("fd00:%d::/48", s))
			}
			zones := random.IntN(3)
			for z := 1; z <= zones; z++ {
				site.Zones[fmt.Sprint("z", z)] = mesh.Zone{Networks: mesh.List{fmt.Sprintf("10.%d.%d.0/24", s, z)}}
			}
			if random.IntN(4) == 0 {
				no := false
				site.Transit = &no
			}
			for range 1 + random.IntN(3) {
				r := mesh.Router{
					ID: ids[id] + 1, Site: name,
					Endpoint: fmt.Sprintf("192.0.2.%d", id+1),
					Gateway:  mesh.List{fmt.Sprintf("10.%d.250.1", s), fmt.Sprintf("fd00:%d::1", s)},
				}
				if len(site.Networks) == 1 {
					r.Gateway = r.Gateway[:1]
				}
				if zones > 0 {
					r.Zone = fmt.Sprint("z", 1+random.IntN(zones))
				}
				if random.IntN(4) == 0 {
					r.Endpoint = ""
				}
				id++
				m.Routers[fmt.Sprint("r", r.ID)] = r
			}
			m.Sites[name] = site
		}
		if plans, err := m.Plans(); err == nil && len(plans) > 2 {
			return plans
		}
	}
}

// A lab is a namespace with a BIRD for each router, and a veth pair for each tunnel.
type lab struct {
	plans   []plan.Plan
	ns      map[string]nettest.Namespace
	sockets map[string]string
	down    map[string]bool // routers that a fault took away
}

func start(t *testing.T, label string, plans []plan.Plan, draining ...string) *lab {
	version := must.Get(bird.Installed(t.Context()))(t)
	l := &lab{
		plans: plans, ns: map[string]nettest.Namespace{}, sockets: map[string]string{}, down: map[string]bool{},
	}
	for _, p := range l.plans {
		l.ns[p.Router.Name] = nettest.New(t, label+p.Router.Name)
	}
	made := map[string]bool{}
	for _, p := range l.plans {
		for _, tunnel := range p.Tunnels {
			if !made[tunnel.Name] {
				made[tunnel.Name] = true
				nettest.Cable(t, l.ns[p.Router.Name], tunnel.Name, l.ns[tunnel.Peers[0].Name], tunnel.Name)
			}
		}
	}
	for i, p := range l.plans {
		var text strings.Builder
		// A bridge without a port is dark.
		text.WriteString("link add site0 type bridge\nlink set site0 up\n" +
			"link add lan0 master site0 type veth peer name lan1\nlink set lan0 up\nlink set lan1 up\n")
		for _, s := range p.Bird.Static {
			if s.Network.Bits() == 16 {
				fmt.Fprintf(&text, "addr add %s/24 dev site0\n", lastByte(s.Via, 10+i))
			} else if s.Network.Addr().Is6() {
				fmt.Fprintf(&text, "addr add %s/64 dev site0 nodad\n", lastByte(s.Via, 10+i))
			}
		}
		for _, tunnel := range p.Tunnels {
			fmt.Fprintf(&text, "link set %s up\n", tunnel.Name)
			for _, a := range tunnel.Addresses {
				nodad := ""
				if a.Addr().Is6() {
					nodad = " nodad"
				}
				fmt.Fprintf(&text, "addr add %s dev %s%s\n", a, tunnel.Name, nodad)
			}
		}
		l.ns[p.Router.Name].Sh(t, "cd /proc/sys/net/ipv6/conf; echo 1 >default/keep_addr_on_down; "+
			"echo 1 >all/keep_addr_on_down; echo 1 >all/forwarding")
		l.batch(t, p.Router.Name, text.String())

		var c bird.Config
		c.SetDefaults()
		c.Bird, c.Version = p.Bird, version
		c.BFD = plan.BFD{Interval: 500, Multiplier: 10} // links fall at both ends
		if slices.Contains(draining, p.Router.Name) {
			c.Drain = plan.Drain{Since: time.Now()}
		}
		require.NoError(t, c.Validate())
		dir := t.TempDir()
		conf, socket := filepath.Join(dir, "bird.conf"), filepath.Join(dir, "bird.ctl")
		require.NoError(t, os.WriteFile(conf, bird.Render(c, bird.Sources{}), 0o644))
		l.sockets[p.Router.Name] = socket
		l.ns[p.Router.Name].Bird(t, conf, socket)
	}
	return l
}

func lastByte(a netip.Addr, b int) netip.Addr {
	raw := a.AsSlice()
	raw[len(raw)-1] = byte(b)
	out, _ := netip.AddrFromSlice(raw)
	return out
}

// set takes all tunnels of a fault away, or brings them back.
func (l *lab) set(t *testing.T, f model.Fault, state string) {
	t.Helper()
	where := map[string]*strings.Builder{}
	for _, p := range l.plans {
		of := f.Kind == model.RouterFault && f.Name == p.Router.Name ||
			f.Kind == model.ZoneFault && f.Name == p.Router.Site+" "+p.Router.Zone ||
			f.Kind == model.SiteFault && f.Name == p.Router.Site
		l.down[p.Router.Name] = l.down[p.Router.Name] || of
		for _, tunnel := range p.Tunnels {
			sites := []string{p.Router.Site, l.site(tunnel.Peers[0].Name)}
			slices.Sort(sites)
			if of || f.Kind == model.TunnelFault && strings.HasPrefix(f.Name, tunnel.Name+" ") ||
				f.Kind == model.UnderlayFault && f.Name == strings.Join(sites, "-") {
				if where[p.Router.Name] == nil {
					where[p.Router.Name] = &strings.Builder{}
				}
				fmt.Fprintf(where[p.Router.Name], "link set %s %s\n", tunnel.Name, state)
			}
		}
	}
	for router, text := range where {
		l.batch(t, router, text.String())
	}
}

func (l *lab) site(router string) string {
	i := slices.IndexFunc(l.plans, func(p plan.Plan) bool { return p.Router.Name == router })
	return l.plans[i].Router.Site
}

// agrees waits until the sessions are those of the model's state, and then until the
// routes are. They have to be the same a moment later too.
func (l *lab) agrees(t *testing.T, v *model.View, when string) {
	t.Helper()
	complaint, again := "", false
	for begin := time.Now(); time.Since(begin) < 2*time.Minute; time.Sleep(150 * time.Millisecond) {
		if complaint = l.sessions(v); complaint != "" {
			again = false
			continue
		}
		if complaint = l.differs(t, v); complaint == "" && again {
			return
		}
		again = complaint == ""
	}
	require.FailNow(t, "the model is not what BIRD does", "%s: %s", when, complaint)
}

func (l *lab) sessions(v *model.View) string {
	for _, p := range l.plans {
		if l.down[p.Router.Name] {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		reply, err := birdc.Do(ctx, l.sockets[p.Router.Name], "show protocols")
		cancel()
		if err != nil {
			return err.Error()
		}
		if have, want := strings.Count(reply.Text(), "Established"), v.Sessions(p.Router.Name); have != want {
			return fmt.Sprintf("%s has %d sessions, expected %d", p.Router.Name, have, want)
		}
	}
	return ""
}

// differs compares the routes in the kernels with the model's.
func (l *lab) differs(t *testing.T, v *model.View) string {
	t.Helper()
	var out []string
	for _, p := range l.plans {
		if l.down[p.Router.Name] {
			continue
		}
		have, want := l.routes(t, p), map[string]string{}
		for _, o := range p.Bird.Owners {
			for _, network := range o.Networks {
				if next := v.Next(p.Router.Name, network); next != "" {
					want[network.String()] = next
				}
			}
		}
		for _, network := range slices.Sorted(maps.Keys(want)) {
			if have[network] != want[network] {
				out = append(out,
					fmt.Sprintf("%s to %s: BIRD by %q, model by %q", p.Router.Name, network,
						have[network], want[network]))
			}
		}
		for _, network := range slices.Sorted(maps.Keys(have)) {
			if want[network] == "" {
				out = append(out,
					fmt.Sprintf("%s to %s: BIRD by %q, model by nobody", p.Router.Name, network, have[network]))
			}
		}
	}
	return strings.Join(out, "\n")
}

// routes are those of BIRD's in the kernel: prefix to the router that is next.
func (l *lab) routes(t *testing.T, p plan.Plan) map[string]string {
	t.Helper()
	by := map[string]string{"site0": p.Router.Name}
	for _, tunnel := range p.Tunnels {
		by[tunnel.Name] = tunnel.Peers[0].Name
	}
	out := map[string]string{}
	for _, family := range []string{"-4", "-6"} {
		raw := l.ns[p.Router.Name].IP(t, "-j", family, "route", "show", "proto", "bird")
		var routes []struct{ Dst, Dev string }
		if len(raw) > 0 {
			require.NoError(t, json.Unmarshal([]byte(raw), &routes))
		}
		for _, r := range routes {
			out[r.Dst] = by[r.Dev]
		}
	}
	return out
}

// batch runs many lines of ip's at once.
func (l *lab) batch(t *testing.T, router, lines string) {
	t.Helper()
	l.ns[router].Sh(t, "ip -batch - <<'END'\n%sEND\n", lines)
}

// When a site dies, all others tell each other longer and longer ways to it until nobody
// has one: BGP hunts for paths. With paths of any length a simulation with no time in it has
// 31,000 updates for 13 sites, and BIRD, which skips most, 650 to 1,400 for 12. With
// plan.LongestPath the simulation has 3,200 for 21, and BIRD 170 for 12.
func TestHuntEnds(t *testing.T) {
	for _, sites := range []int{8, 12} {
		var m mesh.Mesh
		m.SetDefaults()
		m.Sites, m.Routers = map[string]mesh.Site{}, map[string]mesh.Router{}
		for s := 1; s <= sites; s++ {
			name, net := fmt.Sprint("s", s), fmt.Sprint("10.", s)
			m.Sites[name] = mesh.Site{AS: plan.AS(65000 + s), Networks: mesh.List{net + ".0.0/16"}}
			m.Routers[fmt.Sprint("r", s)] = mesh.Router{
				ID: s, Site: name, Endpoint: fmt.Sprint("192.0.2.", s), Gateway: mesh.List{net + ".250.1"},
			}
		}
		l := start(t, fmt.Sprint("mh", sites), must.Get(m.Plans())(t))
		n := model.New(l.plans)
		l.agrees(t, n.After(), "in health")
		all, _ := n.Faults()
		dead := all[slices.IndexFunc(all, func(f model.Fault) bool { return f.Kind == model.RouterFault })]
		before := l.heard(t, dead.Name)
		l.set(t, dead, "down")
		l.agrees(t, n.After(dead), "after the death")
		last, now := 0, l.heard(t, dead.Name)
		for ; last != now; last, now = now, l.heard(t, dead.Name) {
			time.Sleep(time.Second)
		}
		t.Logf("%d sites: %d updates", sites, now-before)
		assert.Positive(t, now-before, "nobody hunted, so this measures nothing")
		assert.Less(t, now-before, 1000)
	}
}

// heard counts the updates that the routers were told in their sessions with all but the dead one.
func (l *lab) heard(t *testing.T, dead string) (sum int) {
	for _, p := range l.plans {
		for _, b := range p.Bird.Neighbors {
			if p.Router.Name == dead || b.Router == dead {
				continue
			}
			reply := must.Get(birdc.Do(t.Context(), l.sockets[p.Router.Name], "show protocols all "+b.Name))(t)
			for line := range strings.Lines(reply.Text()) {
				received := 0
				_, _ = fmt.Sscanf(line, " Import updates: %d", &received)
				sum += received
			}
		}
	}
	return sum
}
