package topology_test

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/wgmesh/router/internal/lab/topology"
	"github.com/wgmesh/router/internal/must"
)

// listing is `ansible-inventory --list` of routers that share mesh_sites.
func listing(t *testing.T, sites string, hosts map[string]map[string]any) topology.Inventory {
	t.Helper()
	var parsed any
	require.NoError(t, yaml.Unmarshal([]byte(sites), &parsed))
	names := []string{}
	vars := map[string]any{}
	for name, v := range hosts {
		v["mesh_sites"] = parsed
		vars[name] = v
		names = append(names, name)
	}
	text := must.Get(json.Marshal(map[string]any{
		"_meta":   map[string]any{"hostvars": vars},
		"all":     map[string]any{"children": []string{"routers", "clouds"}},
		"clouds":  map[string]any{"hosts": names[:1]},
		"routers": map[string]any{"hosts": names},
	}))(t)
	return must.Get(topology.ParseInventory(text))(t)
}

func router(id int, site, zone, endpoint string) map[string]any {
	v := map[string]any{"mesh_id": id, "mesh_site": site}
	if zone != "" {
		v["mesh_zone"] = zone
	}
	if endpoint != "" {
		v["mesh_endpoint"] = endpoint
	}
	return v
}

const sites = `
office: {as: 65010, networks: [10.0.0.0/16]}
azure: {as: 65020, cloud: azure, networks: [10.1.0.0/16, "fd01::/48"], zones: {
  "1": [10.1.1.0/24, "fd01:0:0:1::/64"], "2": {networks: [10.1.2.0/28], gateway: 10.1.2.14}}}
gcp: {as: 65030, cloud: gcp, onlink: true, networks: [10.3.0.0/16], zones: {b: 10.3.1.0/24}}
`

func example(t *testing.T) topology.Topology {
	t.Helper()
	topo := must.Get(topology.New("lab", listing(t, sites, map[string]map[string]any{
		"office-1": router(1, "office", "", ""),
		"azure-1":  router(2, "azure", "1", "203.0.113.1"),
		"azure-2":  router(3, "azure", "2", "203.0.113.2"),
		"azure-3":  router(5, "azure", "1", "2001:db8:9::3"),
		"gcp-1":    router(4, "gcp", "b", "2001:db8:9::1"),
	})))(t)
	return topo
}

func TestNewAddresses(t *testing.T) {
	got := map[string]string{}
	for _, h := range example(t).Hosts {
		words := []string{}
		for i, a := range h.Addresses {
			words = append(words, a.String()+" via "+h.Gateways[i].String())
		}
		got[h.Name] = strings.Join(words, ", ")
	}
	assert.Equal(t, map[string]string{
		"office-1":     "10.0.0.10/16 via 10.0.0.1",
		"azure-1":      "10.1.1.10/24 via 10.1.1.1, fd01:0:0:1::10/64 via fd01:0:0:1::1",
		"azure-2":      "10.1.2.10/28 via 10.1.2.14",
		"azure-3":      "10.1.1.11/24 via 10.1.1.1, fd01:0:0:1::11/64 via fd01:0:0:1::1",
		"gcp-1":        "10.3.1.10/32 via 10.3.1.1",
		"node-office":  "10.0.0.100/16 via 10.0.0.1",
		"node-azure-1": "10.1.1.100/24 via 10.1.1.1, fd01:0:0:1::100/64 via fd01:0:0:1::1",
		"node-azure-2": "10.1.2.1/28 via 10.1.2.14",
		"node-gcp-b":   "10.3.1.100/32 via 10.3.1.1",
	}, got)
}

func TestNewOrdersRoutersById(t *testing.T) {
	var names []string
	for _, h := range example(t).Routers("") {
		names = append(names, h.Name)
	}
	assert.Equal(t, []string{"office-1", "azure-1", "azure-2", "gcp-1", "azure-3"}, names)
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []struct {
		name, sites string
		hosts       map[string]map[string]any
		want        []string
	}{
		{"whatever mesh_plan refuses, in its words", sites, map[string]map[string]any{
			"a": router(1, "azure", "3", "203.0.113.1"),
			"b": router(1, "moon", "", "203.0.113.1"),
			"c": router(0, "gcp", "b", "here"),
		}, []string{
			`router a: site azure has no zone "3"`, "routers a, b: id 1 is given to all of them",
			`router b: site "moon" is unknown`, "router c: id is missing",
			`router c: endpoint is "here": expected an IP address`,
		}},
		{"a list of zones", "s: {as: 65010, networks: [10.0.0.0/16], zones: [{name: b}]}", map[string]map[string]any{
			"a": router(1, "s", "b", ""),
		}, []string{"sites.s.zones: expected a dictionary, got a list"}},
		{"one endpoint at two sites", sites, map[string]map[string]any{
			"a": router(1, "azure", "1", "203.0.113.1"),
			"b": {
				"mesh_id": 2, "mesh_site": "office", "mesh_endpoint": "203.0.113.1",
				"mesh_endpoint_port_base": 52800,
			},
		}, []string{`b: mesh_endpoint: 203.0.113.1 is that of a; the lab maps`}},
		{
			"a router called like a node", sites,
			map[string]map[string]any{"node-gcp-b": router(1, "gcp", "b", "")},
			[]string{"node-gcp-b: its host name node-gcp-b is that of node-gcp-b"},
		},
		{
			"lab_host, host and key", sites,
			map[string]map[string]any{
				"a": {"mesh_id": 1, "mesh_site": "office", "lab_host": map[string]any{"nic": 2, "metric": "x"}},
				"b": {
					"mesh_id": 2, "mesh_site": "gcp", "mesh_zone": "b",
					"mesh_endpoint": "2001:db8::1", "lab_host": []any{"no-ipv6", "moon"},
				},
			},
			[]string{
				"a: lab_host.metric: x: want a number", "a: lab_host.nic: no such key",
				"b: lab_host: moon is not a profile",
				"b: lab_host.ipv6: its mesh_endpoint 2001:db8::1 is IPv6",
			},
		},
		{
			"a full subnet", "s: {as: 65010, networks: [10.0.0.0/30]}",
			map[string]map[string]any{"a": router(1, "s", "", "192.0.2.1"), "b": router(2, "s", "", "")},
			[]string{"b: subnet 10.0.0.0/30 has no free address"},
		},
		{
			"bad sites", "s: {as: 65010, networks: [10.0.0/8], mtu: 20, zones: {z: []}}",
			map[string]map[string]any{"a": router(1, "s", "z", "")},
			[]string{`site s: networks: "10.0.0/8" is not a network`, "site s: mtu is 20"},
		},
		{
			"a site name that is a path", "a/b: {as: 65010, networks: [10.0.0.0/8]}",
			map[string]map[string]any{"a": router(1, "a/b", "", "")},
			[]string{`"a/b"`},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := topology.New("lab", listing(t, c.sites, c.hosts))
			require.Error(t, err)
			for _, want := range c.want {
				assert.ErrorContains(t, err, want)
			}
		})
	}
}

func TestLinksAvoidTheInventory(t *testing.T) {
	topo := must.Get(topology.New("lab",
		listing(t, "s: {as: 65010, networks: [100.64.0.0/10, fd1a:b000::/32]}", map[string]map[string]any{
			"a": router(1, "s", "", ""),
		})))(t)
	assert.Equal(t, netip.MustParsePrefix("198.19.0.6/30"), topo.Sites[0].Wan[0])
	assert.Equal(t, netip.MustParsePrefix("fd1a:b001:0:1::2/64"), topo.Sites[0].Wan[1])
}

func TestUnderlayMTU(t *testing.T) {
	topo := example(t)
	got := map[string][2]int{}
	for _, s := range topo.Sites {
		got[s.Name] = [2]int{s.MTU, s.NIC}
	}
	assert.Equal(t, map[string][2]int{"azure": {1400, 1500}, "gcp": {1460, 1460}, "office": {1500, 1500}}, got)
}

// The scripts of the example are kept as a file: -update writes it anew, and the
// difference is then read by a person.
func TestScripts(t *testing.T) {
	topo := example(t)
	azure, _ := topo.Site("azure")
	var b strings.Builder
	section := func(title, text string) { b.WriteString("### " + title + "\n" + text) }
	section("internet", topo.InternetScript())
	section("endpoints", topo.EndpointScript())
	section("gateway of azure", topo.GatewayScript(azure))
	section("NAT of azure", topo.NATScript(azure))
	for _, name := range []string{"azure-1", "azure-3", "node-azure-2", "gcp-1"} {
		h, ok := topo.Host(name)
		require.True(t, ok)
		section(name+" at its gateway", topo.ConnectScript(h))
		section(name+" in management", topo.ManageScript(h))
		section(name, topo.ManagedScript(h)+topo.HostScript(h))
	}
	must.Golden(t, "testdata/scripts.golden", b.String())
}

// What lab_host asks of the network itself, without what it leaves as it is.
func TestProfileScripts(t *testing.T) {
	hosts := map[string]map[string]any{
		"azure-1": router(1, "azure", "1", "203.0.113.1"),
		"azure-2": router(2, "azure", "1", "203.0.113.2"),
		"gcp-1":   router(3, "gcp", "b", ""),
	}
	hosts["azure-1"]["lab_host"] = map[string]any{"profile": "ec2-two-nics", "ip": "route add blackhole 192.0.2.0/24"}
	hosts["azure-2"]["lab_host"] = []any{"no-ipv6", "metric"}
	hosts["gcp-1"]["lab_host"] = map[string]any{"policy_rules": true}
	topo := must.Get(topology.New("lab", listing(t, sites, hosts)))(t)
	script := func(name string) string {
		h, ok := topo.Host(name)
		require.True(t, ok)
		return topo.HostScript(h)
	}
	assert.Equal(t, `link set dev lo up
address add dev eth0 10.1.1.10/24 metric 100
address add dev eth0 fd01:0:0:1::10/64 nodad metric 100
link set dev eth0 up
route add 0.0.0.0/0 via 10.1.1.1 dev eth0 metric 100
route add 10.1.1.0/24 dev eth0 table 101
route add 0.0.0.0/0 via 10.1.1.1 dev eth0 table 101
rule add pref 10101 from 10.1.1.10 lookup 101
route add ::/0 via fd01:0:0:1::1 dev eth0 metric 100
route add fd01:0:0:1::/64 dev eth0 table 101
route add ::/0 via fd01:0:0:1::1 dev eth0 table 101
-6 rule add pref 10101 from fd01:0:0:1::10 lookup 101
address add dev eth1 10.1.1.12/24 metric 200
address add dev eth1 fd01:0:0:1::11/64 nodad metric 200
link set dev eth1 up
route add 0.0.0.0/0 via 10.1.1.1 dev eth1 metric 200
route add 10.1.1.0/24 dev eth1 table 102
route add 0.0.0.0/0 via 10.1.1.1 dev eth1 table 102
rule add pref 10102 from 10.1.1.12 lookup 102
route add ::/0 via fd01:0:0:1::1 dev eth1 metric 200
route add fd01:0:0:1::/64 dev eth1 table 102
route add ::/0 via fd01:0:0:1::1 dev eth1 table 102
-6 rule add pref 10102 from fd01:0:0:1::11 lookup 102
route add blackhole 192.0.2.0/24
`, script("azure-1"))
	assert.Equal(t, `link set dev lo up
address add dev eth0 10.1.1.11/24 metric 100
link set dev eth0 up
route add 0.0.0.0/0 via 10.1.1.1 dev eth0 metric 100
`, script("azure-2"))
	assert.Equal(t, `link set dev lo up
address add dev eth0 10.3.1.10/32
link set dev eth0 up
route add 0.0.0.0/0 via 10.3.1.1 dev eth0 onlink
route add 0.0.0.0/0 via 10.3.1.1 dev eth0 onlink table 101
rule add pref 10101 from 10.3.1.10 lookup 101
`, script("gcp-1"))
	azure, _ := topo.Host("azure-1")
	at := topo.ConnectScript(azure)
	assert.Contains(t, at, "link add dev 1.eth1 mtu 1500 type veth peer name eth1 address 02:77:67:02:00:01")
	assert.Contains(t, at, "route add 10.1.1.12/32 dev 1.eth1")
}

func TestDHCPConfig(t *testing.T) {
	hosts := map[string]map[string]any{
		"azure-1": router(1, "azure", "1", "203.0.113.1"),
		"azure-2": router(2, "azure", "2", "203.0.113.2"),
		"gcp-1":   router(3, "gcp", "b", ""),
	}
	hosts["azure-1"]["lab_host"] = []any{"dhcp-networkd", "ec2-two-nics"}
	hosts["gcp-1"]["lab_host"] = "dhcp-networkd"
	topo := must.Get(topology.New("lab", listing(t, sites, hosts)))(t)
	config := map[string]string{}
	for _, s := range topo.Sites {
		config[s.Name], _, _ = strings.Cut(topo.DHCPConfig(s), "port=0")
	}
	assert.Equal(t, map[string]string{
		"office": "",
		"azure": `dhcp-range=10.1.1.0,static,255.255.255.0,1h
interface=azure-1
dhcp-host=02:77:67:01:00:01,set:n1-0,10.1.1.10,azure-1
dhcp-option=tag:n1-0,option:router,10.1.1.1
interface=1.eth1
dhcp-host=02:77:67:02:00:01,set:n1-1,10.1.1.11,azure-1
dhcp-option=tag:n1-1,option:router,10.1.1.1
dhcp-option=option:mtu,1500
`,
		"gcp": `dhcp-range=10.3.1.0,static,255.255.255.0,1h
interface=gcp-1
dhcp-host=02:77:67:01:00:03,set:n3-0,10.3.1.10,gcp-1
dhcp-option=tag:n3-0,option:router,10.3.1.1
dhcp-option=tag:n3-0,option:netmask,255.255.255.255
dhcp-option=tag:n3-0,option:classless-static-route,10.3.1.1/32,0.0.0.0,0.0.0.0/0,10.3.1.1
dhcp-option=option:mtu,1460
`,
	}, config)
	gcp, _ := topo.Host("gcp-1")
	assert.Contains(t, topo.ConnectScript(gcp), "address add dev gcp-1 10.3.1.1/24 noprefixroute")
	assert.Equal(t, "link set dev lo up\n", topo.HostScript(gcp), "its own program addresses it")

	hosts["azure-2"] = router(2, "azure", "2", "2001:db8:9::2")
	hosts["azure-2"]["lab_host"] = "dhcp-networkd"
	_, err := topology.New("lab", listing(t, sites, hosts))
	assert.ErrorContains(t, err,
		"azure-2: lab_host.client: its mesh_endpoint 2001:db8:9::2 is an address that only the lab can give it")
}

// Two routers behind one public address, and one whose ports change there.
func TestForwardedPorts(t *testing.T) {
	hosts := map[string]map[string]any{
		"o1": router(1, "office", "", "192.0.2.1"),
		"o2": router(2, "office", "", "192.0.2.1"),
		"g1": router(3, "gcp", "b", "192.0.2.9"),
	}
	hosts["o1"]["lab_host"] = map[string]any{"forward_ports": "51800-51801"}
	hosts["o2"]["lab_host"] = map[string]any{"forward_ports": "52800-52801:51800"}
	hosts["o2"]["mesh_endpoint_port_base"], hosts["o2"]["mesh_listen_port_base"] = 52800, 51800
	topo := must.Get(topology.New("lab", listing(t, sites, hosts)))(t)
	office, _ := topo.Site("office")
	assert.Equal(t, `table inet cloud {
  chain in {
    type nat hook prerouting priority dstnat; policy accept;
    iifname "wan" dnat ip to ip daddr . udp dport map { `+
		`192.0.2.1 . 51800 : 10.0.0.10 . 51800, 192.0.2.1 . 51801 : 10.0.0.10 . 51801, `+
		`192.0.2.1 . 52800 : 10.0.0.11 . 51800, 192.0.2.1 . 52801 : 10.0.0.11 . 51801 }
  }
  chain out {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "wan" snat ip to ip saddr map { 10.0.0.10 : 192.0.2.1, 10.0.0.11 : 192.0.2.1 }
    oifname "wan" meta nfproto ipv4 masquerade
  }
}
`, topo.NATScript(office))
	assert.Equal(t, 1, strings.Count(topo.EndpointScript(), "192.0.2.1/32"))

	hosts["o2"]["lab_host"] = map[string]any{"forward_ports": "51801-51899"}
	hosts["g1"]["lab_host"] = map[string]any{"forward_ports": "51800-51899"}
	hosts["g1"]["mesh_endpoint"] = "2001:db8:9::9"
	_, err := topology.New("lab", listing(t, sites, hosts))
	assert.ErrorContains(t, err, "o2: mesh_endpoint: UDP 51801 of 192.0.2.1 is that of o1")
	assert.ErrorContains(t, err,
		"g1: lab_host.forward_ports: its mesh_endpoint 2001:db8:9::9 is not a public IPv4 address")
}

// A router that is its LAN's gateway: the site is one Ethernet, and the provider's
// box maps the endpoint to the router's uplink.
func TestLANGateway(t *testing.T) {
	hosts := map[string]map[string]any{"o1": router(1, "office", "", "192.0.2.1"), "g1": router(2, "gcp", "b", "")}
	hosts["o1"]["lab_host"] = []any{"lan-gateway", "metric"}
	topo := must.Get(topology.New("lab", listing(t, sites, hosts)))(t)
	office, _ := topo.Site("office")
	o1, _ := topo.Host("o1")
	node, _ := topo.Host("node-office")
	assert.Equal(t, `link set dev lo up
address add dev eth0 100.64.128.14/30 metric 100
link set dev eth0 up
route add 0.0.0.0/0 via 100.64.128.13 dev eth0 metric 100
address add dev eth1 10.0.0.1/16 metric 100
link set dev eth1 up
`, topo.HostScript(o1))
	assert.Contains(t, topo.ConnectScript(o1), "address add dev o1 100.64.128.13/30")
	assert.Contains(t, topo.ConnectScript(o1), "link set dev 1.eth1 addrgenmode none master lan up")
	assert.Contains(t, topo.ConnectScript(node), "link set dev node-office addrgenmode none master lan up")
	assert.Contains(t, topo.HostScript(node), "route add 0.0.0.0/0 via 10.0.0.1 dev eth0")
	assert.Contains(t, topo.GatewayScript(office), "link add dev lan type bridge")
	assert.Contains(t, topo.NATScript(office), "dnat ip to ip daddr map { 192.0.2.1 : 100.64.128.14 }")

	hosts["o2"] = router(3, "office", "", "")
	hosts["g1"]["lab_host"] = "lan-gateway"
	_, err := topology.New("lab", listing(t, sites, hosts))
	assert.ErrorContains(t, err, "o1: lab_host.lan_gateway: site office has other routers")
	assert.ErrorContains(t, err, "g1: lab_host.lan_gateway: site gcp is onlink")
}

func TestCuts(t *testing.T) {
	topo := example(t)
	cut := func(a, b string) topology.Cut {
		return must.Get(topo.NewCut(a, b))(t)
	}
	assert.Equal(t, cut("office", "azure"), cut("azure", "office"))
	scripts := topo.CutScripts([]topology.Cut{
		cut("azure", "office"), cut("azure-1", "azure-2"), cut("azure-1", "office-1"),
	})
	assert.Contains(t, scripts[topo.Internet()], "iifname s1 oifname s3 drop")
	assert.Contains(t, scripts[topo.Internet()], "iifname s3 oifname s1 drop")
	azure := scripts[topo.Gateway("azure")]
	assert.Contains(t, azure, "ip saddr 10.1.1.10 ip daddr 10.1.2.10 drop", "behind the same gateway")
	assert.NotContains(t, azure, "10.0.0.10", "a private address of another site is never seen here")
	assert.Contains(t, scripts[topo.Gateway("office")],
		"ip saddr 10.0.0.10 ip daddr 203.0.113.1 drop", "office-1 has no endpoint to be cut at azure")
	assert.NotContains(t, scripts[topo.Gateway("gcp")], "chain", "nothing is cut there")
	for _, bad := range [][2]string{{"azure", "azure"}, {"azure", "azure-1"}, {"azure-1", "node-gcp-b"}, {"x", "y"}} {
		assert.Error(t, must.Err(topo.NewCut(bad[0], bad[1])), bad)
	}
}

const list = `{
 "_meta": {"hostvars": {
  "a": {"mesh_id": 1, "mesh_endpoint": "192.0.2.1", "mesh_site": "s",
        "mesh_sites": {"s": {"as": 65010, "networks": ["10.0.0.0/24"]}}, "mesh_zone": "",
        "ansible_host": "1.2.3.4", "ansible_ssh_common_args": "-v", "ansible_become": true, "port": 51800, "zone": "1",
        "secret": {"__ansible_vault": "$ANSIBLE_VAULT;1.1;AES256\n3333\n"}},
  "b": {"mesh_id": 2, "mesh_site": "s", "mesh_sites": {"s": {"as": 65010, "networks": ["10.0.0.0/24"]}},
        "port": 51800, "zone": "2",
        "text": {"__ansible_unsafe": "{{ no }}"}}}},
 "all": {"children": ["routers", "clouds"]},
 "clouds": {"children": ["deep"]}, "deep": {"hosts": ["b", "stranger"]}, "empty": {},
 "routers": {"children": ["x"], "hosts": ["b"]}, "x": {"hosts": ["a"], "children": ["routers"]}
}`

func TestParseInventory(t *testing.T) {
	inv := must.Get(topology.ParseInventory([]byte(list)))(t)
	assert.Equal(t, []string{"a", "b"}, inv.Hosts, "also those of child groups, and no endless loop")
	assert.Equal(t, map[string][]string{"clouds": {"b"}, "deep": {"b"}, "x": {"a", "b"}}, inv.Groups)
	for text, want := range map[string]string{
		"ERROR":                     "printed no JSON",
		`{"_meta": {}, "all": {}}`:  "group routers: not there",
		`{"routers": {}}`:           "group routers: has no hosts",
		`{"_meta": 3}`:              "_meta",
		`{"routers": {"hosts": 1}}`: "group routers",
	} {
		assert.ErrorContains(t, must.Err(topology.ParseInventory([]byte(text))), want, text)
	}
}

func TestInventory(t *testing.T) {
	inv := must.Get(topology.ParseInventory([]byte(list)))(t)
	topo := must.Get(topology.New("lab", inv))(t)
	text := must.Get(topo.Inventory(inv, topology.Files{Config: "/lab/ssh config", Control: "/run/cp"}))(t)
	assert.Contains(t, string(text), "secret: !vault |")
	assert.Contains(t, string(text), "text: !unsafe")
	assert.NotContains(t, string(text), "1.2.3.4", "the user's connection does not hold here")
	assert.NotContains(t, string(text), "ansible_become")

	var got struct {
		All struct {
			Vars     map[string]string
			Children map[string]struct {
				Hosts map[string]map[string]any
				Vars  map[string]any
			}
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &got))
	assert.Equal(t, "-F '/lab/ssh config'", got.All.Vars["ansible_ssh_common_args"])
	routers := got.All.Children["routers"]
	assert.Equal(t, 51800, routers.Vars["port"], "what all have is said once, and is a number still")
	assert.Equal(t, "1", routers.Hosts["a"]["zone"], "text that looks like a number is text still")
	assert.Equal(t, 2, routers.Hosts["b"]["mesh_id"])
	assert.Equal(t, "10.0.0.11", routers.Hosts["b"]["lab_address"])
	assert.Equal(t, "b.lab", routers.Hosts["b"]["ansible_host"])
	assert.Equal(t, map[string]map[string]any{"node-s": {
		"ansible_host": "node-s.lab", "ansible_control_path": "/run/cp/node-s",
		"lab_address": "10.0.0.100", "lab_site": "s", "lab_zone": "",
	}}, got.All.Children["nodes"].Hosts)
	assert.Contains(t, got.All.Children["clouds"].Hosts, "b")
}

func TestSSHConfig(t *testing.T) {
	got := example(t).SSHConfig(topology.Files{Tool: "/a b/lab", Config: "c", Key: "/k", KnownHosts: "/h"})
	assert.Contains(t, got, "Host office-1 office-1.lab\n  ProxyCommand '/a b/lab' dial wgmesh-lab.mgmt 1\n")
	assert.Contains(t, got, "StrictHostKeyChecking yes\n")
	assert.Contains(t, got, "GlobalKnownHostsFile /dev/null\n")
}

func TestHostname(t *testing.T) {
	assert.Equal(t, "db-1.example", topology.Host{Name: "db_1.example"}.Hostname())
}
