//go:build lab

package proof_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMesh takes one lab through its life. The steps build on each other, so
// the first that fails ends the test.
func TestMesh(t *testing.T) {
	l := up(t, "proof", "examples/field-case/inventory.yml", "test/proof/testdata/hosts.yml")
	l.closeTunnels(t) // all of this works with tunnels that are; those of other labs are open
	l.steps(t, []step{
		{"check on a fresh lab changes nothing and names what it would do", checkFresh},
		{"a mesh that cannot work is refused with every problem", refuseBadMesh},
		{"three routers of seven: their tunnels are up, the run says what is missing", halfConverged},
		{"one router of a half-converged mesh disturbs nobody", limitDisturbsNobody},
		{"the whole mesh comes up", converge},
		{"a second run changes nothing", secondRun},
		{"out of a tunnel comes for a router only what the mesh needs", tunnelsClosed},
		{"check on a converged lab changes nothing", checkConverged},
		{"what the tunnels cost is printed side by side", measure},
		{"one router of a converged mesh disturbs nobody", limitDisturbsNobody},
		{"what was broken by hand is mended alone", mend},
		{"both sites prefer the router of the destination's zone", zones},
		{"a stopped router costs the others nothing but a gap", stopRouter},
		{"a rebooted router comes back without a controller", reboot},
		{"two sites without a tunnel talk through a third", transit},
		{"a killed run is finished by the next", killedRun},
		{"no secret is anywhere it should not be", canary},
		{"a router that is made absent leaves nothing with the others", absent},
	})
}

func checkFresh(t *testing.T, l lab) {
	before := l.states(t)
	for r, text := range before {
		require.Contains(t, text, "/etc/hostname", "%s: its state was not read", r)
	}
	_, out := l.green(t, "mesh", "--check", "--diff")
	l.unchanged(t, before)
	for _, word := range []string{"wg20", "router id", "ip_forward"} {
		assert.Contains(t, out, word, "the diff does not name what a real run changes")
	}
}

func refuseBadMesh(t *testing.T, l lab) {
	before := l.states(t)
	_, out := l.red(t, "mesh", "-e", `{"mesh_port_base": 65530, "mesh_link_pool": "10.1.0.0/24"}`)
	rows := causes(t, out)
	for _, problem := range []string{"65551", "overlaps network 10.1.0.0/16 of site azure", "too small"} {
		assert.Contains(t, said(rows), problem)
		assert.NotContains(t, strings.Split(out, tableHead)[0], problem,
			"a router said it, and the table says it again")
	}
	for _, r := range rows {
		assert.Equal(t, "the mesh", r.routers)
	}
	l.unchanged(t, before)
}

func halfConverged(t *testing.T, l lab) {
	counts, out, err := l.play(t, "--limit", "office-1,azure-1,aws-1")
	require.Error(t, err, "a run that leaves tunnels down must not end green")
	assert.Regexp(t, `gcp-1.*: not in this run`, said(causes(t, out)))
	require.Len(t, counts, 3)
	for _, w := range []string{"wg2", "wg7"} { // 1-3 and 1-5
		l.waitFor(t, "office-1", "wg show "+w+" latest-handshakes | grep -qv '\t0$'")
	}
	assert.Empty(t, l.in(t, "gcp-1", "ls /etc/wireguard"), "a router outside the run was touched")
}

func limitDisturbsNobody(t *testing.T, l lab) {
	before := l.sessions(t)
	_, _, _ = l.play(t, "--limit", "azure-1") // half-converged, it says so and is red
	l.undisturbed(t, before)
}

func converge(t *testing.T, l lab) {
	l.mesh(t)
	var ends int
	for _, text := range l.onRouters(t, `wg show interfaces | tr ' ' '\n' | grep -cE '^wg[0-9]+$'`) {
		var n int
		_, err := fmt.Sscan(text, &n)
		require.NoError(t, err)
		ends += n
	}
	assert.Equal(t, 42, ends, "interfaces of 21 tunnels")
	l.waitHealthy(t)
	l.allPing(t)
}

func secondRun(t *testing.T, l lab) {
	before := l.states(t)
	assert.Empty(t, l.mesh(t).changed())
	l.unchanged(t, before)
	// On a busy machine a router may be unwell for a moment, and waits.
	for range 20 {
		counts, out := l.green(t, "mesh", "-e", "mesh_settle=60")
		require.Empty(t, counts.changed())
		_, wait, _ := strings.Cut(out, "Wait for the network]")
		if wait, _, _ = strings.Cut(wait, "TASK ["); !strings.Contains(wait, "ok:") {
			return
		}
	}
	assert.Fail(t, "each of twenty runs in which nobody changed anything waited for the network")
}

func checkConverged(t *testing.T, l lab) {
	before := l.states(t)
	counts := l.mesh(t, "--check", "--diff")
	assert.Empty(t, counts.changed())
	l.unchanged(t, before)
}

// mend breaks a field on every router at once, of a tunnel of its own, and has one
// run mend them. In every command $d is that tunnel and $p its peer.
func mend(t *testing.T, l lab) {
	const newKey = "umask 077; wg %s > /run/k; wg set $d %s /run/k; rm /run/k"
	breaks := []struct{ router, tunnel, name, command string }{
		{"office-1", "wg2", "peer", "wg set $d peer $p remove"},
		{"office-2", "wg5", "private key", fmt.Sprintf(newKey, "genkey", "private-key")},
		{"azure-1", "wg9", "pre-shared key", fmt.Sprintf(newKey, "genpsk", "peer $p preshared-key")},
		{"azure-2", "wg14", "address", "ip addr del $(ip -4 -o addr show $d | awk '{print $4}') dev $d"},
		{"aws-1", "wg20", "MTU", "ip link set $d mtu 1280"},
		{"aws-2", "wg11", "endpoint", "wg set $d peer $p endpoint 203.0.113.99:9"},
		{"gcp-1", "wg16", "port", "wg set $d listen-port 50999"},
		{"azure-1", "wg9", "keepalive", "wg set $d peer $p persistent-keepalive 0"},
		{"aws-1", "wg20", "allowed IPs", "wg set $d peer $p allowed-ips 172.31.20.0/24"},
		{"office-1", "wg2", "route", "ip route del 10.2.0.0/16"}, // BIRD itself may be faster than the run
	}
	want := l.states(t)
	for len(breaks) > 0 {
		before, hosts := l.sessions(t), map[string]bool{}
		for len(breaks) > 0 && !hosts[breaks[0].router] {
			b := breaks[0]
			breaks, hosts[b.router] = breaks[1:], true
			l.in(t, b.router, "d="+b.tunnel+"; p=$(wg show $d peers); "+b.command)
			for r := range before { // both ends have its name
				delete(before[r], b.tunnel)
			}
			t.Logf("%s: broke the %s of %s", b.router, b.name, b.tunnel)
		}
		changed := l.mesh(t).changed()
		assert.GreaterOrEqual(t, len(changed), len(hosts)-1, "the run saw only what is broken on %v", changed)
		for _, host := range changed {
			name, ones, _ := strings.Cut(host, " ")
			assert.True(t, hosts[name], "%s was changed, and nobody broke it", name)
			assert.Equal(t, "(2)", ones, "%s: one field was broken, and what mended it was confirmed", name)
		}
		l.unchanged(t, want)
		l.undisturbed(t, before)
	}
}

func zones(t *testing.T, l lab) {
	// Every router of every other site hands a zone's subnet to the router of that zone.
	for _, way := range []struct{ from, network, via string }{
		{"aws-1", "10.1.1.0/24", "azure-1"},
		{"aws-1", "10.1.2.0/24", "azure-2"},
		{"aws-2", "10.1.1.0/24", "azure-1"},
		{"gcp-1", "10.2.2.0/24", "aws-2"},
		{"azure-2", "10.2.1.0/24", "aws-1"},
		{"office-2", "10.1.1.0/24", "azure-1"},
	} {
		via := l.nextRouter(t, way.from, way.network)
		for end := time.Now().Add(patience); via != way.via && time.Now().Before(end); {
			time.Sleep(time.Second) // a session may have fallen, or be up for a moment only
			via = l.nextRouter(t, way.from, way.network)
		}
		assert.Equal(t, way.via, via, "%s from %s", way.network, way.from)
	}
}

func stopRouter(t *testing.T, l lab) {
	streams := []*stream{
		l.stream(t, "node-aws-a", "node-azure-1"), // enters by the router that dies
		l.stream(t, "node-azure-1", "node-gcp-b"), // leaves by it
		l.stream(t, "node-aws-c", "node-gcp-b"),   // never sees it
	}
	time.Sleep(time.Second)
	l.tool(t, "stop", "azure-1")
	for _, s := range streams {
		gap := s.stop(t)
		t.Logf("%s: longest gap %v", s.name, gap)
		assert.Less(t, gap, holdTime/2, "%s: BFD did not notice", s.name) // 3 x 300 ms
	}
	l.allPing(t)
	l.tool(t, "start", "azure-1")
	l.waitHealthy(t)
}

func reboot(t *testing.T, l lab) {
	before := l.in(t, "aws-2", "wg show all allowed-ips | sort")
	l.tool(t, "stop", "aws-2")
	started := time.Now()
	l.tool(t, "start", "aws-2")
	l.waitHealthy(t)
	t.Logf("back in the mesh after %v", time.Since(started).Round(100*time.Millisecond))
	assert.Equal(t, before, l.in(t, "aws-2", "wg show all allowed-ips | sort"))
	l.allPing(t)
	assert.Empty(t, l.mesh(t).changed(), "a reboot left something to mend")
}

func transit(t *testing.T, l lab) {
	// What goes another way already, as just after a reboot, would not notice the cut.
	require.Eventually(t, func() bool {
		return strings.HasPrefix(l.nextRouter(t, "aws-1", "10.1.1.0/24"), "azure") &&
			strings.HasPrefix(l.nextRouter(t, "azure-1", "10.2.1.0/24"), "aws")
	}, patience, time.Second, "aws and azure do not use their own tunnels")
	s := l.stream(t, "node-aws-a", "node-azure-1")
	time.Sleep(time.Second)
	l.tool(t, "cut", "azure", "aws")
	l.waitFor(t, "aws-1", "! ip route show 10.1.1.0/24 | grep -Eq 'dev wg(9|10) '") // to azure
	gap := s.stop(t)
	t.Logf("all tunnels of two sites cut: longest gap %v", gap)
	assert.Less(t, gap, holdTime/2, "BFD did not notice")
	assert.Greater(t, gap, 200*time.Millisecond, "nobody noticed the cut")
	via := l.nextRouter(t, "aws-1", "10.1.1.0/24")
	assert.NotEmpty(t, via)
	assert.NotContains(t, via, "azure")
	l.allPing(t)
	l.tool(t, "join", "azure", "aws")
	l.waitHealthy(t)
	zones(t, l)
}

func absent(t *testing.T, l lab) {
	const gone = "test/proof/testdata/absent.yml"
	l.mesh(t)
	require.Contains(t, l.in(t, "azure-1", "ls /etc/wireguard"), "wg18.conf")
	l.mesh(t, "-i", gone)
	have := l.in(t, "azure-1", "ls /etc/wireguard /etc/wireguard/wgmesh-psk; wg show interfaces; birdc show protocols")
	for _, trace := range []string{"wg18", "18.psk", "gcp_1"} {
		assert.NotContains(t, have, trace)
	}
	assert.Contains(t, have, "wg9.conf", "a tunnel of the others went too")
	assert.Empty(t, l.mesh(t, "-i", gone).changed())
}

// nextRouter is the router at the other end of the tunnel that a prefix takes, if any.
func (l lab) nextRouter(t *testing.T, from, network string) string {
	t.Helper()
	return l.in(t, from, fmt.Sprintf(
		`dev=$(ip route show %s | sed -n 's/.* dev \([^ ]*\) .*/\1/p'); `+
			`[ -z "$dev" ] || sed -n 's/^# peer: //p' /etc/wireguard/$dev.conf`, network))
}

// waitFor waits until a shell command succeeds on a host.
func (l lab) waitFor(t *testing.T, host, script string) {
	t.Helper()
	require.Eventually(t, func() bool {
		_, err := l.try(t, "exec", host, script)
		return err == nil
	}, 20*time.Minute, 200*time.Millisecond, "%s: %s", host, script)
}

// waitHealthy waits, without Ansible, until every session of every router is up.
func (l lab) waitHealthy(t *testing.T) {
	t.Helper()
	for _, r := range l.routers {
		l.waitFor(t, r, whole(len(l.routers)-1))
	}
}

// sessions is what a disturbed tunnel loses: its interface, its counters and
// its handshake, by router and tunnel.
func (l lab) sessions(t *testing.T) map[string]map[string]session {
	t.Helper()
	out := map[string]map[string]session{}
	for r, text := range l.onRouters(t, `for d in $(wg show interfaces); do
		echo $d $(cat /sys/class/net/$d/ifindex) $(wg show $d latest-handshakes | cut -f2) \
			$(wg show $d transfer | cut -f2); done`) {
		out[r] = map[string]session{}
		for line := range strings.Lines(text) {
			var name string
			var s session
			if n, _ := fmt.Sscan(line, &name, &s.index, &s.handshake, &s.received); n == 4 {
				out[r][name] = s
			}
		}
	}
	return out
}

type session struct{ index, handshake, received int64 }

func (l lab) undisturbed(t *testing.T, before map[string]map[string]session) {
	t.Helper()
	after := l.sessions(t)
	for r, tunnels := range before {
		for name, was := range tunnels {
			is, ok := after[r][name]
			if !assert.True(t, ok, "%s %s is gone", r, name) {
				continue
			}
			assert.Equal(t, was.index, is.index, "%s %s was made anew", r, name)
			assert.GreaterOrEqual(t, is.received, was.received, "%s %s: its counters started again", r, name)
			assert.GreaterOrEqual(t, is.handshake, was.handshake, "%s %s lost its handshake", r, name)
		}
	}
}
