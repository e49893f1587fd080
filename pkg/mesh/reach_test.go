package mesh_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/mesh"
	"github.com/wgmesh/router/pkg/model"
	"github.com/wgmesh/router/pkg/plan"
)

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
