//go:build lab

package lab

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/lab/topology"
	"github.com/wgmesh/router/internal/must"
)

// Two sites, one of them with IPv6 and two zones, the other one of the kind whose
// gateway is off-link, with a second router behind masquerade.
const twoSites = `
all:
  children:
    routers:
      vars:
        mesh_link_pool: 172.31.0.0/16
        secret_of_group: {__x: 1}
        mesh_sites:
          east:
            as: 65010
            cloud: azure
            networks: [10.1.0.0/16, "2001:db8:1::/48"]
            zones: {"1": [10.1.1.0/24, "2001:db8:1:1::/64"], "2": [10.1.2.0/24, "2001:db8:1:2::/64"]}
          west: {as: 65020, cloud: gcp, onlink: true, networks: [10.2.0.0/16], zones: {b: [10.2.1.0/24]}}
      hosts:
        e1: {mesh_id: 1, mesh_site: east, mesh_zone: "1", mesh_endpoint: 192.0.2.1, lab_host: dhcp-networkd}
        e2:
          mesh_id: 2
          mesh_site: east
          mesh_zone: 2
          mesh_endpoint: 192.0.2.2
          lab_host: [ec2-two-nics, docker-rules, hardened-late, sudo-password]
        w1:
          mesh_id: 3
          mesh_site: west
          mesh_zone: b
          mesh_endpoint: 198.51.100.1
          lab_host: [no-ipv6, metric, sudo-tty, nftables-flush, ufw-rules-open]
        w2: {mesh_id: 4, mesh_site: west, mesh_zone: b}
        w6: {mesh_id: 5, mesh_site: west, mesh_zone: b, mesh_endpoint: "2001:db8:f::6", lab_host: no-ping}
        e6:
          mesh_id: 6
          mesh_site: east
          mesh_zone: "1"
          mesh_endpoint: "2001:db8:f::1"
          lab_host: {profile: [tailscale, flannel, road-warrior, foreign-table, other-bgp],
                     sysctl: {net.ipv4.conf.all.rp_filter: 1}}
`

// trial is one lab under test, driven by the built program.
type trial struct {
	*testing.T
	tool, name, dir, inventory string
}

func (l trial) args(verb string, names ...string) []string {
	args := []string{verb, "--name", l.name, "--dir", l.dir}
	if verb == "up" {
		return append(append(args, "--inventory", l.inventory, "--image-playbook", "none"), names...)
	}
	return append(args, names...)
}

func (l trial) try(verb string, names ...string) (string, error) {
	ctx, cancel := context.WithTimeout(l.Context(), 10*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, l.tool, l.args(verb, names...)...).CombinedOutput()
	return string(out), err
}

func (l trial) must(verb string, names ...string) string {
	l.Helper()
	out, err := l.try(verb, names...)
	require.NoError(l, err, out)
	return out
}

func (l trial) pings(from, to string, options ...string) bool {
	_, err := l.try("exec", append([]string{from, "ping", "-c1", "-W1", to}, options...)...)
	return err == nil
}

// reaches is pings for what has to come through, on a busy machine at the second try.
func (l trial) reaches(from, to string, options ...string) bool {
	for range 30 {
		if l.pings(from, to, options...) {
			return true
		}
	}
	return false
}

func newTrial(t *testing.T, tool, suffix string) trial {
	dir := t.TempDir()
	l := trial{
		T: t, tool: tool,
		name: "t" + suffix + strings.TrimLeft(filepath.Base(dir), "0")[:1] + pid(), dir: filepath.Join(dir, "lab"),
	}
	l.inventory = filepath.Join(dir, "inventory.yml")
	require.NoError(t, os.WriteFile(l.inventory, []byte(twoSites), 0o600))
	t.Cleanup(func() {
		if out, err := exec.Command(tool, l.args("down")...).CombinedOutput(); err != nil {
			t.Errorf("down: %s", out)
		}
		assert.Empty(t, traces(t, l.name), "what the lab left on this machine")
	})
	return l
}

func pid() string { b, _ := json.Marshal(os.Getpid() % 10000); return string(b) }

func TestLab(t *testing.T) {
	for _, need := range []string{"systemd-nspawn", "nft", "mmdebstrap", "ssh", "ansible", "ansible-inventory"} {
		must.Get(exec.LookPath(need))(t, "the lab's test needs %s; .ci/setup and .ci/venv install it", need)
	}
	require.Zero(t, os.Geteuid(), "the lab's test needs root")
	tool := filepath.Join(t.TempDir(), "lab")
	must.Run(t, exec.Command("go", "build", "-o", tool, "github.com/wgmesh/router/cmd/lab"))

	before := machine(t)
	t.Cleanup(func() {
		after := machine(t)
		assert.Equal(t, before.network, after.network, "the machine's own network")
		for name, value := range before.sysctls { // a module of the kernel brings its own
			assert.Equal(t, value, after.sysctls[name], name)
		}
	})
	l := newTrial(t, tool, "a")
	l.must("up")
	again := l.must("up")
	assert.Contains(t, again, "is up already")

	t.Run("ansible reaches all", func(t *testing.T) {
		out, err := exec.Command("ansible", "-i", l.dir+"/inventory.yml", "all", "-m", "raw", "-a",
			"hostname").CombinedOutput()
		require.NoError(t, err, out)
		for _, h := range []string{"e1", "e2", "w1", "w2", "w6", "e6", "node-east-1", "node-east-2", "node-west-b"} {
			assert.Regexp(t, regexp.MustCompile(`(?m)^`+h+` \| .*rc=0 >>\s+`+h), out)
		}
	})
	t.Run("hosts are as lab_host says", func(t *testing.T) { hosts(t, l) })
	t.Run("underlay", func(t *testing.T) { underlay(t, l) })
	t.Run("cuts", func(t *testing.T) { cuts(t, l) })
	t.Run("power", func(t *testing.T) { power(t, l) })
	t.Run("two labs side by side", func(t *testing.T) {
		b := newTrial(t, tool, "b")
		b.must("up", "--bare", "--limit", "e1")
		assert.Equal(t, "e1", strings.TrimSpace(b.must("exec", "e1", "hostname")))
		b.must("exec", "e1",
			"! command -v birdc && apt-get install -y --no-install-recommends bird2 wireguard-tools "+
				"wireguard-go nftables && command -v birdc wg wireguard-go nft")
		b.must("down")
		assert.Equal(t, "e1", strings.TrimSpace(l.must("exec", "e1", "hostname")), "the other lab lives on")
	})
	t.Run("a killed lab is cleaned up", func(t *testing.T) { killed(t, newTrial(t, tool, "k")) })
	t.Run("a killed image maker is cleaned up", func(t *testing.T) { killedBake(t, newTrial(t, tool, "i")) })
}

// underlay proves NAT in both directions, masquerade, MTU and dual stack.
func underlay(t *testing.T, l trial) {
	e1, w1, w2 := topology.Prefix(l.name)+"host.e1", topology.Prefix(l.name)+
		"host.w1", topology.Prefix(l.name)+"host.w2"
	assert.Equal(t, "198.51.100.1:51820", seen(t, w1, e1, "192.0.2.1"), "an endpoint is mapped 1:1, both ways")
	assert.Contains(t, seen(t, w2, e1, "192.0.2.1"), "100.64.0.", "a router without endpoint is behind masquerade")
	for _, to := range []string{"192.0.2.2", "10.1.1.1", "10.1.2.10", "10.1.1.100", "10.1.2.100", "198.51.100.1"} {
		assert.True(t, l.reaches("e1", to), "e1 to %s", to)
	}
	assert.True(t, l.reaches("e1", "2001:db8:1:2::10"), "zone to zone in IPv6")
	assert.True(t, l.reaches("node-east-1", "2001:db8:1:1::10"), "neighbours in IPv6, by proxy")
	assert.True(t, l.reaches("w6", "2001:db8:f::1"), "IPv6 endpoints are the routers' own addresses")
	assert.True(t, l.reaches("e6", "2001:db8:f::6"), "also at a site without IPv6 networks")
	assert.True(t, l.reaches("w1", "10.2.1.1"), "an off-link gateway answers")
	assert.False(t, l.pings("e1", "10.2.1.10"), "private addresses do not cross the internet")
	assert.True(t, l.reaches("w1", "192.0.2.1", "-M", "do", "-s", "1372"), "1400 bytes reach Azure")
	assert.False(t, l.pings("w1", "192.0.2.1", "-M", "do", "-s", "1373"), "1401 bytes do not")
	assert.True(t, l.reaches("w1", "192.0.2.1", "-M", "dont", "-s", "1392"), "unless they may be broken up")
	assert.True(t, l.reaches("e1", "fe80::ffff:1%mgmt0"), "the controller")
	assert.False(t, l.pings("e1", "fe80::2%mgmt0"), "management is no way from host to host")
}

// seen sends a datagram from one host to a port of another, answers it, and tells
// which source the receiver saw.
func seen(t *testing.T, from, to, endpoint string) string {
	t.Helper()
	var server, client net.PacketConn
	require.NoError(t, within(to, func() (err error) { server, err = net.ListenPacket("udp4", ":51820"); return }))
	defer server.Close()
	require.NoError(t, within(from, func() (err error) { client, err = net.ListenPacket("udp4", ":51820"); return }))
	defer client.Close()
	buf := make([]byte, 64)
	deadline := time.Now().Add(time.Minute)
	require.NoError(t, server.SetDeadline(deadline))
	require.NoError(t, client.SetDeadline(deadline))
	go func() { // again and again: the first may be lost while the two ends find each other
		for {
			target := &net.UDPAddr{IP: net.ParseIP(endpoint), Port: 51820}
			if _, err := client.WriteTo([]byte("ping"), target); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	}()
	_, source, err := server.ReadFrom(buf)
	require.NoError(t, err)
	must.Get(server.WriteTo([]byte("pong"), source))(t)
	_, answered, err := client.ReadFrom(buf)
	require.NoError(t, err)
	assert.Equal(t, endpoint+":51820", answered.String())
	return source.String()
}

func cuts(t *testing.T, l trial) {
	l.must("cut", "west", "east")
	assert.False(t, l.pings("e1", "198.51.100.1"))
	assert.True(t, l.reaches("e1", "192.0.2.2"), "inside the site")
	l.must("join", "east", "west")
	assert.True(t, l.reaches("e1", "198.51.100.1"))
	l.must("cut", "e1", "w1")
	assert.False(t, l.pings("e1", "198.51.100.1"))
	assert.False(t, l.pings("w1", "192.0.2.1"))
	assert.True(t, l.reaches("e2", "198.51.100.1"), "others are not cut")
	l.must("cut", "e1", "e2")
	assert.False(t, l.pings("e1", "192.0.2.2"), "two routers of one site")
	l.must("join")
	assert.True(t, l.reaches("e1", "192.0.2.2"))
	assert.True(t, l.reaches("e1", "198.51.100.1"))
	out, err := l.try("cut", "e1", "nowhere")
	require.Error(t, err)
	assert.Contains(t, out, "e1 and nowhere are not two sites or two routers")
}

// power proves what a power cut does, that the cloud's routes move to the router
// that is left, and that a host comes back with its files.
func power(t *testing.T, l trial) {
	route := func() string {
		out, err := exec.Command("ip", "-n", topology.Prefix(l.name)+"site.east", "route", "get", "10.2.1.100",
			"from", "10.1.2.100", "iif", "node-east-2").CombinedOutput()
		require.NoError(t, err, string(out))
		return string(out)
	}
	assert.Contains(t, route(), "dev e2 ", "the router of the node's own zone")
	id := l.must("exec", "e2", "echo kept > /root/file; cat /etc/machine-id")
	boot := l.must("exec", "e2", "cat /proc/sys/kernel/random/boot_id")
	l.must("stop", "e2")
	assert.Contains(t, route(), "dev e1 ", "the other zone's router takes over")
	assert.False(t, l.pings("e1", "192.0.2.2"))
	assert.Contains(t, l.must("stop", "e2"), "off already")
	assert.Regexp(t, `(?m)^e2 .* off$`, l.must("status"))
	l.must("start", "e2")
	assert.Equal(t, id, l.must("exec", "e2", "grep -q kept /root/file && cat /etc/machine-id"))
	assert.NotEqual(t, boot, l.must("exec", "e2", "cat /proc/sys/kernel/random/boot_id"))
	assert.Contains(t, route(), "dev e2 ")
	assert.True(t, l.reaches("e1", "192.0.2.2"))
}

// killed kills `lab up` with SIGKILL at several places.
func killed(t *testing.T, l trial) {
	for _, after := range []time.Duration{0, 150, 350, 650} {
		cmd := exec.Command(l.tool, l.args("up")...)
		require.NoError(t, cmd.Start())
		require.Eventually(t, func() bool { return len(traces(t, l.name)) > 0 }, 2*time.Minute, time.Millisecond)
		time.Sleep(after * time.Millisecond)
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
		left := traces(t, l.name)
		assert.NotEmpty(t, left)
		out, err := l.try("up")
		t.Logf("after %d ms there were %d traces", after, len(left))
		if err != nil {
			assert.Contains(t, out, "down")
		}
		l.must("down")
		assert.Empty(t, traces(t, l.name), "after a kill at %d ms and down", after)
	}
}

// A lab that dies while it makes an image leaves nothing either, and the next one
// makes the image anew.
func killedBake(t *testing.T, l trial) {
	cache := t.TempDir()
	bases := must.Get(filepath.Glob("/var/cache/wgmesh-lab/base-????????????"))(t)
	require.NotEmpty(t, bases)
	for _, b := range bases {
		require.NoError(t, os.Symlink(b, filepath.Join(cache, filepath.Base(b))))
	}
	all := func() []string { return append(namespaces("wgmesh-"+bakeName), groups("wgmesh-"+bakeName)...) }
	others := all() // whoever else makes an image now
	bakes := func() []string {
		return slices.DeleteFunc(all(), func(name string) bool { return slices.Contains(others, name) })
	}
	cmd := exec.Command(l.tool, append(l.args("up"), "--cache", cache)...)
	require.NoError(t, cmd.Start())
	require.Eventually(t, func() bool {
		return len(bakes()) > 0
	}, 2*time.Minute, 10*time.Millisecond)
	time.Sleep(200 * time.Millisecond)
	_ = cmd.Process.Signal(syscall.SIGKILL)
	_ = cmd.Wait()
	require.NotEmpty(t, bakes())
	l.must("down", "--cache", cache)
	assert.Empty(t, bakes())
	l.must("up", "--cache", cache, "--limit", "e1")
	assert.Empty(t, bakes())
	l.must("exec", "e1", "command -v birdc")
	l.must("down")
}

// traces lists everything on this machine that carries the lab's name.
func traces(t *testing.T, name string) []string {
	prefix := topology.Prefix(name)
	out := append(namespaces(prefix), groups(prefix)...)
	mounts := must.Get(os.ReadFile("/proc/self/mounts"))(t)
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, prefix) || strings.Contains(line, "/"+name+"/") {
			out = append(out, line)
		}
	}
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range lines {
		text, _ := os.ReadFile(path)
		if strings.Contains(string(text), prefix) {
			out = append(out, path+" "+strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	return out
}

// A machineState is what the machine itself has, as far as it does not move.
type machineState struct {
	network string
	sysctls map[string]string
}

func machine(t *testing.T) machineState {
	sh := func(script string) string {
		return string(must.Get(exec.Command("sh", "-c", script).Output())(t))
	}
	s := machineState{sysctls: map[string]string{}, network: sh(`ip -o addr | sed 's/valid_lft.*//'; ip rule; ip -6 rule
		ip route show table all; ip -6 route show table all | sed 's/expires [0-9a-z]*//'; nft list ruleset
		cat /root/.ssh/known_hosts 2>/dev/null || true`)}
	for line := range strings.Lines(sh(`sysctl -a 2>/dev/null | grep -E '^(net|kernel\.(core|dmesg|printk|pid_max))' |
		grep -vE 'conntrack_count|nf_conntrack_buckets|tcp_mem|udp_mem'`)) {
		name, value, _ := strings.Cut(line, "=")
		s.sysctls[name] = value
	}
	return s
}

// hosts looks on each host for what its lab_host says.
func hosts(t *testing.T, l trial) {
	type see struct{ command, want string }
	for host, all := range map[string][]see{
		"e1": {
			{"ip route show 10.1.1.0/24", `^10.1.1.0/24 dev eth0 proto kernel scope link src 10.1.1.10 metric 100 *$`},
			{"ip route show default", `^default via 10.1.1.1 dev eth0 proto dhcp src 10.1.1.10 metric 100 *$`},
			{"ip -6 route show default", `via 2001:db8:1:1::1 dev eth0 proto static metric 100`},
			{"systemctl is-active systemd-networkd; networkctl list mgmt0", `^active\n[\s\S]*unmanaged`},
		},
		"e2": {
			{
				"ip route show 10.1.2.0/24",
				`dev eth0 proto kernel scope link src 10.1.2.10 metric 100 *\n.*dev eth1 proto kernel scope ` +
					`link src 10.1.2.11 metric 200`,
			},
			{"ip route show default", `via 10.1.2.1 dev eth0 metric 100 *\n.* via 10.1.2.1 dev eth1 metric 200`},
			{"ip rule", `10101:\tfrom 10.1.2.10 lookup 101 *\n10102:\tfrom 10.1.2.11 lookup 102`},
			{"ip route show table 102", `default via 10.1.2.1 dev eth1 *\n10.1.2.0/24 dev eth1`},
			{"ip -6 rule", `from 2001:db8:1:2::11 lookup 102`},
			{"ping -c1 -W30 -I 10.1.2.11 10.1.1.10", ` 0% packet loss`},
			{"nft list chain ip filter FORWARD", `policy drop;\n.*jump DOCKER-USER`},
			{"ip -br addr show docker0", `172.17.0.1/16`},
			{
				"sysctl net.ipv4.conf.all.rp_filter net.ipv4.conf.all.send_redirects",
				`rp_filter = 1\n.*send_redirects = 0`,
			},
			{"ls /etc/sysctl.d", `zz-hardening.conf`},
			{"su admin -c 'sudo -n true'", `password is required`},
			{"su admin -c 'echo lab | sudo -S id -u'", `0$`},
		},
		"w1": {
			{"ip route show default", `metric 100`},
			{
				"ip -6 addr show dev eth0; cat /proc/sys/net/ipv6/conf/{all,default,eth0,mgmt0}/disable_ipv6 | " +
					"tr -d '\n'",
				`^1110$`,
			},
			{
				"nft list ruleset",
				`table inet filter[\s\S]*chain ufw6-user-forward[\s\S]*chain FORWARD \{\n.*policy drop`,
			},
			{"systemctl is-enabled nftables; grep '^flush' /etc/nftables.conf", `enabled\nflush ruleset`},
			{"setsid su admin -c 'sudo -n id -u'", `must have a tty`},
		},
		"e6": {
			{"wg show all listen-port | sort", `flannel-wg\t51820\ntailscale0\t41641\nwg-road\t51999`},
			{"ls /etc/wireguard; ip route get 100.97.0.7", `^wg-road.conf\n100.97.0.7 dev `},
			{"ip rule", `220:\tfrom 192.168.77.0/24 lookup 220[\s\S]*5270:\tfrom all lookup 52`},
			{
				"ip route show table 220; ip route show 192.168.78.0/24",
				`unreachable default[\s\S]*blackhole 192.168.78.0/24 proto static metric 4000`,
			},
			{"ss -Hltnp sport = 179", `0.0.0.0:179 .*"bird"`},
			{"sysctl net.ipv4.conf.all.rp_filter", `= 1`},
		},
		"w6": {
			{"cat /proc/sys/net/ipv4/icmp_echo_ignore_all", `1`},
		},
	} {
		// What it looks for is there when the host has booted, not when sshd answers.
		script := "exec 2>&1; systemctl is-system-running --wait"
		for _, s := range all {
			script += "\necho =====\n" + s.command
		}
		out, _ := l.try("exec", host, script+"\ntrue")
		said := strings.Split(out, "=====\n")
		require.Len(t, said, len(all)+1, out)
		assert.Equal(t, "running", strings.TrimSpace(said[0]), "%s: a unit failed", host)
		for i, s := range all {
			assert.Regexp(t, regexp.MustCompile(s.want), strings.TrimSpace(said[i+1]), "%s: %s", host, s.command)
		}
	}
}

// TestGroupsOfUnits shows that the end of a lab that is called "join" does not end the
// unit wgmesh-join.service on the routers of another lab.
func TestGroupsOfUnits(t *testing.T) {
	name := "units" + pid()
	host := must.Get(makeGroups("wgmesh-other" + name + ".host.a"))(t)
	t.Cleanup(func() { require.NoError(t, kill(host, 10*time.Second)) })
	for _, tree := range host {
		require.NoError(t, os.Mkdir(filepath.Join(tree, "wgmesh-"+name+".service"), 0o755))
	}
	assert.Empty(t, groupsOf(name))
	assert.ElementsMatch(t, host, groupsOf("other"+name))
}
