package mesh_test

import (
	"strings"
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
	known := map[string][]string{}
	all := plans(t, m)
	for name, p := range all {
		for _, partner := range p.Failover.Partners {
			known[name] = append(known[name], partner.Name)
		}
	}
	require.NotContains(t, known["aws-1"], "aws-2")
	for name, p := range all {
		for _, partner := range p.Failover.Partners {
			for _, before := range partner.Before {
				assert.Contains(t, known[name], before, "%s stands in for %s", name, partner.Name)
				assert.Contains(t, known[before], partner.Name, "%s waits for %s", name, before)
			}
		}
	}
}

// Two routers of a site that nobody can call never stand in for each other, and that is said.
func TestNobodyCanStandIn(t *testing.T) {
	m := load(t, "route-tables")
	for name, r := range m.Routers {
		if r.Site == "aws" {
			router(&m, name, func(r *mesh.Router) {
				r.Endpoint = ""
				if name != "aws-1" && name != "aws-2" {
					r.State = mesh.StateAbsent
				}
			})
		}
	}
	warned := strings.Join(m.Warnings(), "\n")
	for _, name := range []string{"aws-1", "aws-2"} {
		assert.Contains(t, warned, "router "+name+": route_tables: nobody can stand in for it: "+
			"no other router of site aws")
	}
}
