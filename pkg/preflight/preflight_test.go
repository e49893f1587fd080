package preflight

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/mesh"
	"github.com/wgmesh/router/pkg/plan"
)

// dual is the plan of a router whose mesh has both families.
func dual(t *testing.T) Want {
	t.Helper()
	m := mesh.Mesh{
		Routers: map[string]mesh.Router{
			"azure-1": {ID: 1, Site: "azure", Endpoint: "192.0.2.1"},
			"azure-2": {ID: 2, Site: "azure", Endpoint: "192.0.2.2"},
			"aws-1":   {ID: 3, Site: "aws", Endpoint: "192.0.2.3"},
			"gcp-1":   {ID: 4, Site: "gcp", Endpoint: "192.0.2.4"},
		},
		Sites: map[string]mesh.Site{
			"azure": {AS: 64513, Networks: []string{"10.1.0.0/16", "2001:db8:1::/48"}},
			"aws":   {AS: 64514, Networks: []string{"10.2.0.0/16", "2001:db8:2::/48"}},
			"gcp":   {AS: 64515, Networks: []string{"10.3.0.0/16"}},
		},
	}
	m.SetDefaults()
	m.LinkPool = "172.31.0.0/16"
	return Want{Plan: must.Get(m.Plan("aws-1"))(t), Bound: true}
}

func TestHealthyHost(t *testing.T) {
	refusals, warnings := Compare(dual(t), Have{
		Links: []Link{
			{"eth0", must.Prefixes("10.2.1.4/24", "2001:db8:9::4/64")}, {
				"docker0", must.Prefixes("172.17.0.1/16"),
			},
		},
		Routes: []Route{{netip.MustParsePrefix("10.200.0.0/16"), "tun0", "static"}},
		Needed: needed(),
	})
	assert.Empty(t, refusals)
	assert.Empty(t, warnings)
}

// What a host can have at worst: every question has an answer, with names as long as
// the kernel allows.
func worst(w Want) Have {
	const process, dev = "fifteen-letters (wireguard-go, pid 4194304)", "fifteen-letters"
	h := Have{
		Taken: map[string]string{}, UDP: map[int]string{plan.BFDPort: process},
		TCP:     map[int]string{plan.BGPPort: process},
		NoIPv6:  "ipv6.disable=1 on the kernel's command line",
		Passing: "/etc/machine-id says uninitialized", NoPing: "net.ipv4.icmp_echo_ignore_all = 1",
		NoPing6: "net.ipv6.icmp.echo_ignore_all = 1",
		No:      append([]string{"WireGuard (neither in the kernel nor wireguard-go)"}, tools...),
		Closed:  map[string]string{"/etc/systemd/system": "read-only file system"},
		Needed:  map[netip.Addr]string{},
		Bird: Bird{
			"/etc/bird/bird.conf",
			[]byte("protocol device {}\n  protocol bgp uplink {\n"),
			"/etc/systemd/system/bird.service",
			"BIRD 2.0.7 is installed: expected 2.0.8 or a later 2, or 3.1 or a later 3",
		},
	}
	for i, tunnel := range w.Plan.Tunnels {
		h.UDP[tunnel.ListenPort] = process
		h.Taken[tunnel.Name] = []string{"/etc/wireguard/" + dev + ".conf", "a WireGuard interface"}[i%2]
		for _, a := range tunnel.Addresses {
			h.Needed[a.Addr()] = "its name server (/run/systemd/resolve/resolv.conf)"
			switch i {
			case 0:
				h.Links = append(h.Links, Link{dev, []netip.Prefix{netip.PrefixFrom(a.Addr(), a.Addr().BitLen())}})
			case 1:
				h.Links = append(h.Links, Link{
					dev, []netip.Prefix{netip.PrefixFrom(a.Masked().Addr().Next().Next().Prev(), 24)},
				})
			default:
				h.Routes = append(h.Routes, Route{a.Masked(), dev, "static"}, Route{
					netip.PrefixFrom(a.Addr(), 12).Masked(), dev, "static",
				})
			}
		}
	}
	for _, o := range w.Plan.Bird.Owners {
		h.Links = append(h.Links, Link{dev, o.Networks})
	}
	return h
}

// A machine that was put in the place of another one, in a run that was cut off, has the programs
// and not the rest.
func TestUnmade(t *testing.T) {
	w := dual(t)
	refusals, warnings := Compare(w, Have{Unmade: true})
	assert.Empty(t, refusals, "whoever sets up hosts in another way may know better")
	assert.Equal(t, []cause.Cause{{
		Found: "the image play has not come to its end here (no /etc/wgmesh/image)",
		Do:    "run wgmesh.router.image",
	}}, warnings)
	_, warnings = Compare(w, Have{Unmade: true, No: []string{"bird"}})
	assert.Empty(t, warnings, "said already")
}

// A volume of a single file cannot be replaced. Others' mounts are none of ours.
func TestMounts(t *testing.T) {
	w := dual(t)
	h := Have{Bird: Bird{Path: "/etc/bird/bird.conf"}}
	ours := []string{
		"/etc/bird/bird.conf", plan.TunnelDirectory + "/" + w.Plan.Tunnels[0].Name + ".conf",
		"/etc/sysctl.d/99-zz-wgmesh.conf",
	}
	h.Mounts = append([]string{
		"/", "/etc/bird", plan.TunnelDirectory, plan.TunnelDirectory + "/home.conf", "/run/wgmesh", "/etc/resolv.conf",
		"/etc/wgmesh", "/etc/wireguard/wgmesh-psk", "/etc/systemd/system/wgmesh-floor.service.d",
	}, ours...)
	refusals, _ := Compare(w, h)
	require.Len(t, refusals, len(ours))
	for i, path := range ours {
		assert.Equal(t, cause.Cause{
			Found: path + " is a mount point, which cannot be replaced", Do: "use a mount of its folder instead",
		}, refusals[i])
	}
}

// A file system is one row, whatever lies on it.
func TestClosed(t *testing.T) {
	const full, readOnly = "no space left on device", "read-only file system"
	refusals, _ := Compare(dual(t), Have{Closed: map[string]string{
		"/run/wgmesh": full, "/etc/wireguard": readOnly, "/etc/bird": readOnly,
	}})
	const do = "make room and make it writable, since keys and settings go there"
	assert.Equal(t, []cause.Cause{
		{Found: "/run/wgmesh: " + full, Do: do}, {Found: "/etc/bird, /etc/wireguard: " + readOnly, Do: do},
	}, refusals)
}

// Each line can be read on two lines of a small terminal, and says who and what to do.
func TestLines(t *testing.T) {
	w := dual(t)
	h := worst(w)
	for _, q := range questions() {
		found := q.ask(w, h)
		assert.NotEmpty(t, found, q.name)
		for _, f := range found {
			assert.LessOrEqual(t, len(f.String()), cause.Most)
			assert.NotContains(t, f.String(), "...", "a word is cut")
			assert.NotEmpty(t, f.Do, f.Found)
			t.Log(f.String())
		}
	}
	refusals, _ := Compare(w, h)
	w.Accept = Names()
	left, warnings := Compare(w, h)
	var modules []cause.Cause // what bird_config and wg_tunnel refuse whatever is accepted, when keys are written
	for _, c := range refusals {
		if c.Found == h.Bird.Unfit || strings.Contains(c.Found, "made for this mesh") ||
			strings.Contains(c.Found, "interface that") || strings.Contains(c.Found, "'s address") {
			modules = append(modules, c)
		}
	}
	assert.Len(t, modules, 8)
	assert.Equal(t, modules, left)
	assert.Greater(t, len(left)+len(warnings), len(refusals))
}

// What the distributions deliver has no neighbors, and ours is not somebody else's.
func TestBird(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, "# protocol bgp {\n#protocol ospf x {}\n/* some */ # template bgp y\n": 0,
		"protocol device {\n}\nprotocol direct {\n\tdisabled;\n}\nprotocol kernel {\n}\nprotocol static {\n}\n": 0,
		"protocol bgp uplink { }\n": 1, "\ttemplate bgp t {\n}\nprotocol bgp a from t {}\n": 1,
		"protocol ospf v2 {}": 1, "protocol  rip{}": 1, "protocol bgpx {}": 0,
		"protocolbgp": 0, "protocol\nbgp": 1, "xprotocol bgp": 0, "protocol BGP": 0, "protocol rip_": 0,
		"protocol ripng": 0, "protocol bgp": 1, "protocol bgp;": 1,
		"x\n \t template \t l3vpn\n": 1, "protocol bgp\xff": 1,
		"include \"/etc/bird/peers/*.conf\";\n": 1, "# include \"x\";\nlog \"/var/log/include\" all;\n": 0,
		"protocol kernel { } protocol bgp x { }": 1, "/* of\n all */ protocol bgp x { }": 1, "/* protocol bgp */": 0,
		"protocol radv { }": 1,
	} {
		assert.Len(t, bird(Want{}, Have{Bird: Bird{Foreign: []byte(text)}}), want, text)
	}
}

func TestNeeded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	must.Write(t, path,
		"# nameserver 10.0.0.1\nsearch example.org\nnameserver 198.18.0.6\nnameserver fe80::1%eth0\n"+
			"nameserver\nnameserver x\n", 0o644)
	h := Have{Needed: needed(path, path+".none")}
	assert.Contains(t, h.Needed, netip.MustParseAddr("fe80::1"))
	w := dual(t)
	w.Plan.Tunnels = w.Plan.Tunnels[:1]
	w.Plan.Tunnels[0].Addresses = must.Prefixes("198.18.0.7/31")
	refusals, _ := Compare(w, h)
	require.Len(t, refusals, 1)
	assert.Equal(t,
		"wg2's network 198.18.0.6/31 hides 198.18.0.6, its name server ("+path+"): set another mesh_link_pool",
		refusals[0].String())
	w.Plan.Tunnels[0].Addresses[0] = netip.MustParsePrefix("169.254.169.1/24")
	refusals, _ = Compare(w, h)
	assert.Len(t, refusals, 3)
}

// An id that does not last while the keys do.
func TestPassing(t *testing.T) {
	etc := t.TempDir()
	assert.Empty(t, passing(etc), "no id")
	require.NoError(t, os.WriteFile(etc+"/machine-id", []byte("0123456789abcdef0123456789abcdef\n"), 0o444))
	assert.Empty(t, passing(etc))
	require.NoError(t, os.Remove(etc+"/machine-id"))
	require.NoError(t, os.WriteFile(etc+"/machine-id", []byte("uninitialized\n"), 0o444))
	assert.Equal(t, etc+"/machine-id says uninitialized", passing(etc))
	assert.Empty(t, machine(Want{}, Have{Passing: "x"}), "the keys belong to no machine")
}

// The documentation and the role name the questions that there are.
func TestNames(t *testing.T) {
	for _, path := range []string{
		"../../collection/plugins/modules/mesh_preflight_info.py", "../../roles/mesh/meta/argument_specs.yml",
	} {
		text := must.Get(os.ReadFile(path))(t)
		for _, name := range Names() {
			assert.Regexp(t, `choices: \[.*\b`+name+`\b.*\]`, string(text), path)
		}
	}
	assert.False(t, strings.Contains(strings.Join(Names(), ""), " "))
}
