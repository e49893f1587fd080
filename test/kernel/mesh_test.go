//go:build kernel

package kernel

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
)

// The chain of our modules on three routers makes a network of the kernel's
// WireGuard and BIRD; the law holds on all of it; a tunnel may fail, lines may
// be bad, and a router may come back with its clock an hour behind.
func TestMesh(t *testing.T) {
	n := newNetwork(t)
	for _, step := range []struct {
		name string
		do   func(*network, *testing.T)
	}{
		{"converge", (*network).testConverge},
		{"failover", (*network).testFailover},
		{"bad lines", (*network).testBadLines},
		{"clock", (*network).testClock},
	} {
		require.True(t, t.Run(step.name, func(t *testing.T) { step.do(n, t) }), "what comes next needs this")
	}
}

func (n *network) testConverge(t *testing.T) {
	began := time.Now()
	assert.NotEmpty(t, n.converge(false))
	t.Logf("3 routers, 3 tunnels, from nothing to healthy: %s", time.Since(began).Round(100*time.Millisecond))
	before, sessions := n.state(), n.sessions()
	assert.Empty(t, n.converge(true), "check mode after a run")
	assert.Empty(t, n.converge(false), "the second run")
	assert.Equal(t, before, n.state(), "a run that changes nothing must change nothing")
	for _, r := range n.routers() {
		assert.Equal(t, 2,
			strings.Count(r.run("ip", "-d", "-o", "link", "show", "type", "wireguard"), "wireguard"),
			"%s: tunnels of the kernel", r.name)
		r.steady(t, sessions[r.name])
	}
}

// state is what a run that changes nothing leaves alone.
func (n *network) state() string {
	text := ""
	for _, r := range n.routers() {
		text += r.run("sh", "-c", `ip -d addr; ip rule; ip route; nft list ruleset
			for i in $(wg show interfaces); do
				for f in public-key listen-port fwmark peers endpoints allowed-ips persistent-keepalive; do
					wg show $i $f
				done
			done
			sha256sum /etc/wireguard/* /etc/bird/* /etc/sysctl.d/* 2>/dev/null; sysctl net.ipv4.ip_forward`)
	}
	return text
}

func (n *network) sessions() map[string]map[string]time.Time {
	all := map[string]map[string]time.Time{}
	for _, r := range n.routers() {
		all[r.name] = r.sessions()
	}
	return all
}

// One tunnel's path drops everything, in silence. BFD notices, and the third
// site carries the traffic.
func (n *network) testFailover(t *testing.T) {
	gap := n.stream(n.office, n.aws)
	time.Sleep(time.Second)
	n.cut(n.office, n.aws)
	began := time.Now()
	require.Eventually(t, func() bool {
		return n.via(n.office, n.aws) == "wg1" && n.via(n.aws, n.office) == "wg3"
	}, 2*time.Minute, 50*time.Millisecond,
		"traffic does not go around by azure")
	moved := time.Since(began)
	n.office.reaches(n.aws)
	lost := gap()
	t.Logf("path of wg2 dropped: routes moved after %s, ping lost %s", moved.Round(10*time.Millisecond), lost)
	assert.Less(t, lost, 15*time.Second, "BFD did not notice: the hold time is 30 s")
	n.mend(n.office, n.aws)
	t.Logf("path back: healthy after %s", n.healthy(4*time.Minute))
	assert.Equal(t, "wg2", n.via(n.office, n.aws))
}

// 20 ms, jitter and 1 % loss each way for 30 s must not take a session down.
func (n *network) testBadLines(t *testing.T) {
	before := n.sessions()
	for _, r := range n.routers() {
		r.run(strings.Fields("tc qdisc add dev eth0 root netem delay 20ms 5ms loss 1%")...)
	}
	gap := n.stream(n.office, n.aws)
	time.Sleep(30 * time.Second)
	lost := gap()
	for _, r := range n.routers() {
		r.steady(t, before[r.name])
		r.run("tc", "qdisc", "del", "dev", "eth0", "root")
	}
	t.Logf("30 s of 20 ms, jitter 5 ms and 1 %% loss each way: 6 sessions stay up; longest gap %s", lost)
}

// The office loses power and boots with its clock an hour behind. WireGuard
// refuses handshakes that are older than the last one, so the others, who
// remember, must be the ones to call.
func (n *network) testClock(t *testing.T) {
	r := n.office
	r.kill()
	for _, tunnel := range []string{"wg1", "wg2"} {
		r.run("ip", "link", "del", tunnel)
	}
	r.run("nft", "flush", "ruleset")
	host(t, "date", "-s", "-1 hour")
	began := time.Now() // and Go's clock for this does not go back
	for _, tunnel := range []string{"wg1", "wg2"} {
		r.run("wg-quick", "up", tunnel)
	}
	r.start()
	result := must.Get(r.module("wg_tunnel", n.tunnels(r)))(t)
	assert.Equal(t, false, result["changed"],
		"what wg-quick brings up from our files is what we want: %v", result["done"])
	up := map[string]time.Duration{}
	require.Eventually(t, func() bool {
		for _, line := range strings.Split(strings.TrimSpace(r.run("wg", "show", "all", "latest-handshakes")), "\n") {
			if f := strings.Fields(line); f[2] != "0" && up[f[0]] == 0 {
				up[f[0]] = time.Since(began).Round(100 * time.Millisecond)
			}
		}
		return len(up) == 2
	}, 2*time.Minute, 100*time.Millisecond, "tunnels do not come up: %v", up)
	n.healthy(4 * time.Minute)
	all := time.Since(began).Round(100 * time.Millisecond)
	t.Logf("clock an hour behind: handshakes after %v, healthy after %s", up, all)
	// 16 s on a quiet machine; emulated and busy it takes twice that
}

// via is the interface by which a sends to the site of b.
func (n *network) via(a, b *router) string {
	_, rest, _ := strings.Cut(a.run("ip", "route", "get", b.address(), "from", a.address()), " dev ")
	name, _, _ := strings.Cut(rest, " ")
	return name
}

// cut drops what goes between the endpoints of a and b, mend lets it pass.
func (n *network) cut(a, b *router) {
	for _, end := range [][2]*router{{a, b}, {b, a}} {
		end[0].run("nft",
			"add table inet cut; add chain inet cut in { type filter hook input priority 0; }; "+
				"add rule inet cut in ip saddr "+end[1].endpoint()+" drop")
	}
}

func (n *network) mend(a, b *router) {
	a.run("nft", "delete table inet cut")
	b.run("nft", "delete table inet cut")
}

// stream pings from site to site until what it returns is called, which tells
// the longest time without an answer.
func (n *network) stream(a, b *router) func() time.Duration {
	const pause = 50 * time.Millisecond
	n.t.Helper()
	file := must.Get(os.CreateTemp("", "ping"))(n.t)
	cmd := a.command("ping", "-n", "-i", fmt.Sprint(pause.Seconds()), "-I", a.address(), b.address())
	cmd.Stdout = file
	require.NoError(n.t, cmd.Start())
	return func() time.Duration {
		require.NoError(n.t, cmd.Process.Signal(syscall.SIGINT))
		var exit *exec.ExitError
		if err := cmd.Wait(); err != nil {
			require.ErrorAs(n.t, err, &exit)
		}
		text := must.Get(os.ReadFile(file.Name()))(n.t)
		last, longest, answers := 0, 0, regexp.MustCompile(`icmp_seq=(\d+) ttl`).FindAllStringSubmatch(string(text), -1)
		require.NotEmpty(n.t, answers, "%s", text)
		for _, a := range answers {
			seq, _ := strconv.Atoi(a[1])
			longest, last = max(longest, seq-last-1), max(last, seq)
		}
		return time.Duration(longest) * pause
	}
}
