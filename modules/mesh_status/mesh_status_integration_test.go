//go:build integration

package meshstatus_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/nettest"
)

// A pair is two routers, "a" of site office and "b" of site azure, each in its
// own network namespace: an underlay, one tunnel (the kernel's WireGuard where it
// has one, else wireguard-go's), and a BIRD each. The module runs in a, as the binary does on a router.
type pair struct {
	whole  *testing.T // ends what subtests start, too
	binary string
	dir    string
	ns     map[string]nettest.Namespace
	tun    map[string]string // interface names: wireguard-go's sockets are shared by all namespaces
	public map[string]string
	bird   map[string]*exec.Cmd
	wg     map[string]*exec.Cmd // of wireguard-go; none with the kernel's
}

const (
	siteA, siteB = "10.0.1.4", "10.1.2.4"
	birdConf     = `router id 0.0.0.%[1]d;
protocol device {}
protocol bfd { interface "*" { interval 200 ms; multiplier 10; }; }
protocol static { ipv4; route %[2]s blackhole; }
protocol kernel { ipv4 { import none; export where source = RTS_BGP; }; }
protocol bgp %[3]s { local %[4]s as %[5]d; neighbor %[6]s as %[7]d; interface "%[8]s"; direct; bfd on;
  connect delay time 1; connect retry time 1; error wait time 1,2;
  ipv4 { import all; export where source = RTS_STATIC; next hop self; }; }
`
)

func newPair(t *testing.T) *pair {
	t.Helper()
	nettest.Need(t, "bird", "birdc", "wg", "nft")
	p := &pair{
		whole: t, binary: nettest.Wgmesh(t, "modules"), dir: t.TempDir(),
		public: map[string]string{}, bird: map[string]*exec.Cmd{}, wg: map[string]*exec.Cmd{},
		ns:  map[string]nettest.Namespace{},
		tun: map[string]string{"a": nettest.Unique("a"), "b": nettest.Unique("b")},
	}
	for _, n := range []string{"a", "b"} {
		p.ns[n] = nettest.New(t, n)
		// Its site, of which the gateway is all there is.
		p.ns[n+"-site"] = nettest.New(t, n+"s")
		nettest.Cable(t, p.ns[n], "site", p.ns[n+"-site"], "site")
		p.in(t, n+"-site", "sh", "-ec", "ip addr add 198.51.100.1/24 dev site; ip link set site up")
		p.in(t, n, "sh", "-ec",
			"ip addr add 198.51.100.2/24 dev site; ip link set site up; ip route add default via 198.51.100.1; "+
				"sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0")
	}
	nettest.Cable(t, p.ns["a"], "under", p.ns["b"], "under")
	for n, address := range map[string]string{"a": "192.0.2.1/24", "b": "192.0.2.2/24"} {
		p.in(t, n, "ip", "addr", "add", address, "dev", "under")
		p.in(t, n, "ip", "link", "set", "under", "up")
		p.startWireGuard(t, n)
	}
	p.in(t, "a", "ip", "addr", "add", siteA+"/32", "dev", "lo")
	p.in(t, "b", "ip", "addr", "add", siteB+"/32", "dev", "lo")
	p.peer(t, "a", "b", "192.0.2.2", "")
	p.peer(t, "b", "a", "192.0.2.1", "")
	p.startBird(t, "a")
	p.startBird(t, "b")
	return p
}

func (p *pair) in(t *testing.T, n string, args ...string) string {
	t.Helper()
	return strings.TrimSpace(p.ns[n].Run(t, args...))
}

func (p *pair) startWireGuard(t *testing.T, n string) {
	t.Helper()
	p.wg[n] = p.ns[n].WireGuard(p.whole, p.tun[n])
	p.public[n] = p.ns[n].Key(t, p.tun[n])
	p.in(t, n, "ip", "addr", "add", link[n]+"/31", "dev", p.tun[n])
	p.in(t, n, "ip", "link", "set", p.tun[n], "mtu", "1340", "up")
}

func (p *pair) stopWireGuard(t *testing.T, n string) {
	t.Helper()
	if p.wg[n] != nil {
		nettest.Stop(p.wg[n])
		return
	}
	p.in(t, n, "ip", "link", "del", p.tun[n])
}

var link = map[string]string{"a": "172.31.20.0", "b": "172.31.20.1"}

// peer makes other the only peer of n, without any session. psk is a file.
func (p *pair) peer(t *testing.T, n, other, endpoint, psk string) {
	t.Helper()
	p.in(t, n, "wg", "set", p.tun[n], "peer", p.public[other], "remove")
	args := []string{
		"wg", "set", p.tun[n], "peer", p.public[other], "endpoint",
		endpoint + ":51820", "persistent-keepalive", "1", "allowed-ips", "0.0.0.0/0",
	}
	if psk != "" {
		args = append(args, "preshared-key", psk)
	}
	p.in(t, n, args...)
}

func (p *pair) socket(n string) string { return filepath.Join(p.dir, n+".ctl") }

func (p *pair) startBird(t *testing.T, n string) {
	t.Helper()
	conf := fmt.Sprintf(birdConf, 1, "10.0.0.0/16", "azure_2", link["a"], 65010, link["b"], 65020, p.tun["a"])
	if n == "b" {
		conf = fmt.Sprintf(birdConf, 2, "10.1.0.0/16", "office_1", link["b"], 65020, link["a"], 65010, p.tun["b"])
	}
	path := filepath.Join(p.dir, n+".conf")
	require.NoError(t, os.WriteFile(path, []byte(conf), 0o600))
	p.bird[n] = p.ns[n].Start(p.whole, "bird", "-f", "-c", path, "-s", p.socket(n), "-P",
		filepath.Join(p.dir, n+".pid"))
	nettest.BirdAnswers(t, p.socket(n), "")
}

// status runs the module in a and returns its result and how long it took.
func (p *pair) status(t *testing.T, wait int, change map[string]any) (map[string]any, time.Duration) {
	t.Helper()
	options := map[string]any{
		"tunnels": []any{map[string]any{
			"name": p.tun["a"], "peer": "azure-2",
			"neighbor": "azure_2", "address": link["b"], "mtu": 1340, "as": 65020,
		}},
		"prefixes":        []any{map[string]any{"network": "10.1.0.0/16", "site": "azure"}},
		"source_networks": []string{"10.0.0.0/16"},
		"reach":           map[string]any{"azure-2": []string{siteB}, "office-1": []string{siteA}},
		"control_socket":  p.socket("a"),
		"wait":            wait,
		"expect":          "any",
	}
	maps.Copy(options, change)
	start := time.Now()
	res := nettest.Ask(t, p.ns["a"].Command(p.binary, "mesh_status"), options)
	return res, time.Since(start)
}

// broken expects that it comes to exactly these problems, each given by its beginning:
// BFD and BIRD take a moment to notice.
func (p *pair) broken(t *testing.T, wait int, want ...string) {
	t.Helper()
	assert.EventuallyWithT(t, func(c *assert.CollectT) { // what was broken has to be mended for the next test
		res, _ := p.status(t, wait, nil)
		got := texts(res["problems"])
		if !assert.Len(c, got, len(want), strings.Join(got, "\n")) {
			return
		}
		for i := range want {
			assert.Contains(c, got[i], strings.ReplaceAll(want[i], "TUN", "tunnel "+p.tun["a"]+" to azure-2"))
		}
	}, 2*time.Minute, 100*time.Millisecond)
}

func (p *pair) healthy(t *testing.T) {
	t.Helper()
	res, _ := p.status(t, 120, nil)
	require.Equal(t, true, res["healthy"], "%v", res["problems"])
}

func TestHealthyThenBroken(t *testing.T) {
	p := newPair(t)
	p.healthy(t)

	t.Run("healthy is quick", func(t *testing.T) {
		best := time.Hour
		var res map[string]any
		starts := time.Duration(0)
		for range 5 {
			began := time.Now()
			_ = p.ns["a"].Command(p.binary).Run() // it says what it is
			starts += time.Since(began)
			var took time.Duration
			res, took = p.status(t, 60, map[string]any{"expect": "healthy"})
			best = min(best, took)
		}
		t.Logf("best of 5: %s\n%s", best, strings.Join(texts(res["lines"]), "\n"))
		// That nothing waits, of which a slow machine can tell by what a start costs it.
		assert.Less(t, best, max(100*time.Millisecond, 4*starts))
		tunnel := res["tunnels"].([]any)[0].(map[string]any)
		assert.Equal(t, 1340.0, tunnel["path_mtu"])
		assert.Equal(t, "Established", tunnel["bgp"])
		assert.Equal(t, "Up", tunnel["bfd"])
		assert.Equal(t, "192.0.2.2:51820", tunnel["endpoint"])
	})

	const input = "add table inet t; add chain inet t in { type filter hook input priority 0; }; add rule inet t in "
	for _, tt := range []struct {
		name, at, breaks, mends string // BIRD is birdc with our control socket
		wait                    int
		want                    []string
	}{
		{
			"a black hole for large packets", "b", "nft '" + input + "iifname under meta length > 1380 drop'",
			"nft delete table inet t", 0,
			[]string{"TUN: packets of 1340 bytes do not get through, those of 1300 do"},
		},
		{
			"MTU of the interface", "a", "ip link set TUN mtu 1300", "ip link set TUN mtu 1340", 0,
			[]string{"TUN: the MTU of " + p.tun["a"] + " is 1300, expected 1340"},
		},
		{
			"a better route elsewhere", "a", "ip route add 10.1.0.0/16 dev under metric 5 proto static",
			"ip route del 10.1.0.0/16 dev under metric 5", 0,
			[]string{"prefix 10.1.0.0/16 of azure: goes out of under by a route made by static"},
		},
		{
			"the other site's address is gone", "b", "ip addr del " + siteB + "/32 dev lo",
			"ip addr add " + siteB + "/32 dev lo", 0,
			[]string{"router azure-2 at " + siteB + ": no answer to a ping of 1272 bytes from " + siteA},
		},
		{
			"what all sessions need is switched off", "a", "BIRD disable bfd1", "BIRD enable bfd1", 0,
			[]string{"BIRD's protocol bfd1 is switched off: run the mesh play here, or birdc enable bfd1"},
		},
		{
			"the session is switched off, and waited for", "a", "BIRD disable azure_2", "BIRD enable azure_2", 3600,
			[]string{
				"TUN: BGP session azure_2 is switched off: switch it on (birdc enable azure_2)",
				"prefix 10.1.0.0/16 of azure: no tunnel has a route", "router azure-2 at",
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			words := strings.NewReplacer("TUN", p.tun[tt.at], "BIRD", "birdc -s "+p.socket(tt.at))
			p.in(t, tt.at, "sh", "-ec", words.Replace(tt.breaks))
			p.broken(t, tt.wait, tt.want...)
			p.in(t, tt.at, "sh", "-ec", words.Replace(tt.mends))
			p.healthy(t)
		})
	}

	t.Run("a firewall drops pieces", func(t *testing.T) {
		for _, n := range []string{"a", "b"} {
			p.in(t, n, "ip", "link", "set", "under", "mtu", "1380")
		}
		p.healthy(t) // a packet of 1400 bytes outside travels in two
		p.in(t, "b", "nft",
			"add table inet t; add chain inet t in { type filter hook prerouting priority -450; }; "+
				"add rule inet t in iifname under ip frag-off & 0x3fff != 0 drop")
		p.broken(t, 0, "TUN: packets of 1340 bytes do not get through, those of 13")
		p.in(t, "b", "nft", "delete table inet t")
		for _, n := range []string{"a", "b"} {
			p.in(t, n, "ip", "link", "set", "under", "mtu", "1500")
		}
		p.healthy(t)
	})

	t.Run("an endpoint that is no longer true", func(t *testing.T) {
		planned := map[string]any{"tunnels": []any{map[string]any{
			"name": p.tun["a"], "peer": "azure-2", "neighbor": "azure_2", "address": link["b"],
			"endpoint": "192.0.2.2:51820",
		}}}
		warned := func(want bool) {
			t.Helper()
			assert.EventuallyWithT(t, func(c *assert.CollectT) {
				res, _ := p.status(t, 0, planned)
				assert.Equal(c, want, slices.Contains(texts(res["warnings"]),
					"azure-2 calls from 192.0.2.22, and nothing answers at its endpoint, 192.0.2.2: "+
						"correct that in the inventory, or a peer that reboots may not find it"), res["warnings"])
			}, time.Minute, 100*time.Millisecond)
		}
		at := func(address string) {
			p.in(t, "a", "wg", "set", p.tun["a"], "peer", p.public["b"], "endpoint", address+":51820")
		}
		p.in(t, "b", "ip", "addr", "add", "192.0.2.22/32", "dev", "under")
		at("192.0.2.22") // a second uplink, say
		p.healthy(t)
		warned(false)
		p.in(t, "b", "ip", "addr", "del", "192.0.2.2/24", "dev", "under")
		p.in(t, "b", "ip", "route", "add", "192.0.2.0/24", "dev", "under", "src", "192.0.2.22")
		p.healthy(t)
		warned(true)
		p.in(t, "b", "sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=1")
		warned(false) // nobody can tell
		p.in(t, "b", "sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=0")
		p.in(t, "b", "sh", "-ec", "ip route del 192.0.2.0/24; ip addr add 192.0.2.2/24 dev under")
		at("192.0.2.2")
		p.in(t, "b", "ip", "addr", "del", "192.0.2.22/32", "dev", "under")
		p.healthy(t)
	})

	t.Run("the other one does not bring its network", func(t *testing.T) {
		p.in(t, "b", "birdc", "-s", p.socket("b"), "disable", "static1")
		prefixes := []any{map[string]any{"network": "10.1.0.0/16", "site": "azure", "as": 65020}}
		assert.EventuallyWithT(t, func(c *assert.CollectT) {
			res, _ := p.status(t, 0, map[string]any{"prefixes": prefixes})
			if troubles, _ := res["troubles"].([]any); assert.NotEmpty(c, troubles) {
				first, _ := troubles[0].(map[string]any)
				assert.Equal(c, []any{"azure-2"}, first["owners"])
				assert.Equal(c, "others have no route to 10.1.0.0/16 of its site", first["cause"])
			}
		}, 2*time.Minute, 100*time.Millisecond)
		p.in(t, "b", "birdc", "-s", p.socket("b"), "enable", "static1")
		p.healthy(t)
	})

	t.Run("the other BIRD is dead", func(t *testing.T) {
		nettest.Stop(p.bird["b"])
		p.broken(t, 0, ": BGP is ", "prefix 10.1.0.0/16 of azure: no tunnel has a route", "router azure-2 at")
		p.startBird(t, "b")
		p.healthy(t)
	})

	t.Run("our BIRD is dead", func(t *testing.T) {
		// Its routes stay, the other side's go when BFD has noticed.
		require.NoError(t, p.bird["a"].Process.Kill())
		p.broken(t, 0, "BIRD does not run: start it", "router azure-2 at "+siteB+": no answer")
		p.startBird(t, "a")
		p.healthy(t)
	})

	// What time cannot mend ends a wait of an hour.
	t.Run("another program has TCP 179", func(t *testing.T) {
		nettest.Stop(p.bird["a"])
		thief := p.ns["a"].Start(p.whole, "python3", "-c",
			"import socket, time; s = socket.create_server(('127.0.0.1', 179)); time.sleep(1000)")
		require.Eventually(t, func() bool {
			return strings.Contains(p.in(t, "a", "cat", "/proc/self/net/tcp"), ":00B3 00000000:0000 0A")
		}, 2*time.Minute, 50*time.Millisecond)
		p.startBird(t, "a")
		p.broken(t, 3600,
			fmt.Sprintf("TCP 179 is held by python3, pid %d, and BIRD has to listen there", thief.Process.Pid),
			"prefix", "router azure-2")
		nettest.Stop(thief)
		nettest.Stop(p.bird["a"])
		p.startBird(t, "a")
		p.healthy(t)
	})

	t.Run("our BIRD was stopped by a signal", func(t *testing.T) {
		require.NoError(t, p.bird["a"].Process.Signal(syscall.SIGSTOP))
		p.broken(t, 3600, "BIRD does not answer within 3s", "router azure-2")
		require.NoError(t, p.bird["a"].Process.Signal(syscall.SIGCONT))
		p.healthy(t)
	})

	// BGP and BFD prove that packets get through: named, and not required.
	t.Run("ICMP is refused", func(t *testing.T) {
		p.in(t, "b", "nft",
			"add table inet t; add chain inet t in { type filter hook input priority 0; }; "+
				"add rule inet t in meta l4proto icmp drop")
		p.broken(t, 3600,
			"TUN: "+link["b"]+" does not answer ping, though BGP and BFD work: admit ICMP", "router azure-2")
		res, _ := p.status(t, 3600, nil)
		assert.Equal(t, []any{false, true}, []any{res["healthy"], res["required_healthy"]})
		p.in(t, "b", "nft", "delete table inet t")
		p.healthy(t)
	})

	// Without a cause that is known for sure, a wait ends when nothing moves.
	t.Run("nothing becomes healthy any more", func(t *testing.T) {
		nettest.Stop(p.bird["b"])
		p.broken(t, 0, ": BGP is ", "prefix", "router azure-2 at")
		res, _ := p.status(t, 3600, map[string]any{"settle": 1})
		assert.Equal(t, false, res["required_healthy"])
		assert.Contains(t, texts(res["problems"])[0], "BGP is ")
		p.startBird(t, "b")
		res, _ = p.status(t, 240, map[string]any{"settle": 120, "ping": false, "reach": map[string]any{}})
		assert.Equal(t, true, res["healthy"], "%v", res["problems"])
		p.healthy(t)
	})

	t.Run("preshared keys differ", func(t *testing.T) {
		nettest.Sh(t, "cd %s; umask 077; wg genpsk > a.psk; wg genpsk > b.psk", p.dir)
		p.peer(t, "a", "b", "192.0.2.2", filepath.Join(p.dir, "a.psk"))
		p.peer(t, "b", "a", "192.0.2.1", filepath.Join(p.dir, "b.psk"))
		p.broken(t, 12,
			"TUN: its handshakes arrive but none is completed: run the mesh play for both (pre-shared keys)", "prefix",
			"router azure-2")
		p.peer(t, "b", "a", "192.0.2.1", filepath.Join(p.dir, "a.psk"))
		p.healthy(t)
	})

	t.Run("a firewall on the way", func(t *testing.T) {
		p.in(t, "b", "nft",
			"add table inet t; add chain inet t in { type filter hook input priority 0; }; "+
				"add rule inet t in udp dport 51820 drop; "+
				"add chain inet t out { type filter hook output priority 0; }; "+
				"add rule inet t out udp dport 51820 drop")
		p.broken(t, 0, link["b"]+" does not answer ping, and nothing arrives in "+p.tun["a"]+": check UDP 51820",
			"prefix", "router azure-2")
		p.peer(t, "a", "b", "192.0.2.2", filepath.Join(p.dir, "a.psk"))
		p.broken(t, 0, "TUN: no handshake yet, though 192.0.2.2 answers ping: open UDP 51820",
			"prefix", "router azure-2")
		p.in(t, "b", "nft", "delete table inet t")
		p.healthy(t)
	})

	t.Run("no peer yet", func(t *testing.T) {
		p.in(t, "a", "wg", "set", p.tun["a"], "peer", p.public["b"], "remove")
		p.broken(t, 0, "TUN: the interface has no peer yet", "prefix", "router azure-2")
		p.peer(t, "a", "b", "192.0.2.2", filepath.Join(p.dir, "a.psk"))
		p.healthy(t)
	})

	t.Run("waiting takes no longer than asked for", func(t *testing.T) {
		nettest.Stop(p.bird["b"])
		p.broken(t, 0, ": BGP is ", "prefix", "router azure-2 at")
		_, one := p.status(t, 0, nil)
		_, took := p.status(t, 2, nil)
		assert.GreaterOrEqual(t, took, 2*time.Second)
		assert.Less(t, took, 2*time.Second+max(20*time.Second, 3*one), "a look took %s", one)
		p.startBird(t, "b")
		p.healthy(t)
	})

	t.Run("no interface", func(t *testing.T) {
		p.stopWireGuard(t, "a")
		p.broken(t, 3600, "TUN: interface "+p.tun["a"]+" does not exist", "prefix", "router azure-2")
	})
}
