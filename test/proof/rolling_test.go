//go:build lab

package proof_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
)

// rotateUpgrade has one router of the pair take new private keys, then the only one of the other
// site, and the other one of the pair a hook, while the sites talk by 200 packets a second each way.
func rotateUpgrade(t *testing.T, l lab, cloud *ec2) {
	refuseTurns(t, l)
	key := func() string { return l.in(t, "aws-1", "wg pubkey < /etc/wireguard/wgmesh.key") }
	before := key()
	hook := filepath.Join(t.TempDir(), "hook.yml")
	must.Write(t, hook, "- ansible.builtin.raw: birdc eval wgmesh_drained >/run/turn\n", 0o600)
	var sent, lost int
	for try := 1; ; try++ {
		var fell []string
		sent, lost, fell = turnFlow(t, l, cloud, hook)
		if by := slower(); lost > 0 && by > 1.5 { // packets wait for the peers 150 ms
			fell = append(fell, fmt.Sprintf("no session, but this machine is %.1f times as slow", by))
		}
		if lost == 0 || !onceMore(t, try, fell) {
			break
		}
	}
	assert.Zero(t, lost)
	t.Logf("rotate of aws-1 and office-1, upgrade of aws-2: of %d packets %d lost", sent, lost)
	now := key()
	assert.NotEqual(t, before, now)
	assert.Contains(t, l.in(t, "office-1", "wg show all peers"), now)
	assert.NotContains(t, l.in(t, "office-1", "wg show all peers"), before)
	assert.Contains(t, l.in(t, "aws-2", "cat /run/turn"), "Z upgrade", "the hook ran while it was not drained")
	assert.Empty(t, l.mesh(t).changed())
}

// turnFlow makes these changes under traffic, and returns the sessions that fell beside.
func turnFlow(t *testing.T, l lab, cloud *ec2, hook string) (sent, lost int, fell []string) {
	t.Helper()
	var streams []*stream
	for _, node := range []string{"node-aws-a", "node-aws-c"} {
		streams = append(streams, l.flow(t, node, "node-office-hq")...)
	}
	began := time.Now()
	_, out := l.green(t, "rotate", "--limit", "aws-1", "-e", "mesh_rotate=private", "-e",
		"mesh_regenerate_keys=never", "-e", "mesh_replaced=office-1")
	assert.NotContains(t, out, "drained for", "it is not any more")
	cloud.waitAtRest()
	alone := l.in(t, "office-1", "wg pubkey < /etc/wireguard/wgmesh.key")
	l.green(t, "rotate", "--limit", "office-1", "-e", "mesh_rotate=private")
	for _, r := range []string{"aws-1", "aws-2"} {
		assert.NotContains(t, l.in(t, r, "wg show all peers"), alone)
		assert.Empty(t, l.in(t, r, "systemctl list-units --plain --no-legend 'wgmesh-handover-*'"), r)
	}
	rotated := time.Now()
	goAway(t, l)
	l.green(t, "upgrade", "--limit", "aws-2", "-e", "mesh_upgrade_hook="+hook)
	cloud.waitAtRest()
	for _, s := range streams {
		s.stop(t)
		sent, lost = sent+len(s.answers(t))+s.lost(t), lost+s.lost(t)
		if s.lost(t) > 0 {
			t.Logf("%s: %d lost", s.name, s.lost(t))
		}
	}
	fell = append(l.flaps(t, began, "aws-2", "office-1"), l.flaps(t, rotated, "aws-1", "office-1")...)
	return sent, lost, fell
}

// goAway has a hook after which aws-2 cannot be reached. The run ends there, and says how the
// router is left. Before that, it cannot be reached while it is in use: replace keeps its hook.
func goAway(t *testing.T, l lab) {
	began := time.Now()
	inside := []string{"netns", "exec", "wgmesh-" + l.name + ".host.aws-2", "nft"}
	hook := filepath.Join(t.TempDir(), "gone.yml")
	const table = "table inet gone { chain in { type filter hook input priority -300; " +
		"tcp dport 22 reject with tcp reset; }; }"
	must.Write(t, hook,
		fmt.Sprintf("- ansible.builtin.shell: ip %s '%s'\n"+
			"  delegate_to: localhost\n  become: false\n", strings.Join(inside, " "), table), 0o600)
	mend := func() {
		said, err := l.command(t, time.Minute, "ip", append(inside, "delete", "table", "inet", "gone")...)
		require.NoError(t, err, said)
	}
	said, err := l.command(t, time.Minute, "ip", append(inside, table)...)
	require.NoError(t, err, said)
	_, out, err := l.playbook(t, "replace", "--limit", "aws-2", "-e", "mesh_upgrade_hook="+hook)
	mend()
	require.Error(t, err)
	assert.Contains(t, out, "aws-2 does not answer, so it is not drained, and office-1 sends to it: mend its SSH")
	assert.NotContains(t, out, "Do what the hook says")
	_, out, err = l.playbook(t, "upgrade", "--limit", "aws-2", "-e", "mesh_upgrade_hook="+hook,
		"-e", "mesh_upgrade_wait=2")
	mend()
	require.Error(t, err)
	assert.Regexp(t, "aws-2 stays drained: (Go no further without it|Wait until it is back): ", out)
	assert.Contains(t, out, "ROUTER", "the table")
	l.waitFor(t, "aws-2", "birdc eval wgmesh_drained | grep 'Z upgrade'")
	t.Logf("a router goes away: said in %.1f s", time.Since(began).Seconds())
}

// refuseTurns asks for what cannot be. Nothing changes.
func refuseTurns(t *testing.T, l lab) {
	before := l.states(t)
	began := time.Now()
	for _, tt := range []struct{ play, limit, variable, words string }{
		{
			"upgrade", "office-1", "mesh_upgrade_hook=",
			"office-1 is the only router of its site: leave it out with --limit",
		},
		{"rotate", "aws-1", "mesh_rotate=publik", "preshared, private"},
		{
			"upgrade", "aws-1", "mesh_upgrade_hook=/no/hook.yml",
			"mesh_upgrade_hook: /no/hook.yml is not a file on the controller",
		},
	} {
		counts, out := l.red(t, tt.play, "--limit", tt.limit, "-e", tt.variable)
		assert.Contains(t, out, tt.words)
		assert.Empty(t, counts.changed())
	}
	l.unchanged(t, before)
	t.Logf("refused in %.1f s", time.Since(began).Seconds())
}
