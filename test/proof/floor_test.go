//go:build lab

package proof_test

import (
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
)

// floorRounds is how often each case is tried: 20 for docs/runs/floor.txt.
func floorRounds(t *testing.T) int {
	t.Helper()
	text := os.Getenv("WGMESH_FLOOR_ROUNDS")
	if text == "" {
		return 2
	}
	n := must.Get(strconv.Atoi(text))(t, "WGMESH_FLOOR_ROUNDS")
	return n
}

// sender is the node whose packets the victim forwards.
const sender = "node-one-a"

// TestFloor ends the BIRD of a router in every way, again and again, while a node of its site sends
// to the two other sites without a pause. What the router gives back to its site's gateway for
// another site is counted on the gateway: this is what would leave unencrypted. It is not a packet.
func TestFloor(t *testing.T) {
	l := up(t, "floor", "test/proof/testdata/reboot.yml")
	l.mesh(t)
	l.in(t, victim,
		`! grep -q unreachable /etc/bird/bird.conf; [ "$(ip route show proto 157 | grep -c unreachable)" = 2 ]
		systemctl is-enabled wgmesh-floor; systemctl is-active wgmesh-floor`)
	// Below 10 ms a ping polls without a pause, so it takes several.
	l.in(t, sender, `for n in 1 2 3 4; do for to in 10.1.1.10 10.2.1.10; do
		ping -q -i 0.01 $to >/dev/null 2>&1 & echo $! >> /run/pings; done; done`)
	t.Cleanup(func() { l.in(t, sender, "kill $(cat /run/pings)") })
	arrives := `ping -q -c 5 -W 1 -i 0.05 10.1.1.10 && ping -q -c 5 -W 1 -i 0.05 10.2.1.10`
	l.waitFor(t, sender, arrives)

	steps := []struct {
		name, end, begin string
	}{
		{"stopped", "systemctl stop bird; sleep 0.5", "systemctl start bird"},
		{"killed", "kill -9 $(systemctl show -p MainPID --value bird); sleep 0.5", ""},
		{"upgraded", "dpkg -i --force-confold /var/cache/apt/archives/bird2_*.deb", ""},
		{
			"both configurations damaged",
			`cd /etc/bird; cp -p bird.conf bird.conf.good /root; truncate -s 99 bird.conf; truncate -s 88 bird.conf.good
			! systemctl restart bird || exit 1; sleep 0.5`, "cp -p /root/bird.conf /root/bird.conf.good " +
				"/etc/bird; systemctl reset-failed bird; systemctl start bird",
		},
	}
	leaks := l.leaks(t)
	for _, step := range steps {
		ok := t.Run(step.name, func(t *testing.T) {
			for n := range floorRounds(t) {
				l.in(t, victim, step.end)
				if step.begin != "" {
					l.in(t, victim, step.begin)
				}
				l.waitFor(t, victim, whole(2))
				l.waitFor(t, sender, arrives)
				require.Zero(t, leaks(t), "round %d: packets for other sites left by the outer interface", n+1)
			}
			t.Logf("%d rounds, no packet left", floorRounds(t))
		})
		if !ok {
			t.FailNow()
		}
	}
	ok := t.Run("at boot, BIRD 2 s late", func(t *testing.T) {
		l.in(t, victim, `mkdir -p /etc/systemd/system/bird.service.d
			printf '[Service]\nExecStartPre=/bin/sleep 2\n' > /etc/systemd/system/bird.service.d/10-late.conf`)
		for n := range floorRounds(t) {
			l.tool(t, "stop", victim)
			l.tool(t, "start", victim)
			l.waitFor(t, victim, whole(2))
			l.waitFor(t, sender, arrives)
			require.Zero(t, leaks(t), "round %d: packets for other sites left by the outer interface", n+1)
		}
		l.in(t, victim, `at() { systemctl show -p "$2" --value "$1"; }
			[ "$(at wgmesh-floor ExecMainExitTimestampMonotonic)" -le \
				"$(at systemd-sysctl ExecMainStartTimestampMonotonic)" ]
			! journalctl -q -b --no-pager | grep -i 'ordering cycle' || exit 1
			rm /etc/systemd/system/bird.service.d/10-late.conf; systemctl daemon-reload`)
		t.Logf("%d rounds, no packet left", floorRounds(t))
	})
	require.True(t, ok)

	t.Run("others", func(t *testing.T) { survives(t, l, leaks) })
	t.Run("a run mends what was flushed", func(t *testing.T) {
		l.in(t, victim, "nft flush ruleset")
		_, out := l.red(t, "status", "--limit", victim)
		assert.Contains(t, out, "wgmesh_metadata is not loaded")
		assert.Equal(t, []string{victim + " (2)"}, l.mesh(t).changed(), "the tables, and the guard that is confirmed")
		l.in(t, victim, "nft list table inet wgmesh && nft list table inet wgmesh_metadata")
		assert.Empty(t, l.mesh(t).changed())
	})
	t.Run("a missing floor is named, and packets leave then", func(t *testing.T) {
		l.in(t, victim, "ip route flush proto 157; systemctl stop bird; sleep 0.5; systemctl start bird")
		assert.Positive(t, leaks(t), "nothing is counted, so the test shows nothing")
		l.waitFor(t, victim, whole(2))
		_, out := l.red(t, "status", "--limit", victim)
		assert.Contains(t, flat(out), "the floor is missing for 10.1.0.0/16, 10.1.1.0/24, 10.2.0.0/16 and 1 more")
		assert.Equal(t, []string{victim + " (2)"}, l.mesh(t).changed(), "the floor, and the guard that is confirmed")
	})
	t.Run("with mesh_unreachable false nothing of it is left", func(t *testing.T) {
		assert.Len(t, l.mesh(t, "-e", "mesh_unreachable=false").changed(), 3)
		l.in(t, victim,
			`[ -z "$(ip route show proto 157; ls /etc/wgmesh/floor* /etc/systemd/system/*floor* `+
				`/etc/systemd/system/*/*floor* /etc/systemd/networkd.conf.d/* 2>/dev/null)" ]`)
	})
}

// leaks counts what the victim has given its site's gateway for the other sites, from now on.
func (l lab) leaks(t *testing.T) func(*testing.T) int {
	t.Helper()
	ns := "wgmesh-" + l.name + ".site.one"
	nft := func(t *testing.T, input string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "ip", append([]string{"netns", "exec", ns, "nft"}, args...)...)
		cmd.Stdin = strings.NewReader(input)
		return must.Run(t, cmd)
	}
	nft(t, `table inet leak {
	counter left {}
	chain in { type filter hook prerouting priority -300; iifname "`+victim+`" ip daddr { 10.1.0.0/16, `+
		`10.2.0.0/16 } counter name left; }
}`, "-f", "-")
	return func(t *testing.T) int {
		t.Helper()
		m := regexp.MustCompile(`packets (\d+) bytes`).FindStringSubmatch(
			nft(t, "", "list", "counters", "table", "inet", "leak"))
		require.NotNil(t, m)
		n := must.Get(strconv.Atoi(m[1]))(t)
		return n
	}
}
