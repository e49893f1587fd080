package mesh_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/pkg/mesh"
)

// A router draws the packets of its zone for each site that has a router, also where a
// third one carries. Who has no tunnel to another site watches nothing, so nobody waits
// for it.
func TestFailoverOfCarried(t *testing.T) {
	m := load(t, "route-tables")
	for _, name := range []string{"aws-1", "other-1"} {
		router(&m, name, func(r *mesh.Router) { r.Endpoint = "" })
	}
	all := plans(t, m)
	assert.Equal(t, all["aws-2"].Failover.Prefixes, all["aws-1"].Failover.Prefixes)
	require.Len(t, all["aws-1"].Failover.Peers, 1)

	m = load(t, "route-tables")
	for _, name := range []string{"aws-4", "other-1", "office-1"} {
		router(&m, name, func(r *mesh.Router) { r.Endpoint = "" })
	}
	require.Empty(t, plans(t, m)["aws-4"].Failover.Peers)
	for name, p := range plans(t, m) {
		for _, partner := range p.Failover.Partners {
			assert.NotContains(t, partner.Before, "aws-4", "%s stands in for %s", name, partner.Name)
		}
	}
}

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
