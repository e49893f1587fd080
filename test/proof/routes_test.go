//go:build lab

package proof_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/plan"
)

// TestRoutes has nodes whose packets go where a route table of EC2 says. The
// table's router dies, and they go through the router of the other zone. The steps
// build on each other, so the first that fails ends the test.
func TestRoutes(t *testing.T) {
	l := up(t, "routes", "test/proof/testdata/routes.yml")
	cloud := newEC2(t, l)
	l.mesh(t)
	for _, step := range []struct {
		name string
		run  func(*testing.T, lab, *ec2)
	}{
		{"in check mode nothing changes, here or in the cloud", checkRoutes},
		{"each zone's table points at its router, and the nodes reach the office", setRoutes},
		{"a router dies: its zone goes on through the other one", loseRouter},
		{"it comes back and takes its table again, without a gap", regainRouter},
		{
			"both are well and do not see each other, the API is down: no packet is lost, and each says it once",
			splitBrain,
		},
		{"a start, an end and another run change nothing", changeNothing},
		{"a router is drained, reboots and is undrained: no packet is lost, no session ends", drainReboot},
		{"one takes new private keys and the other one is upgraded: no packet is lost", rotateUpgrade},
		{"routers without route tables lose the daemon, and the tables stay as they are", leaveRoutes},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.run(t, l, cloud) }) {
			for _, r := range []string{"aws-1", "aws-2"} {
				out, _ := l.try(t, "exec", r, "journalctl -q --no-pager -u wgmesh-failover | tail -30")
				t.Logf("%s:\n%s", r, out)
			}
			t.FailNow()
		}
	}
}

func checkRoutes(t *testing.T, l lab, cloud *ec2) {
	before := l.states(t)
	_, out := l.green(t, "routes", "--check", "--diff")
	assert.Contains(t, out, "eni-aws-1", "the diff does not name what a real run changes")
	l.unchanged(t, before)
	assert.Zero(t, cloud.writes(time.Time{}))
}

func setRoutes(t *testing.T, l lab, cloud *ec2) {
	began := time.Now()
	l.green(t, "routes")
	assert.Equal(t, "aws-1", cloud.holder("rtb-0a"))
	assert.Equal(t, "aws-2", cloud.holder("rtb-0c"))
	assert.Equal(t, 2, cloud.writes(time.Time{}))
	l.allPing(t)
	assert.Empty(t, l.in(t, "office-1", "ls /usr/local/bin/wgmesh-cloud /etc/wgmesh/failover.json 2>/dev/null; true"))
	l.waitSaid(t, "aws-1", "other sites are in reach", began)
	l.waitSaid(t, "aws-2", "other sites are in reach", began)
}

func loseRouter(t *testing.T, l lab, cloud *ec2) {
	for try := 1; ; try++ {
		spills := l.spills(t, "aws-2", "office-1")
		theirs, ours := l.zones(t)
		began := time.Now()
		l.tool(t, "stop", "aws-1")
		l.waitSaid(t, "aws-2", "aws-1 is down: rtb-0a: ", began)
		theirs.stop(t)
		ours.stop(t)
		fell := append(l.flaps(t, began, "aws-2", "office-1"), l.spilled(t, spills, ours)...)
		if onceMore(t, try, fell) {
			l.tool(t, "start", "aws-1")
			cloud.waitAtRest()
			continue
		}
		from, to := theirs.gap(t)
		gap := to - from
		var set float64
		for _, c := range cloud.since(began) {
			if c.writes {
				set = float64(c.at.UnixMicro()) / 1e6
			}
		}
		down := l.said(t, "aws-2", "aws-1 is down: taking rtb-0a", began)
		bfd := l.bfdDown(t, "aws-2", "wg3")
		set = max(set, down) // the journal may note a line after what it says was done
		t.Logf("zone a without its router: %.2f s (BFD %.2f, decision %.2f, API %.2f, route %.2f)", gap,
			bfd-from, down-bfd, set-down, to-set)
		assert.Less(t, gap, holdTime.Seconds()/2, "BFD did not notice")
		assert.Greater(t, gap, 0.3, "nobody noticed")
		assert.Equal(t, "aws-2", cloud.holder("rtb-0a"))
		assert.Equal(t, 1, cloud.writes(began), "one route was moved")
		assert.Zero(t, ours.lost(t), "zone c lost packets")
		return
	}
}

func regainRouter(t *testing.T, l lab, cloud *ec2) {
	for try := 1; ; try++ {
		spills := l.spills(t, "aws-2", "office-1")
		theirs, ours := l.zones(t)
		spills["aws-1"] = 0 // it is off
		began := time.Now()
		l.tool(t, "start", "aws-1")
		l.waitSaid(t, "aws-1", "well for 5 s: rtb-0a: ", began)
		back := l.said(t, "aws-1", "well for 5 s: rtb-0a: ", began)
		well := l.said(t, "aws-1", "other sites are in reach", began)
		time.Sleep(time.Second)
		theirs.stop(t)
		ours.stop(t)
		up := time.UnixMicro(int64(1e6 * (well + 1))) // BIRD is not exact to the second
		fell := append(l.flaps(t, began, "aws-2", "office-1"), l.flaps(t, up, "aws-1", "office-1")...)
		fell = append(fell, l.spilled(t, spills, theirs, ours)...)
		if onceMore(t, try, fell) {
			began = time.Now()
			l.tool(t, "stop", "aws-1")
			l.waitSaid(t, "aws-2", "aws-1 is down: rtb-0a: ", began)
			continue
		}
		t.Logf("aws-1 has its table %.1f s after power on, %.1f s after it had a session; "+
			"of a packet every 20 ms zone a lost %d, zone c %d",
			back-float64(began.UnixMicro())/1e6, back-well, theirs.lost(t), ours.lost(t))
		assert.Greater(t, back, well)
		assert.Equal(t, "aws-1", cloud.holder("rtb-0a"))
		assert.Equal(t, 1, cloud.writes(began))
		assert.Zero(t, theirs.lost(t), "zone a lost packets")
		assert.Zero(t, ours.lost(t), "zone c lost packets")
		return
	}
}

func splitBrain(t *testing.T, l lab, cloud *ec2) {
	for try := 1; ; try++ {
		theirs, ours := l.zones(t)
		began, spills := time.Now(), l.spills(t, "aws-1", "aws-2", "office-1")
		cloud.off()
		l.tool(t, "cut", "aws-1", "aws-2")
		l.waitSaid(t, "aws-1", "aws-2 is down, but rtb-0c: ec2:DescribeRouteTables: ", began)
		time.Sleep(500 * time.Millisecond)
		assert.Regexp(t, "^rtb-0[ac]: ec2:DescribeRouteTables: ", l.in(t, "aws-1", "cat "+plan.FailoverFails))
		cloud.on()
		// Each takes the other's table. Only aws-1 is known to have failed first.
		l.waitSaid(t, "aws-1", "rtb-0c.* (.*attempt [0-9]", began)
		l.waitSaid(t, "aws-2", "aws-1 is down: rtb-0a: ", began)
		failures := l.in(t, "aws-1", saidSince(began)+"grep -c 'but rtb-0c'")
		l.waitFor(t, "aws-1", "! grep -q . "+plan.FailoverFails)
		cloud.waitAtRest()
		fell := append(l.flaps(t, began, "aws-1", "office-1"), l.flaps(t, began, "aws-2", "office-1")...)
		l.tool(t, "join", "aws-1", "aws-2")
		theirs.stop(t)
		ours.stop(t)
		if onceMore(t, try, append(fell, l.spilled(t, spills, theirs, ours)...)) {
			l.waitFor(t, "aws-1", whole(2))
			l.waitFor(t, "aws-2", whole(2))
			cloud.waitAtRest()
			continue
		}
		t.Logf("split brain: %d moves, %d calls; lost in zone a %d, in zone c %d", cloud.writes(began),
			len(cloud.since(began)), theirs.lost(t), ours.lost(t))
		assert.Equal(t, "1", failures)
		assert.LessOrEqual(t, cloud.writes(began), 4)
		assert.Zero(t, theirs.lost(t)+ours.lost(t))
		return
	}
}

func changeNothing(t *testing.T, l lab, cloud *ec2) {
	var began time.Time
	for try := 1; ; try++ {
		l.waitFor(t, "aws-1", whole(2))
		l.waitFor(t, "aws-2", whole(2))
		cloud.waitAtRest()
		// A run that was cut off. The kernel's time of files goes by its tick, so not at once.
		l.in(t, "aws-2", "systemctl restart wgmesh-failover; sleep 0.2; touch /etc/wgmesh/failover.json")
		before := l.states(t)
		began = time.Now()
		l.in(t, "aws-1", "systemctl stop wgmesh-failover")
		counts, out, err := l.playbook(t, "routes")
		after := l.onRouters(t, state)
		if onceMore(t, try, l.flaps(t, began, l.routers...)) {
			continue
		}
		require.NoError(t, err, tail(out))
		assert.ElementsMatch(t, []string{"aws-1 (1)", "aws-2 (1)"}, counts.changed(),
			"it starts what was stopped or is older, and nothing else")
		same(t, before, after)
		assert.Zero(t, cloud.writes(began))
		break
	}
	counts, _ := l.green(t, "routes")
	assert.Empty(t, counts.changed(), "nothing is stopped, and nothing older than its files")
	assert.Equal(t,
		"rtb-0a of aws-1: 10.0.0.0/16 goes to eni-aws-1\nrtb-0c of aws-2: 10.0.0.0/16 goes to eni-aws-2, this router",
		l.in(t, "aws-2", "wgmesh-cloud failover --show"))
	l.waitSaid(t, "aws-1", "other sites are in reach", began)
	cpu := l.in(t, "aws-1",
		"sleep 2; p=$(systemctl show -P MainPID wgmesh-failover); awk '{print $14 + $15}' /proc/$p/stat; "+
			"awk '/VmRSS/ {print $2}' /proc/$p/status; ps -o etimes= -p $p")
	var ticks, memory, seconds float64
	must.Get(fmt.Sscan(cpu, &ticks, &memory, &seconds))(t, cpu)
	t.Logf("a daemon: %.0f ms of processor time in its first %.0f s, %.0f MB of memory", 10*ticks, seconds, memory/1024)
}

func leaveRoutes(t *testing.T, l lab, cloud *ec2) {
	began := time.Now()
	counts, _ := l.green(t, "routes", "-e", `{"mesh_route_tables": []}`)
	assert.ElementsMatch(t, []string{"aws-1 (1)", "aws-2 (1)"}, counts.changed())
	assert.Equal(t, "inactive", l.in(t, "aws-1", `systemctl is-active wgmesh-failover
		ls /etc/wgmesh/failover.json /etc/systemd/system/wgmesh-failover.service \
			/usr/local/bin/wgmesh-cloud 2>/dev/null; true`))
	assert.Zero(t, cloud.writes(began))
}

// zones begins a stream to the office from each zone.
func (l lab) zones(t *testing.T) (a, c *stream) {
	t.Helper()
	for _, node := range []string{"node-aws-a", "node-aws-c"} {
		l.in(t, node, "true") // opens the connection
	}
	return l.stream(t, "node-aws-a", "node-office-hq"), l.stream(t, "node-aws-c", "node-office-hq")
}

// waitAtRest waits until each table is with its own router.
func (e *ec2) waitAtRest() {
	e.t.Helper()
	require.Eventually(e.t, func() bool { return e.holder("rtb-0a") == "aws-1" && e.holder("rtb-0c") == "aws-2" },
		patience, 50*time.Millisecond, "the tables came not to rest")
}

// saidSince is a pipe of what the daemon of a router has said since a moment.
func saidSince(moment time.Time) string {
	return fmt.Sprintf("journalctl -q --no-pager -o short-unix --since @%.6f -u wgmesh-failover | ",
		float64(moment.UnixMicro())/1e6)
}

// waitSaid waits until the daemon of a router has said a line like that since a moment.
func (l lab) waitSaid(t *testing.T, router, words string, since time.Time) {
	t.Helper()
	l.waitFor(t, router, saidSince(since)+"grep -q '"+words+"'")
}

// said waits for a line and is when it was said first since a moment, in seconds of the clock.
func (l lab) said(t *testing.T, router, words string, since time.Time) float64 {
	t.Helper()
	l.waitSaid(t, router, words, since)
	out := l.in(t, router, saidSince(since)+"grep -m 1 '"+words+"'")
	return must.Get(strconv.ParseFloat(strings.Fields(out)[0], 64))(t, out)
}

// bfdDown is when BIRD lost its session on an interface.
func (l lab) bfdDown(t *testing.T, router, tunnel string) float64 {
	t.Helper()
	out := l.in(t, router,
		"date -u +%F; birdc show bfd sessions | awk '$2 == \""+tunnel+"\" && $3 == \"Down\" {print $4}'")
	return float64(must.Get(time.Parse("2006-01-02\n15:04:05.000", out))(t).UnixMilli()) / 1e3
}
