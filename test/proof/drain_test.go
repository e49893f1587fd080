//go:build lab

package proof_test

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// drainReboot has aws-1 drained, cut off its power and undrained while the sites talk by
// 200 packets a second each way, and each node of AWS holds a TCP session with the office.
// `make drain` does it WGMESH_DRAINS times.
func drainReboot(t *testing.T, l lab, cloud *ec2) {
	rounds, _ := strconv.Atoi(os.Getenv("WGMESH_DRAINS"))
	rounds = max(rounds, 1)
	refuseDrains(t, l)
	refuseUndrain(t, l)
	drainElsewhere(t, l)
	nodes := []string{"node-aws-a", "node-aws-c"}
	for i, node := range nodes {
		port := strconv.Itoa(5300 + i)
		l.in(t, "node-office-hq", "iperf3 -s -D -1 -p "+port)
		l.in(t, node,
			"iperf3 -c "+l.addresses(t)["node-office-hq"].Address+" -p "+port+
				" -t 86400 -b 64K -l 512 >/run/held.log 2>&1 </dev/null & echo $! >/run/held.pid")
	}
	sent, lost := 0, 0
	for range rounds {
		streams := l.drainFlow(t, cloud, nodes, rounds == 1)
		for _, s := range streams {
			sent, lost = sent+len(s.answers(t))+s.lost(t), lost+s.lost(t)
			assert.Zero(t, s.lost(t), s.name)
		}
	}
	ended := 0
	for _, node := range nodes {
		if out, err := l.try(t, "exec", node, "kill -0 $(cat /run/held.pid) && kill $(cat /run/held.pid)"); err != nil {
			ended++
			t.Error(node, out, l.in(t, node, "tail -n 3 /run/held.log"))
		}
	}
	t.Logf("%d x drain, reboot, undrain: of %d packets %d lost, of %d TCP sessions %d ended",
		rounds, sent, lost, len(nodes), ended)
}

// drainFlow is one round under traffic, and has another one where a session fell.
func (l lab) drainFlow(t *testing.T, cloud *ec2, nodes []string, all bool) (streams []*stream) {
	t.Helper()
	for try := 1; ; try++ {
		streams = nil
		for _, node := range nodes {
			streams = append(streams, l.flow(t, node, "node-office-hq")...)
		}
		began := time.Now()
		fell := drainOnce(t, l, cloud, all)
		lost := 0
		for _, s := range streams {
			s.stop(t)
			lost += s.lost(t)
		}
		fell = append(fell, l.flaps(t, began, "aws-2", "office-1")...)
		if lost == 0 || !onceMore(t, try, fell) {
			return streams
		}
	}
}

// refuseDrains asks for what cannot be, and in check mode. Nothing changes.
func refuseDrains(t *testing.T, l lab) {
	before := l.states(t)
	for _, tt := range []struct{ limit, words string }{
		{"office-1", "office-1 is not drained: it is the only router of its site"},
		{"aws-1,aws-2", "aws-1, aws-2 are of one site: name one router of a site with --limit"},
	} {
		counts, out := l.red(t, "drain", "--limit", tt.limit)
		assert.Contains(t, out, tt.words)
		assert.Empty(t, counts.changed())
	}
	mend := l.checkSource(t, "aws-2")
	began := time.Now()
	counts, out, err := l.playbook(t, "drain", "--limit", "aws-1")
	mend()
	require.Error(t, err)
	t.Logf("beside a router whose VM drops what it forwards: refused in %.1f s", time.Since(began).Seconds())
	assert.Contains(t, out,
		"aws-1 is not drained: aws-2 of its site does not forward (office-1: no answer from 10.2.1.")
	assert.Empty(t, counts.changed())
	_, out = l.green(t, "drain", "--limit", "aws-1", "--check", "--diff")
	assert.Contains(t, out, "+define wgmesh_drained = \"20")
	refuseTables(t, l)
	l.unchanged(t, before)
}

// refuseTables asks for a drain beside a router that takes no table, and has the plan be another one.
func refuseTables(t *testing.T, l lab) {
	l.in(t, "aws-1", "systemctl stop wgmesh-failover")
	began := time.Now()
	counts, out := l.red(t, "drain", "--limit", "aws-2")
	l.in(t, "aws-1", "systemctl start wgmesh-failover")
	assert.Contains(t, out, "aws-2 is not drained: aws-1 of its site: wgmesh-failover does not run: "+
		"run wgmesh.router.routes first")
	assert.Empty(t, counts.changed())
	l.waitSaid(t, "aws-1", "other sites are in reach", began)
	_, out, _ = l.playbook(t, "status", "-e", "mesh_bfd=fast")
	assert.Contains(t, flat(out),
		"aws-1, aws-2: wgmesh-failover watches an older plan (BFD's interval): run wgmesh.router.routes")
}

// refuseUndrain asks for one whose VM drops what it forwards. No traffic flows meanwhile: what
// the cloud is told is on the way of all packets.
func refuseUndrain(t *testing.T, l lab) {
	l.in(t, "aws-1", `cp -p /etc/bird/bird.conf /run/bird.was
		sed -i 's/^define wgmesh_drained = ""/define wgmesh_drained = "2026-01-01T00:00:00Z"/' /etc/bird/bird.conf
		birdc configure`)
	mend := l.checkSource(t, "aws-1")
	counts, out, err := l.playbook(t, "undrain", "--limit", "aws-1")
	mend()
	require.Error(t, err)
	assert.Contains(t, out, "aws-1 stays drained: office-1: no answer from 10.2.2.")
	assert.Empty(t, counts.changed())
	l.in(t, "aws-1", "mv /run/bird.was /etc/bird/bird.conf; systemctl reload bird")
}

// checkSource has the cloud check where packets of a router are from: its VM forwards nothing
// into its site, and nothing of the router's own shows it.
func (l lab) checkSource(t *testing.T, router string) (mend func()) {
	rule := "ether saddr " + l.in(t, router, "cat /sys/class/net/eth0/address") + " ip saddr 10.0.0.0/16 drop"
	l.at(t, "site:aws", "nft 'table inet check { chain f { type filter hook forward priority 0; "+rule+"; }; }'")
	return func() { l.at(t, "site:aws", "nft delete table inet check") }
}

// drainElsewhere drains the only router of another site. Both routers of this site pass on
// what it announces, with its GRACEFUL_SHUTDOWN, and neither is drained for that.
func drainElsewhere(t *testing.T, l lab) {
	began := time.Now()
	l.in(t, "office-1", `cp -p /etc/bird/bird.conf /run/bird.was
		sed -i 's/^define wgmesh_drained = ""/define wgmesh_drained = "2026-01-01T00:00:00Z"/' /etc/bird/bird.conf
		birdc configure`)
	for router, other := range map[string]string{"aws-1": "aws_2", "aws-2": "aws_1"} {
		l.waitFor(t, router, "birdc show route all protocol "+other+" | grep -q '(65535,0)'")
	}
	time.Sleep(time.Second) // the daemon looks every 100 ms
	for _, router := range []string{"aws-1", "aws-2"} {
		assert.Empty(t, l.in(t, router, saidSince(began)+"grep drained || true"), router)
	}
	l.in(t, "office-1", "mv /run/bird.was /etc/bird/bird.conf; systemctl reload bird")
	for router, other := range map[string]string{"aws-1": "aws_2", "aws-2": "aws_1"} {
		l.waitFor(t, router, "! birdc show route all protocol "+other+" | grep -q '(65535,0)'")
	}
}

// drainOnce is one round, and with all it also asks what else leaves the drain alone. It
// returns the sessions of the router that fell although it was on.
func drainOnce(t *testing.T, l lab, cloud *ec2, all bool) (fell []string) {
	began := time.Now()
	_, out := l.green(t, "drain", "--limit", "aws-1", "-e", `{"mesh_drain_why": "a new kernel"}`)
	assert.Contains(t, out,
		"aws-1 is drained: no kernel of 2 other routers sends anything to it, and its own forwards 0 packets/s")
	assert.Equal(t, "aws-2", cloud.holder("rtb-0a"))
	l.said(t, "aws-2", "aws-1 is drained: taking rtb-0a", began)
	if all {
		counts, _ := l.green(t, "drain", "--limit", "aws-1")
		assert.Empty(t, counts.changed(), "it is drained already")
		_, out := l.red(t, "drain", "--limit", "aws-2")
		assert.Contains(t, out, "aws-2 is not drained: aws-1 of its site is drained already: undrain that one first")
		counts, out = l.green(t, "mesh", "-e", "mesh_settle=60")
		assert.Empty(t, counts.changed(), "the mesh play leaves it drained")
		assert.Regexp(t, `aws-1: drained for .* \(a new kernel\)`, out)
		l.green(t, "routes")
		assert.Equal(t, "aws-2", cloud.holder("rtb-0a"), "the routes play leaves it drained")
	}
	fell = l.flaps(t, began, "aws-1", "office-1")
	l.tool(t, "stop", "aws-1")
	l.tool(t, "start", "aws-1")
	l.waitFor(t, "aws-1", whole(2))
	up := time.Now()
	assert.Contains(t, l.in(t, "aws-1", "birdc eval wgmesh_drained"), "Z a new kernel")
	assert.Equal(t, "aws-2", cloud.holder("rtb-0a"), "it took its table although it is drained")
	counts, _ := l.green(t, "undrain", "--limit", "aws-1")
	assert.Equal(t, []string{"aws-1 (2)"}, counts.changed())
	cloud.waitAtRest()
	return append(fell, l.flaps(t, up, "aws-1", "office-1")...)
}
