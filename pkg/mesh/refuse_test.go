package mesh_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/mesh"
)

// router and site change one entry of a mesh.
func router(m *mesh.Mesh, name string, change func(*mesh.Router)) {
	r := m.Routers[name]
	change(&r)
	m.Routers[name] = r
}

func site(m *mesh.Mesh, name string, change func(*mesh.Site)) {
	s := m.Sites[name]
	change(&s)
	m.Sites[name] = s
}

// Each mistake alone in the field case gives this problem and no other: one line, all of
// it or its beginning.
func TestRefuses(t *testing.T) {
	alone := func(networks string) string { // and no zones
		return fmt.Sprintf("{sites: {aws: {networks: [%q], zones: null}}, "+
			"routers: {aws-1: {zone: null}, aws-2: {zone: null}}}", networks)
	}
	const away = "{office-1: null, office-2: null, azure-1: null, azure-2: null, aws-2: null, "
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEm5FHHMTJ2gGcJFKBSjUpxbAyhxN3rt3pV0VNqUrGPw"
	refused := map[string]string{
		alone("10.1.128.0/17"): "sites aws, azure: networks overlap (10.1.0.0/16, 10.1.128.0/17): " +
			"leave each address at one site",
		"{sites: {aws: {networks: [], zones: null}}, routers: {aws-1: {zone: null}, aws-2: {zone: null}}}": "" +
			"site aws: networks is missing",
		"{sites: {gcp: {networks: [10.3.1.1/32], zones: null}}, routers: {gcp-1: {zone: null}}}": "" +
			"router gcp-1: gateway: none can be derived from 10.3.1.1/32 of site gcp",
		"sites: {aws: {zones: {a: [10.9.1.0/24]}}}": "site aws: zone a: subnet 10.9.1.0/24 is outside " +
			"of the site's networks 10.2.0.0/16",
		"sites: {aws: {zones: {a: [10.2.0.0/15], c: [10.2.9.0/24]}}}": "" +
			"site aws: zone a: subnet 10.2.0.0/15 is outside",
		`sites: {aws: {zones: {"": [10.2.7.0/24]}}}`: "site aws: one zone has an empty name",
		"sites: {aws: {zones: {a: [ten]}}}":          `site aws: zone a: "ten" is not a network`,
		"sites: {aws: {as: 23456}}":                  "site aws: as 23456 is reserved", // AS_TRANS
		"sites: {aws: {as: 65535}}":                  "site aws: as 65535 is reserved",
		"sites: {aws: {as: 4294967295}}":             "site aws: as 4294967295 is reserved",
		"sites: {aws: {as: 4294967296}}":             "site aws: as 4294967296 is not an AS number",
		"sites: {aws: {as: -1}}":                     "site aws: as -1 is not an AS number",
		"sites: {aws: {as: 0}}":                      "site aws: as is missing",
		"sites: {aws: {as: 65020}}":                  "sites aws, azure: all have as 65020",
		"sites: {aws: {mtu: 635}}": "site aws: mtu 635 leaves 575 in tunnel 7 of aws-1 and office-1, " +
			"where Linux takes 576: set 636 or more",
		// Of one tunnel, which goes over IPv6.
		`{sites: {aws: {mtu: 655}}, routers: {gcp-1: {endpoints: {aws: "2001:db8:ff::1"}}}}`: "" +
			"site aws: mtu 655 leaves 575 in tunnel 20 of aws-1 and gcp-1, where Linux takes 576: set 656 or more",
		"sites: {aws: {mtu: -1}}":    "site aws: mtu is -1: expected 636 to 65535 bytes outside the tunnels",
		"sites: {aws: {mtu: 65536}}": "site aws: mtu is 65536",
		"routers: {Azure-1: {id: 90, state: absent, host_key: " + key + "}}": "routers Azure-1, azure-1: " +
			"the names differ in case only, and are one name to ssh: rename all but one",
		"routers: " + away + `aws-1: {endpoint: ""}, gcp-1: {endpoint: ""}}`: "routers aws-1, gcp-1: none has " +
			"an endpoint for the others, and no third router carries for them: give one",
		`{sites: {office: {transit: false}, azure: {transit: false}, aws: {transit: false}, gcp: {transit: false}},
			routers: {aws-2: null, office-2: null, aws-1: {endpoint: ""}, gcp-1: {endpoint: ""}}}`: "" +
			"routers aws-1, gcp-1: none has an endpoint for the others",
		"routers: {aws-1: {endpoints: {asw: 10.2.0.4}}}": `router aws-1: endpoints: site "asw" is unknown: ` +
			"expected one of aws, azure",
		"routers: {aws-1: {endpoints: {aws: aws-1.lan}}}": "" +
			`router aws-1: endpoints.aws is "aws-1.lan": expected an IP address`,
		"routers: {aws-1: {endpoints: {gcp: 10.2.0.4}}}": "router aws-1: endpoint 10.2.0.4 is inside network " +
			"10.2.0.0/16 of site aws",
		"routers: {aws-1: {endpoints: {aws: 172.31.0.4}}}": "router aws-1: endpoint 172.31.0.4 is inside the link pool",
		"routers: {office-2: {endpoint: 192.0.2.11, endpoint_port_base: 51800}}": "routers office-1, office-2: " +
			"more than one would be called at 192.0.2.11:51801: set endpoint_port_base",
		"routers: {office-2: {endpoint: 192.0.2.11, endpoint_port_base: 51804}}": "routers office-1, office-2: " +
			"more than one would be called at 192.0.2.11:51807, 192.0.2.11:51816: set endpoint_port_base",
		"routers: {office-2: {endpoint_port_base: 65520}}": "router office-2: endpoint_port_base: 65520: " +
			"expected up to 65518, because the highest of its tunnels has number 17",
		"routers: {office-2: {listen_port_base: -1}}": "router office-2: listen_port_base: -1: expected up to",
		`sites: {"a b": {as: 65050, networks: [10.7.0.0/16]}}`: "" +
			`site "a b": the name is not plain: use letters`,
		"routers: {aws-1: {site: aw}}": `router aws-1: site "aw" is unknown: ` +
			"expected one of aws, azure, gcp, office, or add",
		`routers: {aws-1: {site: ""}}`: "router aws-1: site is missing: expected one of",
		"routers: {aws-1: {zone: b}}": "" +
			`router aws-1: site aws has no zone "b": expected one of a, c, or add`,
		"routers: {aws-1: {state: gone}}":        `router aws-1: state is "gone": expected present or absent`,
		"routers: {aws-1: {id: 0}}":              "router aws-1: id is missing",
		"routers: {aws-1: {id: -5}}":             "router aws-1: id is -5: expected 1 to 363",
		"routers: {aws-1: {id: 364}}":            "router aws-1: id is 364: expected 1 to 363",
		"routers: {aws-1: {id: 4}}":              "routers aws-1, azure-2: id 4 is given to all of them",
		"routers: {old: {id: 7, state: absent}}": "routers gcp-1, old (absent): id 7 is given to all of them",
		`routers: {"": {id: 8, site: gcp, endpoint: 192.0.2.8}}`: "" +
			"routers: one has an empty name",
		`routers: {"x\ny": {state: absent}}`: `router "x\ny": the name is not plain: use letters`,
		"routers: {gcp_1: {id: 8, site: gcp, endpoint: 192.0.2.8}}": "" +
			"routers gcp-1, gcp_1: all would be protocol gcp_1 in BIRD",
		"routers: {aws-1: {endpoint: 198.51.100.71}}": "routers aws-1, gcp-1: more than one would be called at " +
			"198.51.100.71:51820: set endpoint_port_base",
		`routers: {aws-1: {endpoint: "::ffff:198.51.100.71"}}`: "" +
			"routers aws-1, gcp-1: more than one would be called at 198.51.100.71:",
		"routers: {gcp-1: {gateway: [gw]}}": `router gcp-1: gateway is "gw": expected an IP address`,
		`routers: {gcp-1: {gateway: ["fe80::1"]}}`: "router gcp-1: gateway fe80::1 is link-local: " +
			"say on which interface, such as fe80::1%eth0",
		"routers: {gcp-1: {gateway: [224.0.0.1]}}": "router gcp-1: gateway 224.0.0.1 is in the multicast range",
		"routers: {gcp-1: {gateway: [10.3.1.1%]}}": "" +
			`router gcp-1: gateway "10.3.1.1%": "" is not the name of an interface`,
		"routers: {gcp-1: {gateway: [10.3.1.1, 10.3.1.2]}}": "" +
			"router gcp-1: gateway 10.3.1.2 is the second of its family",
		"link_pool: 172.31.0.0/20": "link_pool: 172.31.0.0/20 is too small: it has no /24 number 21 for tunnel 21",
		"link_pool: 172.31.0.0/24": "link_pool: 172.31.0.0/24 is too small", // one link
		"link_pool: 172.31.0.0/25": "link_pool: 172.31.0.0/25 is too small",
		"link_pool: 10.3.0.0/16":   "link_pool: 10.3.0.0/16 overlaps network 10.3.0.0/16 of site gcp",
		"link_pool: fd00::/64":     "link_pool: fd00::/64 is not IPv4",
		`link_pool: ""`:            `link_pool: "" is not a network`,
		"link_prefix_length: 32":   "link_prefix_length: 32: expected 31",
		"port_base: 65535":         "port_base: 65535: expected 0 to 65534",
		"port_base: 65515": "port_base: 65515 is too high: tunnel 21 between aws-2 and gcp-1 would be port 65536: " +
			"take 65514 or less",
		"persistent_keepalive: 65536":   "persistent_keepalive: 65536: expected 1 to 65535 seconds",
		"bfd: slow":                     `bfd: "slow": expected normal or fast`,
		"preshared_key_directory: keys": `preshared_key_directory: "keys": expected an absolute path`,
		"interface_prefix: wireguard-mesh": `interface_prefix: "wireguard-mesh" makes interface ` +
			"wireguard-mesh21 of 16 characters, and Linux allows 15: take",
		"interface_prefix: wg.": `interface_prefix: "wg.": expected a letter`,
		"routers: null":         "routers: none is given",
		"routers: {aws-1: {route_tables: [rtb-0a]}, aws-2: {route_tables: [rtb-0a]}}": "" +
			"routers aws-1, aws-2: route_tables: all have rtb-0a: leave it with one",
		`routers: {aws-1: {route_tables: [""]}}`: "router aws-1: route_tables: one is empty",
		"routers: {aws-1: {route_tables: [rtb-0a, rtb-0a]}}": "" +
			"router aws-1: route_tables: rtb-0a is listed twice",
		"routers: {azure-1: {route_tables: [rtb-0a]}}": "router azure-1: route_tables: on Azure the load " +
			"balancer's probe moves the traffic",
		"routers: {office-1: {route_tables: [rtb-0a]}}": "router office-1: route_tables: " +
			`site office has cloud "", and only the tables of aws`,
		"routers: " + away + "gcp-1: null, aws-1: {route_tables: [rtb-0a]}}": "" +
			"router aws-1: route_tables: there is no router of another site",
		`routers: {aws-1: {route_tables: [rtb-0a], endpoint: ""}, azure-1: {endpoint: ""}, azure-2: {endpoint: ""},
			office-1: {endpoint: ""}, office-2: {endpoint: ""}, gcp-1: {endpoint: ""}}`: "" +
			"router aws-1: route_tables: it has no tunnel to another site, so it cannot know whether it is well: " +
			"give it an endpoint",
	}
	for network, want := range map[string]string{
		"10.2.0.0":            `"10.2.0.0" is not a network: write address/length`,
		"10.2.0.1/16":         "10.2.0.1/16 has bits set beyond its length: write 10.2.0.0/16",
		"0.0.0.0/0":           "0.0.0.0/0 is the default route",
		"::/0":                "::/0 is the default route",
		"128.0.0.0/1":         "128.0.0.0/1 overlaps the link-local range 169.254.0.0/16",
		"239.0.0.0/8":         "239.0.0.0/8 overlaps the multicast range 224.0.0.0/4",
		"ff05::/16":           "ff05::/16 overlaps the multicast range ff00::/8",
		"127.0.1.0/24":        "127.0.1.0/24 overlaps the loopback range",
		"::1/128":             "::1/128 overlaps the reserved range that has loopback in it",
		"169.254.0.0/16":      "169.254.0.0/16 overlaps the link-local range",
		"fe80::/64":           "fe80::/64 overlaps the link-local range",
		"::ffff:10.2.0.0/112": "::ffff:10.2.0.0/112 is IPv4 in the form of IPv6",
	} {
		refused[alone(network)] = "site aws: networks: " + want
	}
	for endpoint, want := range map[string]string{
		"[x]":                 `is "[x]": expected an IP address`,
		"[2001:db8::1":        `is "[2001:db8::1": expected an IP address`,
		"[2001:db8::1]:51820": `is "[2001:db8::1]:51820": expected an IP address without a port`,
		"vpn.example.com":     `is "vpn.example.com": expected an IP address without a port`,
		"192.0.2.1:51820":     `is "192.0.2.1:51820": expected an IP address without a port`,
		"127.0.0.1":           "127.0.0.1 is in the loopback range",
		"0.0.0.0":             "0.0.0.0 is the unspecified address",
		"fe80::1%eth0":        "fe80::1%eth0 is link-local",
		"10.2.0.4":            "10.2.0.4 is inside network 10.2.0.0/16 of site aws",
		"172.31.0.4":          "172.31.0.4 is inside the link pool 172.31.0.0/16",
	} {
		refused[fmt.Sprintf("routers: {aws-1: {endpoint: %q}}", endpoint)] = "router aws-1: endpoint " + want
	}
	require.NoError(t, load(t, "field-case").Validate())
	for change, want := range refused {
		t.Run(change, func(t *testing.T) {
			assertProblems(t, []string{want}, load(t, "field-case", change).Validate())
		})
	}
}

func assertProblems(t *testing.T, want []string, err error) {
	t.Helper()
	var have mesh.Problems
	require.ErrorAs(t, err, &have)
	require.Len(t, have, len(want), "%s", err)
	for i := range want {
		assert.True(t, strings.HasPrefix(have[i].String(), want[i]), "want %s\nhave %s", want[i], have[i])
		assert.NotContains(t, have[i].String(), "\n")
	}
}

// IPv6 has rules of its own, which do not bind a mesh without it.
func TestRefusesIPv6(t *testing.T) {
	for change, want := range map[string]string{
		"link_pool6: fd00::/126":     "link_pool6: fd00::/126 is too small: it has no /127 number 6 for tunnel 6",
		"link_pool6: 192.168.0.0/16": "link_pool6: 192.168.0.0/16 is not IPv6",
		"link_pool6: 2001:db8:20:1::/64": "" +
			"link_pool6: 2001:db8:20:1::/64 overlaps network 2001:db8:20::/48 of site six",
		"sites: {four: {mtu: 1359}}": "site four: mtu 1359 leaves 1279 in tunnel",
		`routers: {six-1: {endpoint: "2001:db8:10::1"}}`: "" +
			"router six-1: endpoint 2001:db8:10::1 is inside network 2001:db8:10::/48 of site both",
		`sites: {six: {networks: ["2001:db8:20::8/127"], gateway: [192.0.2.1]}}`: "" +
			"router six-1: gateway: none can be derived from 2001:db8:20::8/127 of site six",
	} {
		t.Run(change, func(t *testing.T) {
			assertProblems(t, []string{want}, load(t, "dual-stack", change).Validate())
		})
	}
	m := load(t, "field-case")
	m.LinkPool6 = "nonsense"
	assert.NoError(t, m.Validate(), "there is no IPv6 in this mesh")
}

// An IPv6 header outside is 20 bytes longer, for the tunnels that go that way and for no other.
func TestMTUOfTheWayTaken(t *testing.T) {
	m := load(t, "field-case")
	site(&m, "gcp", func(s *mesh.Site) { s.Networks = append(s.Networks, "2001:db8:20::/48") })
	site(&m, "aws", func(s *mesh.Site) { s.MTU = 1340 })
	require.NoError(t, m.Validate())
	router(&m, "office-1", func(r *mesh.Router) {
		r.Endpoints = map[string]string{"aws": r.Endpoint}
		r.Endpoint = "2001:db8:ff::1"
	})
	require.NoError(t, m.Validate(), "the tunnels of others")
	router(&m, "gcp-1", func(r *mesh.Router) { r.Endpoints = map[string]string{"aws": "2001:db8:ff::9"} })
	const want = "site aws: mtu 1340 leaves 1260 in tunnel 20 of aws-1 and gcp-1, where IPv6 needs 1280: " +
		"set 1360 or more"
	assertProblems(t, []string{want}, m.Validate())
	site(&m, "aws", func(s *mesh.Site) { s.MTU = 1360 })
	require.NoError(t, m.Validate())
	for _, tunnel := range plans(t, m)["aws-1"].Tunnels {
		assert.GreaterOrEqual(t, tunnel.MTU, 1280, tunnel.Name)
	}
}

// Everything that is wrong comes at once, sorted, also when a plan is asked for.
func TestRefusesAllAtOnce(t *testing.T) {
	m := load(t, "field-case")
	router(&m, "azure-2", func(r *mesh.Router) { r.ID = 3 })
	router(&m, "gcp-1", func(r *mesh.Router) { r.Site = "gpc" })
	site(&m, "aws", func(s *mesh.Site) { s.AS = 65535; s.Networks = mesh.List{"10.0.0.0/8"} })
	m.LinkPool = "10.0.0.0/16"
	want := []string{
		"link_pool: 10.0.0.0/16 overlaps networks such as 10.0.0.0/8 of sites aws, office",
		`router gcp-1: site "gpc" is unknown`,
		`router: "azure-3" is not among the routers`,
		"routers azure-1, azure-2: id 3 is given to all of them",
		"site aws: as 65535",
		"sites aws, azure, gcp, office: networks overlap (10.0.0.0/16, 10.0.0.0/8, 10.1.0.0/16, 10.3.0.0/16)",
	}
	_, err := m.Plan("azure-3")
	assertProblems(t, want, err)
}

func TestPlanOfNobody(t *testing.T) {
	m := load(t, "behind-nat")
	for name, want := range map[string]string{
		"":      "router: it is empty",
		"dc-2":  `router: "dc-2" is not among the routers`,
		"old-1": `router: "old-1" is absent, so it has no plan`,
	} {
		_, err := m.Plan(name)
		assertProblems(t, []string{want}, err)
	}
}

// What follows from a network that cannot be read is not told beside it.
func TestBadNetworkIsOneProblem(t *testing.T) {
	for _, bad := range []string{"10.2.0.1/16", "10.2.0.0", "10.2.0.0/33", "::ffff:10.2.0.0/112", "0.0.0.0/0", ""} {
		m := load(t, "field-case")
		site(&m, "aws", func(s *mesh.Site) {
			s.Networks, s.Probe = mesh.List{bad}, mesh.List{"10.2.1.20"}
			s.Gateway = mesh.List{"10.2.1.1"}
		})
		router(&m, "aws-1", func(r *mesh.Router) { r.Probe, r.Gateway = mesh.List{"10.2.1.21"}, mesh.List{"10.2.1.1"} })
		assertProblems(t, []string{"site aws: networks: "}, m.Validate())

		m = load(t, "field-case")
		m.Sites["aws"].Zones["a"] = mesh.Zone{Networks: mesh.List{bad}}
		router(&m, "aws-1", func(r *mesh.Router) { r.Gateway = mesh.List{"10.2.1.1"} })
		assertProblems(t, []string{"site aws: zone a: "}, m.Validate())
	}
}

// An address with a zone is one of a link, and in no network.
func TestProbeWithAZone(t *testing.T) {
	m := load(t, "dual-stack")
	network := must.Get(netip.ParsePrefix(m.Sites["six"].Networks[0]))(t)
	site(&m, "six", func(s *mesh.Site) { s.Probe = mesh.List{network.Addr().Next().String() + "%eth0"} })
	require.ErrorContains(t, m.Validate(), "is in no network of site six")
}

// What works and is seldom meant is planned, with a warning. Each alone in the field
// case gives this one and no other: one line, all of it or its beginning.
func TestWarns(t *testing.T) {
	office := func(more string) string { // it has one public address
		return "routers: {office-2: {endpoint: 192.0.2.11" + more + "}}"
	}
	orphan := func(table string) string { // aws-1 is absent, and aws-2 has this table
		return "routers: {aws-1: {state: absent, route_tables: [rtb-0a]}, aws-2: {route_tables: [" + table + "]}}"
	}
	for change, want := range map[string]string{
		"": "",
		"sites: {aws: {as: 64512}}": "site aws: as 64512 is the default of AWS's gateways, and clashes with theirs: " +
			"use one of 64513 to 65534",
		"sites: {aws: {as: 65515}}":      "site aws: as 65515 is that of Azure's VPN gateways",
		"sites: {aws: {as: 16550}}":      "site aws: as 16550 is not private (RFC 6996)",
		"sites: {aws: {as: 65552}}":      "site aws: as 65552 is not private",
		"sites: {aws: {as: 64511}}":      "site aws: as 64511 is for examples (RFC 5398)",
		"sites: {aws: {as: 65551}}":      "site aws: as 65551 is for examples",
		"sites: {aws: {as: 64513}}":      "", // the first private one
		"sites: {aws: {as: 4200000000}}": "",
		"sites: {aws: {cloud: oracle}}": `site aws: cloud is "oracle", which is taken as other, ` +
			"with an MTU of 1500: set mtu",
		"sites: {aws: {mtu: 1279}}": "site aws: mtu is 1279, which is little",
		"sites: {aws: {networks: [10.2.0.0/16, 10.2.0.0/16]}}": "" +
			"site aws: network 10.2.0.0/16 is listed twice: keep one",
		"sites: {gcp: {networks: [10.3.0.0/16, 64.0.0.0/7]}}": "" +
			"site gcp: network 64.0.0.0/7 is larger than a /8, and all of it goes into the tunnels",
		`sites: {gcp: {networks: [10.3.0.0/16, "2000::/3"]}}`: "site gcp: network 2000::/3 is larger than a /16",
		"sites: {aws: {zones: {a: []}}}":                      "site aws: zone a has no networks",
		"sites: {aws: {zones: {a: [10.2.1.0/24, 10.2.1.0/24]}}}": "" +
			"site aws: zone a: subnet 10.2.1.0/24 is listed twice: keep one",
		"sites: {aws: {zones: {a: [10.2.2.0/24]}}}": "site aws: subnet 10.2.2.0/24 is in the zones a, c, " +
			"so the routers of all draw its traffic",
		"sites: {aws: {zones: {a: [10.2.2.128/25]}}}": "site aws: subnets of zones a, c overlap " +
			"(10.2.2.0/24, 10.2.2.128/25), the smallest one counts",
		"routers: {Azure-1: {id: 90, state: absent}}": "routers Azure-1, azure-1: the names differ in case only",

		`routers: {aws-1: {endpoint: ""}}`: "",
		`routers: {aws-1: {endpoint: ""}, gcp-1: {endpoint: ""}}`: "no tunnel between aws-1 and gcp-1: " +
			"neither has an endpoint, and a third router carries their traffic: give one an address",
		`routers: {aws-1: {endpoint: ""}, aws-2: {endpoint: ""}}`: "" +
			"no tunnel between aws-1 and aws-2: neither has an endpoint",
		`routers: {aws-1: {endpoint: ""}, aws-2: {endpoint: ""}, gcp-1: {endpoint: ""}}`: "no tunnel between " +
			"aws-1 and aws-2, aws-1 and gcp-1, aws-2 and gcp-1: neither has",
		// Only the router of its own site carries.
		`{sites: {office: {transit: false}, azure: {transit: false}, aws: {transit: false}, gcp: {transit: false}},
			routers: {aws-1: {endpoint: ""}, gcp-1: {endpoint: ""}}}`: "" +
			"no tunnel between aws-1 and gcp-1: neither has an endpoint",
		`routers: {aws-1: {endpoint: "2001:db8:2::4"}}`: "aws-1: only an IPv6 endpoint, where aws-2, azure-1, " +
			"azure-2, gcp-1, office-1, office-2 have an IPv4 one: give one",
		`routers: {aws-1: {endpoint: " [2001:db8:2::4] "}}`:    "aws-1: only an IPv6 endpoint",
		`routers: {aws-1: {endpoint: "::ffff:198.51.100.11"}}`: "",

		orphan("rtb-0b"): "router aws-1 is absent, so nobody cares for route table rtb-0a: give it to another router",
		orphan("rtb-0a"): "",

		office(", endpoint_port_base: 52800, endpoints: {office: 10.0.1.12}"): "",
		office(", endpoint_port_base: 52800"): "routers office-1, office-2: all are behind 192.0.2.11 " +
			"and call each other there",
		office(", endpoints: {office: 10.0.1.12}"): "", // each port by hand
	} {
		t.Run(change, func(t *testing.T) {
			m := load(t, "field-case", change)
			require.NoError(t, m.Validate())
			have := m.Warnings()
			require.Equal(t, want != "", len(have) == 1, "%v", have)
			if want != "" {
				assert.True(t, strings.HasPrefix(have[0], want), "want %s\nhave %s", want, have[0])
				assert.LessOrEqual(t, len(have[0]), 160)
			}
			plans(t, m)
		})
	}
}
