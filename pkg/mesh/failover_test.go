package mesh_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/pkg/mesh"
)

// Two routers of a site that nobody can call have no tunnel to each other, and neither waits for
// the other one: the daemon refuses a file in which somebody goes before it who is no partner.
func TestStandInsArePartners(t *testing.T) {
	m := load(t, "route-tables")
	for _, name := range []string{"aws-1", "aws-2"} {
		router(&m, name, func(r *mesh.Router) { r.Endpoint = "" })
	}
	for name, p := range plans(t, m) {
		known := map[string]bool{}
		for _, partner := range p.Failover.Partners {
			known[partner.Name] = true
		}
		if name == "aws-1" {
			require.NotContains(t, known, "aws-2")
		}
		for _, partner := range p.Failover.Partners {
			for _, before := range partner.Before {
				assert.Contains(t, known, before, "%s stands in for %s", name, partner.Name)
			}
		}
	}
}
