package bird_test

import (
	"encoding/json"
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
	"github.com/wgmesh/router/pkg/bird"
	"github.com/wgmesh/router/pkg/plan"
)

func TestValidate(t *testing.T) {
	ip := netip.MustParseAddr
	net := netip.MustParsePrefix
	for name, tt := range map[string]struct {
		change func(*bird.Config)
		err    string
	}{
		"router id missing": {func(c *bird.Config) {
			c.RouterID = netip.Addr{}
		}, `router_id: expected an IPv4 address such as 0.0.0.3, unique in the mesh, got ""`},
		"router id IPv6": {func(c *bird.Config) { c.RouterID = ip("fd00::1") }, "router_id"},
		"AS 0":           {func(c *bird.Config) { c.AS = 0 }, "as: expected an AS number"},
		"AS_TRANS":       {func(c *bird.Config) { c.Neighbors[0].AS = 23456 }, `neighbors[0] ("azure_1"): as`},
		"bfd too fast": {func(c *bird.Config) {
			c.BFD.Interval = 1
		}, "bfd.interval (ms): expected 10 to 60000, got 1"},
		"hold time": {func(c *bird.Config) { c.HoldTime = 2 }, "hold_time (s)"},
		"host bits": {func(c *bird.Config) {
			c.Networks[0] = net("10.3.0.1/16")
		}, "networks[0]: 10.3.0.1/16 has bits beyond its length; expected 10.3.0.0/16"},
		"static default": {func(c *bird.Config) {
			c.Static[0].Network = net("0.0.0.0/0")
		}, "static[0] (0.0.0.0/0): 0.0.0.0/0 is the default route"},
		"static twice": {func(c *bird.Config) {
			c.Static = append(c.Static, c.Static[0])
		}, "the network is there twice"},
		"static wrong family": {func(c *bird.Config) {
			c.Static[0].Via = ip("fd00::1")
		}, `via: expected an IPv4 address, got "fd00::1"`},
		"static nowhere": {func(c *bird.Config) {
			c.Static[0] = plan.Static{Network: net("10.3.0.0/16")}
		}, "expected via, the gateway's address, or interface"},
		"onlink without via": {func(c *bird.Config) { c.Static[0].Via = netip.Addr{} }, "onlink needs via"},
		"via with a zone": {func(c *bird.Config) {
			c.Static[1].Via = ip("fe80::1%eth0")
		}, "via: expected an IPv6 address"},
		"link-local nowhere": {func(c *bird.Config) {
			c.Static[1].Via, c.Static[1].Interface = ip("fe80::1"), ""
		}, "via: fe80::1 is link-local: it needs interface"},
		"connected and via": {func(c *bird.Config) {
			c.Static[0].Connected = true
		}, "static[0] (10.3.0.0/16): connected and outside are each a way by itself"},
		"connected, outside": {func(c *bird.Config) {
			c.Static[0] = plan.Static{Network: net("10.3.0.0/16"), Connected: true, Outside: true}
		}, "each a way by itself"},
		"source, inside": {func(c *bird.Config) {
			c.Static[0].Source = ip("10.3.0.9")
		}, "static[0] (10.3.0.0/16): source needs outside"},
		"source of another family": {func(c *bird.Config) {
			c.Static[0] = plan.Static{Network: net("10.3.0.0/16"), Outside: true, Source: ip("fd00::1")}
		}, `source: expected an IPv4 address, got "fd00::1"`},
		"not announced": {func(c *bird.Config) {
			c.Originate[0].Network = net("10.9.0.0/16")
		}, "originate[0] (10.9.0.0/16): no entry of static has this network"},
		"announced twice": {func(c *bird.Config) {
			c.Originate = append(c.Originate, c.Originate[0])
		}, "originate[2] (10.3.0.0/16): the network is there twice"},
		"med": {func(c *bird.Config) { c.Originate[0].MED = -1 }, "med: expected 0 to"},
		"two owners": {func(c *bird.Config) {
			c.Owners[0].Networks[0] = net("10.3.0.0/16")
		}, "10.3.0.0/16 belongs to AS 65020 already; a prefix has one owner"},
		"owner twice": {func(c *bird.Config) { c.Owners[0].AS = 65040 }, "the AS is there twice"},
		"owner of multicast": {func(c *bird.Config) {
			c.Owners[0].Networks[0] = net("224.0.0.0/4")
		}, "224.0.0.0/4 is not a network of a site"},
		"owner of everything": {func(c *bird.Config) {
			c.Owners[0].Networks[0] = net("::/0")
		}, "::/0 is the default route, which no site owns"},
		"site breaks comment":  {func(c *bird.Config) { c.Owners[0].Site = "azure\nprotocol" }, "site:"},
		"title breaks comment": {func(c *bird.Config) { c.Neighbors[0].Router = "a\n}" }, "router:"},
		"name with a quote":    {func(c *bird.Config) { c.Neighbors[0].Name = `a" {` }, "name:"},
		"name is a word": {func(c *bird.Config) {
			c.Neighbors[0].Name = "static"
		}, `"static" is a word of BIRD's language or of this configuration; use another name, such as "router_static"`},
		"name is ours":     {func(c *bird.Config) { c.Neighbors[0].Name = "owned4" }, `"owned4" is a word`},
		"name with a dash": {func(c *bird.Config) { c.Neighbors[0].Name = "azure-1" }, `"azure-1" is not a name`},
		"name twice": {func(c *bird.Config) {
			c.Neighbors[1].Name = "azure_1"
		}, "name: azure_1 is used by another neighbor too"},
		"interface pattern": {func(c *bird.Config) {
			c.Neighbors[0].Interface = "wg*"
		}, `interface: "wg*" is not a name`},
		"interface too long": {func(c *bird.Config) { c.Neighbors[0].Interface = "wg12345678901234" }, "interface:"},
		"address missing": {func(c *bird.Config) {
			c.Neighbors[0].Address = netip.Addr{}
		}, `address: expected an IPv4 address, got ""`},
		"half of IPv6": {func(c *bird.Config) {
			c.Neighbors[0].LocalAddress6 = netip.Addr{}
		}, "local_address6: expected an IPv6 address"},
		"same address": {func(c *bird.Config) {
			c.Neighbors[0].Address = c.Neighbors[0].LocalAddress
		}, "both ends have the same address"},
		"import limit": {func(c *bird.Config) { c.Neighbors[0].ImportLimit = -1 }, "import_limit"},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := load(t, "testdata/dual")
			tt.change(&c)
			require.ErrorContains(t, c.Validate(), tt.err)
		})
	}
	t.Run("all at once", func(t *testing.T) {
		c, _ := load(t, "testdata/dual")
		c.AS, c.HoldTime, c.Neighbors[0].Name = 0, 0, "x y"
		for _, part := range []string{"as:", "hold_time", `"x y"`} {
			assert.ErrorContains(t, c.Validate(), part)
		}
	})
}

// A fuzzed configuration has one neighbour, one route and one owner besides
// its own, each with fuzzed text.
func fuzzed(name, router, iface, site, staticIface, network, via, address, address6 string, as, med,
	limit int,
) bird.Config {
	var c bird.Config
	c.SetDefaults()
	c.RouterID, c.AS, c.Transit = netip.MustParseAddr("0.0.0.1"), 64999, med%2 == 0
	if med%3 == 0 {
		c.Drain = plan.Drain{Since: drain.Since, Why: site}
	}
	net, _ := netip.ParsePrefix(network)
	gateway, _ := netip.ParseAddr(via)
	peer, _ := netip.ParseAddr(address)
	peer6, _ := netip.ParseAddr(address6)
	c.Static = []plan.Static{
		{Network: net, Via: gateway, Interface: staticIface, OnLink: staticIface != "" && gateway.IsValid()},
	}
	c.Originate = []plan.Originate{{Network: net, MED: med}}
	c.Owners = []plan.Owner{{AS: plan.AS(as), Site: site, Networks: []netip.Prefix{net}}}
	n := plan.Neighbor{
		Name: name, Router: router, Interface: iface, Address: peer,
		LocalAddress: netip.MustParseAddr("172.31.9.1"), AS: plan.AS(as), ImportLimit: limit,
	}
	if peer6.IsValid() {
		n.Address6, n.LocalAddress6 = peer6, netip.MustParseAddr("fd53:9::1")
	}
	c.Neighbors = []plan.Neighbor{n}
	return c
}

func seed(f *testing.F) {
	f.Add("azure_1", "azure-1", "wg9", "azure", "eth0", "10.1.0.0/16", "10.1.0.1", "172.31.9.2",
		"fd53:9::2", 65020, 100, 10)
	f.Add("x", "", "a.b-c_d", "", "", "fd00:1::/48", "fd00:1::1", "172.31.9.2", "", 64999, 0, 0)
	f.Add(`x"; }`, "a\nb", `wg"`, "*/", "e{th", "10.0.0.0/8", "10.0.0.1", "172.31.9.2", "::1", 1, 1, 1)
	f.Add("static", "r", "direct", "s", "via", "10.0.0.0/8", "10.0.0.1", "172.31.9.2", "", 4200000000, 3, 5)
	f.Add("_", "1.1", "0", "0", "0", "10.0.0.0/8", "10.0.0.1", "1.2.3.4", "2001:db8::1", 1, 4294967295, 2147483647)
	f.Add("RTS_BGP", "r", "%h", "s", "eth0.100", "::ffff:10.0.0.0/104", "::ffff:10.0.0.1",
		"::ffff:1.2.3.4", "fe80::1%wg0", 1, 1, 1)
}

// No accepted text ends a string or a comment or adds a statement: the words
// outside of numbers and names are those of a harmless configuration.
func FuzzRender(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, name, router, iface, site, staticIface, network, via, address,
		address6 string, as, med, limit int,
	) {
		c := fuzzed(name, router, iface, site, staticIface, network, via, address, address6, as, med, limit)
		if c.Validate() != nil {
			return
		}
		got := bird.Render(c, bird.Sources{})
		harmless := c
		harmless.Neighbors = slices.Clone(c.Neighbors)
		harmless.Neighbors[0].Name, harmless.Neighbors[0].Router, harmless.Neighbors[0].Interface = "n", "r", "i"
		want := bird.Render(harmless, bird.Sources{})
		for _, mark := range []string{"{", "}", ";", `"`, "\n", "#", "'"} {
			assert.Equal(t, strings.Count(string(want), mark), strings.Count(string(got), mark), "%q", mark)
		}
		assert.Len(t, bird.StampOf(got), 16)
	})
}

var drain = plan.Drain{Since: time.Date(2026, 11, 27, 15, 30, 0, 0, time.UTC), Why: "a new kernel"}

// load reads a case of testdata and renders it.
func load(t *testing.T, dir string) (bird.Config, []byte) {
	t.Helper()
	var c bird.Config
	var host bird.Network
	for file, into := range map[string]any{"config.json": &c, "network.json": &host} {
		require.NoError(t, json.Unmarshal(must.Get(os.ReadFile(filepath.Join(dir, file)))(t), into), file)
	}
	if filepath.Base(dir) == "drain" {
		c.Drain = drain
	}
	require.NoError(t, c.Validate())
	c, src, _, err := bird.Resolve(c, host)
	require.NoError(t, err)
	text := bird.Render(c, src)
	return c, text
}

func cases(t *testing.T) []string {
	t.Helper()
	dirs := must.Get(filepath.Glob("testdata/*/config.json"))(t)
	require.NotEmpty(t, dirs)
	for i := range dirs {
		dirs[i] = filepath.Dir(dirs[i])
	}
	return dirs
}

func TestRenderGolden(t *testing.T) {
	for _, dir := range cases(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			_, got := load(t, dir)
			must.Golden(t, filepath.Join(dir, "bird.conf"), string(got))
		})
	}
}

// The order of the options' lists must not show: another order of the inventory is not a change.
func TestRenderIgnoresOrder(t *testing.T) {
	c, want := load(t, "testdata/dual")
	slices.Reverse(c.Static)
	slices.Reverse(c.Owners)
	slices.Reverse(c.Neighbors)
	slices.Reverse(c.Originate)
	for _, o := range c.Owners {
		slices.Reverse(o.Networks)
	}
	host := bird.Network{
		Interfaces: []bird.Interface{{Name: "ens4", Addresses: addrs("10.3.0.2", "fd00:3::2")}},
		Default6:   "ens4", Gateway6: netip.MustParseAddr("fe80::1"),
	}
	c, src, _, err := bird.Resolve(c, host)
	require.NoError(t, err)
	got := bird.Render(c, src)
	assert.Equal(t, string(want), string(got))
}

func TestStamp(t *testing.T) {
	c, text := load(t, "testdata/azure-1")
	stamp := bird.StampOf(text)
	assert.Len(t, stamp, 16)
	c.Drain = drain
	other := bird.Render(c, bird.Sources{})
	assert.NotEqual(t, stamp, bird.StampOf(other))
	assert.Empty(t, bird.StampOf([]byte("log syslog all;\n")))
	for name, text := range map[string]string{
		"comment": `# define wgmesh_config = "0123456789abcdef";`,
		"indent":  ` define wgmesh_config = "0123456789abcdef";`,
		"short":   `define wgmesh_config = "0123456789abcde";`,
		"capital": `define wgmesh_config = "0123456789ABCDEF";`,
		"more":    `define wgmesh_config = "0123456789abcdef"; x`,
		"return":  "define wgmesh_config = \"0123456789abcdef\";\r\n",
		"broken":  `define wgmesh_config = "0123456789abcdef`,
		"lines":   "define wgmesh_config = \"01234567\n89abcdef\";",
	} {
		assert.Empty(t, bird.StampOf([]byte(text)), name)
	}
	two := "x\ndefine wgmesh_config = \"0123456789abcdef\";\ndefine wgmesh_config = \"1123456789abcdef\";"
	assert.Equal(t, bird.Stamp("0123456789abcdef"), bird.StampOf([]byte(two)))
}
