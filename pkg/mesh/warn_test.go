package mesh_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/pkg/mesh"
	"github.com/wgmesh/router/pkg/plan"
)

// What works and is seldom meant is planned, with a warning. Each alone in the field
// case gives these and no others: one line each, all of it or its beginning.
func TestWarns(t *testing.T) {
	type m = mesh.Mesh
	endpoint := func(name, value string) func(*m) {
		return func(m *m) { router(m, name, func(r *mesh.Router) { r.Endpoint = value }) }
	}
	as := func(value plan.AS) func(*m) {
		return func(m *m) { site(m, "aws", func(s *mesh.Site) { s.AS = value }) }
	}
	behind := func(base int, lan bool) func(*m) { // the office has one public address
		return func(m *m) {
			router(m, "office-2", func(r *mesh.Router) {
				r.Endpoint, r.EndpointPortBase = m.Routers["office-1"].Endpoint, base
				if lan {
					r.Endpoints = map[string]string{"office": "10.0.1.12"}
				}
			})
		}
	}
	orphan := func(table string) func(*m) { // aws-1 is absent, and aws-2 has this table
		return func(m *m) {
			router(m, "aws-1", func(r *mesh.Router) { r.State, r.RouteTables = mesh.StateAbsent, mesh.List{"rtb-0a"} })
			router(m, "aws-2", func(r *mesh.Router) { r.RouteTables = mesh.List{table} })
		}
	}
	for name, tt := range map[string]struct {
		change func(*m)
		want   string
	}{
		"nothing": {func(*m) {}, ""},
		"default AS of AWS": {
			as(64512),
			"site aws: as 64512 is the default of AWS's gateways, and clashes with theirs: " +
				"use one of 64513 to 65534",
		},
		"AS of Azure":         {as(65515), "site aws: as 65515 is that of Azure's VPN gateways"},
		"public AS":           {as(16550), "site aws: as 16550 is not private (RFC 6996)"},
		"public AS, long":     {as(65552), "site aws: as 65552 is not private"},
		"AS for examples":     {as(64511), "site aws: as 64511 is for examples (RFC 5398)"},
		"AS for examples too": {as(65551), "site aws: as 65551 is for examples"},
		"first private AS":    {as(64513), ""},
		"last private AS":     {as(4200000000), ""},
		"unknown cloud": {func(m *m) {
			site(m, "aws", func(s *mesh.Site) { s.Cloud = "oracle" })
		}, `site aws: cloud is "oracle", which is taken as other, with an MTU of 1500: set mtu`},
		"small MTU": {func(m *m) {
			site(m, "aws", func(s *mesh.Site) { s.MTU = 1279 })
		}, "site aws: mtu is 1279, which is little"},
		"network twice": {func(m *m) {
			site(m, "aws", func(s *mesh.Site) { s.Networks = mesh.List{"10.2.0.0/16", "10.2.0.0/16"} })
		}, "site aws: network 10.2.0.0/16 is listed twice: keep one"},
		"much of the internet": {func(m *m) {
			site(m, "gcp", func(s *mesh.Site) { s.Networks = append(s.Networks, "64.0.0.0/7") })
		}, "site gcp: network 64.0.0.0/7 is larger than a /8, and all of it goes into the tunnels"},
		"all of IPv6": {func(m *m) {
			site(m, "gcp", func(s *mesh.Site) { s.Networks = append(s.Networks, "2000::/3") })
		}, "site gcp: network 2000::/3 is larger than a /16"},
		"zone is empty": {func(m *m) { zone(m, "aws", "a") }, "site aws: zone a has no networks"},
		"subnet twice": {func(m *m) {
			zone(m, "aws", "a", "10.2.1.0/24", "10.2.1.0/24")
		}, "site aws: zone a: subnet 10.2.1.0/24 is listed twice: keep one"},
		"subnet in two zones": {func(m *m) {
			zone(m, "aws", "a", "10.2.2.0/24")
		}, "site aws: subnet 10.2.2.0/24 is in the zones a, c, so the routers of all draw its traffic"},
		"zone in a zone": {func(m *m) {
			zone(m, "aws", "a", "10.2.2.128/25")
		}, "site aws: subnets of zones a, c overlap (10.2.2.0/24, 10.2.2.128/25), the smallest one counts"},
		"names that differ in case": {func(m *m) {
			r := m.Routers["azure-1"]
			r.ID, r.State = 90, mesh.StateAbsent
			m.Routers["Azure-1"] = r
		}, "routers Azure-1, azure-1: the names differ in case only"},

		"no endpoint": {endpoint("aws-1", ""), ""},
		"two without": {func(m *m) {
			endpoint("aws-1", "")(m)
			endpoint("gcp-1", "")(m)
		}, "no tunnel between aws-1 and gcp-1: neither has an endpoint, and a third router carries their traffic: " +
			"give one an address"},
		"a site without": {func(m *m) {
			endpoint("aws-1", "")(m)
			endpoint("aws-2", "")(m)
		}, "no tunnel between aws-1 and aws-2: neither has an endpoint"},
		"three without": {func(m *m) {
			endpoint("aws-1", "")(m)
			endpoint("aws-2", "")(m)
			endpoint("gcp-1", "")(m)
		}, "no tunnel between aws-1 and aws-2, aws-1 and gcp-1, aws-2 and gcp-1: neither has"},
		"only the router of its own site carries": {func(m *m) {
			for name, s := range m.Sites {
				no := false
				s.Transit = &no
				m.Sites[name] = s
			}
			endpoint("aws-1", "")(m)
			endpoint("gcp-1", "")(m)
		}, "no tunnel between aws-1 and gcp-1: neither has an endpoint"},
		"IPv6": {
			endpoint("aws-1", "2001:db8:2::4"),
			"aws-1: only an IPv6 endpoint, where aws-2, azure-1, azure-2, gcp-1, office-1, " +
				"office-2 have an IPv4 one: give one",
		},
		"IPv6 in brackets": {endpoint("aws-1", " [2001:db8:2::4] "), "aws-1: only an IPv6 endpoint"},
		"IPv4 as IPv6":     {endpoint("aws-1", "::ffff:198.51.100.11"), ""},

		"table of an absent router": {orphan("rtb-0b"), "router aws-1 is absent, so nobody " +
			"cares for route table rtb-0a: give it to another router"},
		"table of an absent router, taken over": {orphan("rtb-0a"), ""},

		"one address": {behind(52800, true), ""},
		"one address and no LAN": {
			behind(52800, false),
			"routers office-1, office-2: all are behind 192.0.2.11 and call each other there",
		},
		"one address, each port by hand": {behind(0, true), ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := load(t, "field-case")
			tt.change(&m)
			require.NoError(t, m.Validate())
			have := m.Warnings()
			require.Equal(t, tt.want != "", len(have) == 1, "%v", have)
			if tt.want != "" {
				assert.True(t, strings.HasPrefix(have[0], tt.want), "want %s\nhave %s", tt.want, have[0])
				assert.LessOrEqual(t, len(have[0]), 160)
			}
			plans(t, m)
		})
	}
}
