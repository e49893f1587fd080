//go:build integration

package meshstatus_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/nettest"
)

// A mesh is three routers in network namespaces, office-1 and two of azure, with a
// namespace for each site's cloud: its gateway, and a host behind it. Each router has
// its site on eth0, like a VM, and the outside on wan.
type mesh struct {
	pair // for its helpers; ns are the routers and the sites
	mtu  int
}

// A node is a router of it.
type node struct {
	name, site, address, gateway string
	id, as                       int
}

var nodes = []node{
	{"office-1", "office", "10.0.1.4", "10.0.1.1", 1, 65010},
	{"azure-1", "azure", "10.1.1.4", "10.1.1.1", 2, 65020},
	{"azure-2", "azure", "10.1.2.4", "10.1.2.1", 3, 65020},
}

var sites = map[string]string{"office": "10.0.0.0/16", "azure": "10.1.0.0/16"}

// hosts are those behind the routers.
var hosts = map[string][]string{"office": {"10.0.3.20"}, "azure": {"10.1.3.20"}}

func newMesh(t *testing.T, mtu int) *mesh {
	t.Helper()
	nettest.Need(t, "bird", "birdc", "wg", "nft", "tc")
	m := &mesh{mtu: mtu, pair: pair{
		whole: t, binary: nettest.Wgmesh(t, "modules"), dir: t.TempDir(),
		public: map[string]string{}, bird: map[string]*exec.Cmd{}, wg: map[string]*exec.Cmd{},
		ns: map[string]nettest.Namespace{}, tun: map[string]string{},
	}}
	for _, n := range []string{
		"office-1", "azure-1", "azure-2", "office", "azure", "office-host", "azure-host", "internet",
	} {
		m.ns[n] = nettest.New(t, n)
	}
	m.table(t, "azure-1")
	m.in(t, "internet", "ip", "link", "add", "name", "lan", "type", "bridge")
	m.in(t, "internet", "ip", "link", "set", "lan", "up")
	for _, n := range nodes {
		m.join(t, n)
	}
	for site, third := range map[string]string{"office": "10.0.3", "azure": "10.1.3"} {
		nettest.Cable(t, m.ns[site], "card", m.ns[site+"-host"], "eth0")
		m.in(t, site, "sh", "-ec",
			"ip addr add "+third+".1/24 dev card; ip link set card up; sysctl -qw net.ipv4.ip_forward=1")
		m.in(t, site+"-host", "sh", "-ec",
			"ip addr add "+third+".20/24 dev eth0; ip link set eth0 up; ip route add default via "+third+".1")
	}
	m.in(t, "office", "sh", "-ec", "ip route add 10.1.0.0/16 via 10.0.1.4")
	m.in(t, "azure", "sh", "-ec",
		"ip route add 10.0.0.0/16 via 10.1.1.4 metric 10; ip route add 10.0.0.0/16 via 10.1.2.4 metric 20")
	for i, n := range nodes {
		for _, peer := range nodes[i+1:] {
			m.tunnel(t, n, peer)
		}
	}
	for _, n := range nodes {
		m.route(t, n)
	}
	return m
}

// join hangs a router on its site and on the internet.
func (m *mesh) join(t *testing.T, n node) {
	t.Helper()
	port := "r" + fmt.Sprint(n.id)
	nettest.Cable(t, m.ns[n.name], "eth0", m.ns[n.site], port)
	nettest.Cable(t, m.ns[n.name], "wan", m.ns["internet"], port)
	m.in(t, "internet", "ip", "link", "set", port, "master", "lan", "up")
	m.in(t, n.site, "sh", "-ec", fmt.Sprintf("ip link set %s up; ip addr add %s/24 dev %s", port, n.gateway, port))
	m.in(t, n.name, "sh", "-ec",
		fmt.Sprintf(
			`ip link set eth0 up; ip link set wan up
			ip addr add %s/24 dev eth0; ip addr add 192.0.2.%d/24 dev wan
			ip route add default via %s
			sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 \
				net.ipv4.conf.eth0.rp_filter=0 net.ipv4.conf.default.rp_filter=0`, n.address, n.id, n.gateway))
	key := filepath.Join(m.dir, n.name+".key")
	m.secret(t, key, command(t, "wg", "genkey"))
	m.public[n.name] = strings.TrimSpace(nettest.Sh(t, "wg pubkey < %s", key))
}

// device is a router's tunnel to another one: wireguard-go's sockets are shared by
// all namespaces, so the names are too.
func (m *mesh) device(n, peer string) string {
	short := strings.NewReplacer("office-", "o", "azure-", "z")
	return fmt.Sprintf("wm%d%s%s", os.Getpid()%1000, short.Replace(n), short.Replace(peer))
}

// ends are the link addresses of a tunnel, the router's own one first.
func ends(n, peer node) (string, string) {
	low, high := fmt.Sprintf("172.31.%d%d.0", min(n.id, peer.id),
		max(n.id, peer.id)), fmt.Sprintf("172.31.%d%d.1", min(n.id, peer.id), max(n.id, peer.id))
	if n.id < peer.id {
		return low, high
	}
	return high, low
}

func (m *mesh) tunnel(t *testing.T, a, b node) {
	t.Helper()
	for _, end := range [][2]node{{a, b}, {b, a}} {
		n, peer := end[0], end[1]
		dev, port := m.device(n.name, peer.name), fmt.Sprintf("518%d%d", min(n.id, peer.id), max(n.id, peer.id))
		m.ns[n.name].WireGuard(m.whole, dev)
		mine, _ := ends(n, peer)
		m.in(t, n.name, "wg", "set", dev, "listen-port", port, "private-key", filepath.Join(m.dir, n.name+".key"),
			"peer", m.public[peer.name], "endpoint", fmt.Sprintf("192.0.2.%d:%s", peer.id, port),
			"persistent-keepalive", "1", "allowed-ips", "0.0.0.0/0")
		m.in(t, n.name, "sh", "-ec",
			fmt.Sprintf("ip addr add %s/31 dev %s; ip link set %s mtu %d up", mine, dev, dev, m.mtu))
	}
}

// route starts a router's BIRD.
func (m *mesh) route(t *testing.T, n node) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, `router id 0.0.0.%d;
protocol device {}
protocol bfd { interface "*" { interval 200 ms; multiplier 10; }; }
protocol static { ipv4; route %s via %s; }
protocol kernel { scan time 1; ipv4 { import none; `+
		`export filter { if source = RTS_STATIC then krt_metric = 512; krt_prefsrc = %s; accept; }; }; }
`, n.id, sites[n.site], n.gateway, n.address)
	for _, peer := range nodes {
		if peer.id == n.id {
			continue
		}
		mine, theirs := ends(n, peer)
		export := "source = RTS_STATIC"
		if peer.as == n.as {
			export = "true"
		}
		fmt.Fprintf(&b, `protocol bgp %s { local %s as %d; neighbor %s as %d; interface "%s"; direct; bfd on;
  connect delay time 1; connect retry time 1; error wait time 1,2;
  ipv4 { import where net != %s; export where %s; next hop self; }; }
`, protocol(peer.name), mine, n.as, theirs, peer.as, m.device(n.name, peer.name), sites[n.site], export)
	}
	path := filepath.Join(m.dir, n.name+".conf")
	require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o600))
	m.bird[n.name] = m.ns[n.name].Start(m.whole, "bird", "-f", "-c", path, "-s", m.socket(n.name),
		"-P", filepath.Join(m.dir, n.name+".pid"))
	nettest.BirdAnswers(t, m.socket(n.name), "")
}

// clamp is the table that the module wg_tunnel makes.
const clamp = `table inet wgmesh {}
delete table inet wgmesh
table inet wgmesh {
	chain forward {
		type filter hook forward priority mangle; policy accept;
		iifname "wm*" tcp flags syn / syn,rst tcp option maxseg size set rt mtu
		oifname "wm*" tcp flags syn / syn,rst tcp option maxseg size set rt mtu
	}
}
`

// table gives a router the table of ours and its file, which ip netns shows to it alone.
func (m *mesh) table(t *testing.T, n string) {
	t.Helper()
	dir := "/etc/netns/" + m.ns[n].Name
	require.NoError(t, os.MkdirAll(dir+"/wireguard", 0o700))
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.WriteFile(dir+"/wireguard/wgmesh.nft", []byte(clamp), 0o600))
	m.in(t, n, "nft", "-f", "/etc/wireguard/wgmesh.nft")
}

func protocol(name string) string { return strings.ReplaceAll(name, "-", "_") }

// status runs the module on a router, as the role does.
func (m *mesh) status(t *testing.T, on node, wait int, change map[string]any) map[string]any {
	t.Helper()
	reach, tunnels, prefixes := map[string]any{}, []any{}, []any{}
	for _, peer := range nodes {
		reach[peer.name] = []string{peer.address}
		if peer.id == on.id {
			continue
		}
		_, theirs := ends(on, peer)
		tunnels = append(tunnels, map[string]any{
			"name": m.device(on.name, peer.name), "peer": peer.name, "neighbor": protocol(peer.name), "address": theirs,
			"mtu": m.mtu, "as": peer.as, "networks": []string{sites[peer.site]}, "probe": hosts[peer.site],
		})
	}
	for site, network := range sites {
		if site != on.site {
			prefixes = append(prefixes, map[string]any{"network": network, "site": site})
		}
	}
	options := map[string]any{
		"tunnels": tunnels, "prefixes": prefixes, "source_networks": []string{sites[on.site]},
		"reach": reach, "probe": hosts[on.site],
		"control_socket": m.socket(on.name), "wait": wait, "expect": "any",
	}
	maps.Copy(options, change)
	return nettest.Ask(t, m.ns[on.name].Command(m.binary, "mesh_status"), options)
}

// green expects that every router finds nothing wrong.
func (m *mesh) green(t *testing.T, wait int) {
	t.Helper()
	for _, n := range nodes {
		res := m.status(t, n, wait, nil)
		require.Equal(t, true, res["healthy"], "%s: %v", n.name, res["problems"])
	}
}
