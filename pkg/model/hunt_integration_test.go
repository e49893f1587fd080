//go:build integration

package model_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/birdc"
	"github.com/wgmesh/router/pkg/mesh"
	"github.com/wgmesh/router/pkg/model"
	"github.com/wgmesh/router/pkg/plan"
)

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
