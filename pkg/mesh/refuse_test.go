package mesh_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/mesh"
	"github.com/wgmesh/router/pkg/plan"
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

// zone replaces one zone of a site.
func zone(m *mesh.Mesh, of, name string, subnets ...string) {
	m.Sites[of].Zones[name] = mesh.Zone{Networks: subnets}
}

// Each mistake alone in the field case gives these problems and no others: one
// line each, all of it or its beginning.
func TestRefuses(t *testing.T) {
	type m = mesh.Mesh
	endpoint := func(name, value string) func(*m) {
		return func(m *m) { router(m, name, func(r *mesh.Router) { r.Endpoint = value }) }
	}
	endpoints := func(name, caller, value string) func(*m) {
		return func(m *m) {
			router(m, name, func(r *mesh.Router) { r.Endpoints = map[string]string{caller: value} })
		}
	}
	networks := func(name string, values ...string) func(*m) {
		return func(m *m) { site(m, name, func(s *mesh.Site) { s.Networks, s.Zones = values, nil }); zoneless(m, name) }
	}
	as := func(name string, value plan.AS) func(*m) {
		return func(m *m) { site(m, name, func(s *mesh.Site) { s.AS = value }) }
	}
	id := func(name string, value int) func(*m) {
		return func(m *m) { router(m, name, func(r *mesh.Router) { r.ID = value }) }
	}
	tables := func(of map[string]string) func(*m) {
		return func(m *m) {
			for name, table := range of {
				router(m, name, func(r *mesh.Router) { r.RouteTables = mesh.List{table} })
			}
		}
	}
	gateway := func(values ...string) func(*m) {
		return func(m *m) { router(m, "gcp-1", func(r *mesh.Router) { r.Gateway = values }) }
	}
	type test struct {
		change func(*m)
		want   string
	}
	tests := map[string]test{
		"networks of two sites": {
			networks("aws", "10.1.128.0/17"),
			"sites aws, azure: networks overlap (10.1.0.0/16, 10.1.128.0/17): leave each address at one site",
		},
		"no networks": {networks("aws"), "site aws: networks is missing"},
		"no first host": {
			networks("gcp", "10.3.1.1/32"),
			"router gcp-1: gateway: none can be derived from 10.3.1.1/32 of site gcp",
		},
		"zone outside": {func(m *m) {
			zone(m, "aws", "a", "10.9.1.0/24")
		}, "site aws: zone a: subnet 10.9.1.0/24 is outside of the site's networks 10.2.0.0/16"},
		"zone larger than site": {func(m *m) {
			zone(m, "aws", "a", "10.2.0.0/15")
			zone(m, "aws", "c", "10.2.9.0/24")
		}, "site aws: zone a: subnet 10.2.0.0/15 is outside"},
		"zone without name": {func(m *m) {
			zone(m, "aws", "", "10.2.7.0/24")
		}, "site aws: one zone has an empty name"},
		"zone with bad subnet": {func(m *m) {
			zone(m, "aws", "a", "ten")
		}, `site aws: zone a: "ten" is not a network`},
		"AS_TRANS":     {as("aws", 23456), "site aws: as 23456 is reserved"},
		"last AS":      {as("aws", 65535), "site aws: as 65535 is reserved"},
		"last long AS": {as("aws", 4294967295), "site aws: as 4294967295 is reserved"},
		"beyond AS":    {as("aws", 4294967296), "site aws: as 4294967296 is not an AS number"},
		"negative AS":  {as("aws", -1), "site aws: as -1 is not an AS number"},
		"no AS":        {as("aws", 0), "site aws: as is missing"},
		"same AS":      {as("aws", 65020), "sites aws, azure: all have as 65020"},
		"tiny MTU": {func(m *m) {
			site(m, "aws", func(s *mesh.Site) { s.MTU = 635 })
		}, "site aws: mtu 635 leaves 575 in tunnel 7 of aws-1 and office-1, where Linux takes 576: set 636 or more"},
		"tiny MTU for one tunnel, which goes over IPv6": {func(m *m) {
			site(m, "aws", func(s *mesh.Site) { s.MTU = 655 })
			endpoints("gcp-1", "aws", "2001:db8:ff::1")(m)
		}, "site aws: mtu 655 leaves 575 in tunnel 20 of aws-1 and gcp-1, where Linux takes 576: set 656 or more"},
		"negative MTU": {func(m *m) {
			site(m, "aws", func(s *mesh.Site) { s.MTU = -1 })
		}, "site aws: mtu is -1: expected 636 to 65535 bytes outside the tunnels"},
		"names that differ in case, with keys": {func(m *m) {
			r := m.Routers["azure-1"]
			r.ID, r.State, r.HostKey = 90, mesh.StateAbsent,
				"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEm5FHHMTJ2gGcJFKBSjUpxbAyhxN3rt3pV0VNqUrGPw"
			m.Routers["Azure-1"] = r
		}, "routers Azure-1, azure-1: the names differ in case only, and are one name to ssh: rename all but one"},
		"no endpoints and no third": {func(m *m) {
			for name := range m.Routers {
				if name != "aws-1" && name != "gcp-1" {
					delete(m.Routers, name)
				}
			}
			endpoint("aws-1", "")(m)
			endpoint("gcp-1", "")(m)
		}, "routers aws-1, gcp-1: none has an endpoint for the others, and no third router carries for them: give one"},
		"no endpoints and no transit": {func(m *m) {
			for name, s := range m.Sites {
				no := false
				s.Transit = &no
				m.Sites[name] = s
			}
			for name := range m.Routers {
				if name == "aws-2" || name == "office-2" {
					delete(m.Routers, name)
				}
			}
			endpoint("aws-1", "")(m)
			endpoint("gcp-1", "")(m)
		}, "routers aws-1, gcp-1: none has an endpoint for the others"},
		"endpoints of no site": {
			endpoints("aws-1", "asw", "10.2.0.4"),
			`router aws-1: endpoints: site "asw" is unknown: expected one of aws, azure`,
		},
		"endpoints is a name": {
			endpoints("aws-1", "aws", "aws-1.lan"),
			`router aws-1: endpoints.aws is "aws-1.lan": expected an IP address`,
		},
		"endpoints behind tunnels": {
			endpoints("aws-1", "gcp", "10.2.0.4"),
			"router aws-1: endpoint 10.2.0.4 is inside network 10.2.0.0/16 of site aws",
		},
		"endpoints in the pool": {
			endpoints("aws-1", "aws", "172.31.0.4"),
			"router aws-1: endpoint 172.31.0.4 is inside the link pool",
		},
		"one address, one port": {func(m *m) {
			endpoint("office-2", "192.0.2.11")(m)
			router(m, "office-2", func(r *mesh.Router) { r.EndpointPortBase = 51800 })
		}, "routers office-1, office-2: more than one would be called at 192.0.2.11:51801: " +
			"set endpoint_port_base"},
		"one address, overlapping ports": {func(m *m) {
			endpoint("office-2", "192.0.2.11")(m)
			router(m, "office-2", func(r *mesh.Router) { r.EndpointPortBase = 51804 })
		}, "routers office-1, office-2: more than one would be called at 192.0.2.11:51807, " +
			"192.0.2.11:51816: set endpoint_port_base"},
		"own ports too high": {
			func(m *m) { router(m, "office-2", func(r *mesh.Router) { r.EndpointPortBase = 65520 }) },
			"router office-2: endpoint_port_base: 65520: " +
				"expected up to 65518, because the highest of its tunnels has number 17",
		},
		"own port to listen on": {func(m *m) {
			router(m, "office-2", func(r *mesh.Router) { r.ListenPortBase = -1 })
		}, "router office-2: listen_port_base: -1: expected up to"},
		"huge MTU": {func(m *m) {
			site(m, "aws", func(s *mesh.Site) { s.MTU = 65536 })
		}, "site aws: mtu is 65536"},
		"site name": {func(m *m) {
			m.Sites["a b"] = mesh.Site{AS: 65050, Networks: mesh.List{"10.7.0.0/16"}}
		}, `site "a b": the name is not plain: use letters`},
		"unknown site": {func(m *m) {
			router(m, "aws-1", func(r *mesh.Router) { r.Site = "aw" })
		}, `router aws-1: site "aw" is unknown: expected one of aws, azure, gcp, office, or add`},
		"no site": {func(m *m) {
			router(m, "aws-1", func(r *mesh.Router) { r.Site = "" })
		}, "router aws-1: site is missing: expected one of"},
		"unknown zone": {func(m *m) {
			router(m, "aws-1", func(r *mesh.Router) { r.Zone = "b" })
		}, `router aws-1: site aws has no zone "b": expected one of a, c, or add`},
		"unknown state": {func(m *m) {
			router(m, "aws-1", func(r *mesh.Router) { r.State = "gone" })
		}, `router aws-1: state is "gone": expected present or absent`},
		"no id":       {id("aws-1", 0), "router aws-1: id is missing"},
		"negative id": {id("aws-1", -5), "router aws-1: id is -5: expected 1 to 363"},
		"large id":    {id("aws-1", 364), "router aws-1: id is 364: expected 1 to 363"},
		"same id":     {id("aws-1", 4), "routers aws-1, azure-2: id 4 is given to all of them"},
		"id of an absent one": {func(m *m) {
			m.Routers["old"] = mesh.Router{ID: 7, State: mesh.StateAbsent}
		}, "routers gcp-1, old (absent): id 7 is given to all of them"},
		"empty name": {func(m *m) {
			m.Routers[""] = mesh.Router{ID: 8, Site: "gcp", Endpoint: "192.0.2.8"}
		}, "routers: one has an empty name"},
		"name of two lines": {func(m *m) {
			m.Routers["x\ny"] = mesh.Router{State: mesh.StateAbsent}
		}, `router "x\ny": the name is not plain: use letters`},
		"same name in BIRD": {func(m *m) {
			m.Routers["gcp_1"] = mesh.Router{ID: 8, Site: "gcp", Endpoint: "192.0.2.8"}
		}, "routers gcp-1, gcp_1: all would be protocol gcp_1 in BIRD"},
		"same endpoint": {
			endpoint("aws-1", "198.51.100.71"),
			"routers aws-1, gcp-1: more than one would be called at 198.51.100.71:51820: " +
				"set endpoint_port_base",
		},
		"same endpoint as IPv6": {
			endpoint("aws-1", "::ffff:198.51.100.71"),
			"routers aws-1, gcp-1: more than one would be called at 198.51.100.71:",
		},
		"gateway is a name": {gateway("gw"), `router gcp-1: gateway is "gw": expected an IP address`},
		"gateway is link-local": {
			gateway("fe80::1"),
			"router gcp-1: gateway fe80::1 is link-local: say on which interface, such as fe80::1%eth0",
		},
		"gateway is multicast": {
			gateway("224.0.0.1"), "router gcp-1: gateway 224.0.0.1 is in the multicast range",
		},
		"gateway's interface": {
			gateway("10.3.1.1%"),
			`router gcp-1: gateway "10.3.1.1%": "" is not the name of an interface`,
		},
		"two gateways": {
			gateway("10.3.1.1", "10.3.1.2"),
			"router gcp-1: gateway 10.3.1.2 is the second of its family",
		},
		"small pool": {func(m *m) {
			m.LinkPool = "172.31.0.0/20"
		}, "link_pool: 172.31.0.0/20 is too small: it has no /24 number 21 for tunnel 21"},
		"pool of one link": {func(m *m) {
			m.LinkPool = "172.31.0.0/24"
		}, "link_pool: 172.31.0.0/24 is too small"},
		"pool smaller than a link": {func(m *m) {
			m.LinkPool = "172.31.0.0/25"
		}, "link_pool: 172.31.0.0/25 is too small"},
		"pool in a site": {func(m *m) {
			m.LinkPool = "10.3.0.0/16"
		}, "link_pool: 10.3.0.0/16 overlaps network 10.3.0.0/16 of site gcp"},
		"pool is IPv6":    {func(m *m) { m.LinkPool = "fd00::/64" }, "link_pool: fd00::/64 is not IPv4"},
		"pool is missing": {func(m *m) { m.LinkPool = "" }, `link_pool: "" is not a network`},
		"link networks of /32": {func(m *m) {
			m.LinkPrefixLength = 32
		}, "link_prefix_length: 32: expected 31"},
		"port base": {func(m *m) { m.PortBase = 65535 }, "port_base: 65535: expected 0 to 65534"},
		"port of a tunnel": {func(m *m) {
			m.PortBase = 65515
		}, "port_base: 65515 is too high: tunnel 21 between aws-2 and gcp-1 would be port 65536: take 65514 or less"},
		"keepalive": {func(m *m) {
			m.PersistentKeepalive = 65536
		}, "persistent_keepalive: 65536: expected 1 to 65535 seconds"},
		"BFD": {func(m *m) { m.BFD = "slow" }, `bfd: "slow": expected normal or fast`},
		"relative directory": {func(m *m) {
			m.PresharedKeyDirectory = "keys"
		}, `preshared_key_directory: "keys": expected an absolute path`},
		"long interface name": {func(m *m) {
			m.InterfacePrefix = "wireguard-mesh"
		}, `interface_prefix: "wireguard-mesh" makes interface wireguard-mesh21 of 16 characters, ` +
			`and Linux allows 15: take`},
		"interface with a dot": {func(m *m) {
			m.InterfacePrefix = "wg."
		}, `interface_prefix: "wg.": expected a letter`},
		"no routers": {func(m *m) { m.Routers = nil }, "routers: none is given"},
		"table of two routers": {
			tables(map[string]string{"aws-1": "rtb-0a", "aws-2": "rtb-0a"}),
			"routers aws-1, aws-2: route_tables: all have rtb-0a: leave it with one",
		},
		"table without a name": {
			tables(map[string]string{"aws-1": ""}), "router aws-1: route_tables: one is empty",
		},
		"table twice": {func(m *m) {
			router(m, "aws-1", func(r *mesh.Router) { r.RouteTables = mesh.List{"rtb-0a", "rtb-0a"} })
		}, "router aws-1: route_tables: rtb-0a is listed twice"},
		"table on Azure": {
			tables(map[string]string{"azure-1": "rtb-0a"}),
			"router azure-1: route_tables: on Azure the load balancer's probe moves the traffic",
		},
		"table in an office": {
			tables(map[string]string{"office-1": "rtb-0a"}),
			`router office-1: route_tables: site office has cloud "", and only the tables of aws`,
		},
		"table and nowhere to go": {func(m *m) {
			m.Routers = map[string]mesh.Router{
				"aws-1": {ID: 5, Site: "aws", Endpoint: "192.0.2.1", RouteTables: mesh.List{"rtb-0a"}},
			}
		}, "router aws-1: route_tables: there is no router of another site"},
		"table and no tunnel to another site": {func(m *m) {
			tables(map[string]string{"aws-1": "rtb-0a"})(m)
			for name, r := range m.Routers {
				if r.Site != "aws" || name == "aws-1" {
					r.Endpoint = ""
					m.Routers[name] = r
				}
			}
		}, "router aws-1: route_tables: it has no tunnel to another site, " +
			"so it cannot know whether it is well: give it an endpoint"},
	}
	for name, tt := range map[string]struct{ network, want string }{
		"network without length": {"10.2.0.0", `"10.2.0.0" is not a network: write address/length`},
		"network with host bits": {"10.2.0.1/16", "10.2.0.1/16 has bits set beyond its length: write 10.2.0.0/16"},
		"default route":          {"0.0.0.0/0", "0.0.0.0/0 is the default route"},
		"default route of IPv6":  {"::/0", "::/0 is the default route"},
		"half of the internet":   {"128.0.0.0/1", "128.0.0.0/1 overlaps the link-local range 169.254.0.0/16"},
		"multicast":              {"239.0.0.0/8", "239.0.0.0/8 overlaps the multicast range 224.0.0.0/4"},
		"multicast of IPv6":      {"ff05::/16", "ff05::/16 overlaps the multicast range ff00::/8"},
		"loopback":               {"127.0.1.0/24", "127.0.1.0/24 overlaps the loopback range"},
		"loopback of IPv6":       {"::1/128", "::1/128 overlaps the reserved range that has loopback in it"},
		"link-local":             {"169.254.0.0/16", "169.254.0.0/16 overlaps the link-local range"},
		"link-local of IPv6":     {"fe80::/64", "fe80::/64 overlaps the link-local range"},
		"IPv4 as IPv6":           {"::ffff:10.2.0.0/112", "::ffff:10.2.0.0/112 is IPv4 in the form of IPv6"},
	} {
		tests[name] = test{networks("aws", tt.network), "site aws: networks: " + tt.want}
	}
	for name, tt := range map[string]struct{ endpoint, want string }{
		"brackets around no address": {"[x]", `is "[x]": expected an IP address`},
		"one bracket":                {"[2001:db8::1", `is "[2001:db8::1": expected an IP address`},
		"brackets and a port": {
			"[2001:db8::1]:51820", `is "[2001:db8::1]:51820": expected an IP address without a port`,
		},
		"host name as endpoint":    {"vpn.example.com", `is "vpn.example.com": expected an IP address without a port`},
		"endpoint with port":       {"192.0.2.1:51820", `is "192.0.2.1:51820": expected an IP address without a port`},
		"loopback endpoint":        {"127.0.0.1", "127.0.0.1 is in the loopback range"},
		"unspecified endpoint":     {"0.0.0.0", "0.0.0.0 is the unspecified address"},
		"link-local endpoint":      {"fe80::1%eth0", "fe80::1%eth0 is link-local"},
		"endpoint inside a site":   {"10.2.0.4", "10.2.0.4 is inside network 10.2.0.0/16 of site aws"},
		"endpoint inside the pool": {"172.31.0.4", "172.31.0.4 is inside the link pool 172.31.0.0/16"},
	} {
		tests[name] = test{endpoint("aws-1", tt.endpoint), "router aws-1: endpoint " + tt.want}
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m := load(t, "field-case")
			require.NoError(t, m.Validate())
			tt.change(&m)
			assertProblems(t, []string{tt.want}, m.Validate())
		})
	}
}

// zoneless takes the zones from all routers of a site.
func zoneless(m *mesh.Mesh, of string) {
	for name, r := range m.Routers {
		if r.Site == of {
			router(m, name, func(r *mesh.Router) { r.Zone = "" })
		}
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
	for name, tt := range map[string]struct {
		change func(*mesh.Mesh)
		want   string
	}{
		"pool too small": {func(m *mesh.Mesh) {
			m.LinkPool6 = "fd00::/126"
		}, "link_pool6: fd00::/126 is too small: it has no /127 number 6 for tunnel 6"},
		"pool is IPv4": {func(m *mesh.Mesh) {
			m.LinkPool6 = "192.168.0.0/16"
		}, "link_pool6: 192.168.0.0/16 is not IPv6"},
		"pool in a site": {func(m *mesh.Mesh) {
			m.LinkPool6 = "2001:db8:20:1::/64"
		}, "link_pool6: 2001:db8:20:1::/64 overlaps network 2001:db8:20::/48 of site six"},
		"MTU below 1280": {func(m *mesh.Mesh) {
			site(m, "four", func(s *mesh.Site) { s.MTU = 1359 })
		}, "site four: mtu 1359 leaves 1279 in tunnel"},
		"endpoint in site": {func(m *mesh.Mesh) {
			router(m, "six-1", func(r *mesh.Router) { r.Endpoint = "2001:db8:10::1" })
		}, "router six-1: endpoint 2001:db8:10::1 is inside network 2001:db8:10::/48 of site both"},
		"no first host": {func(m *mesh.Mesh) {
			site(m, "six", func(s *mesh.Site) {
				s.Networks, s.Gateway = mesh.List{"2001:db8:20::8/127"}, mesh.List{"192.0.2.1"}
			})
		}, "router six-1: gateway: none can be derived from 2001:db8:20::8/127 of site six"},
	} {
		t.Run(name, func(t *testing.T) {
			m := load(t, "dual-stack")
			tt.change(&m)
			assertProblems(t, []string{tt.want}, m.Validate())
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
		zone(&m, "aws", "a", bad)
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
