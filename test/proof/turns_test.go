//go:build lab

package proof_test

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/outage"
)

// What is changed in a mesh that carries traffic, in the order of the table.
var turns = []string{"drain", "preshared", "private", "upgrade", "replace", "remove"}

var turnWords = map[string]string{
	"drain":     "drain, power cut, undrain: one router",
	"preshared": "rotate: all pre-shared keys",
	"private":   "rotate: all private keys",
	"upgrade":   "upgrade with a reboot: the %d that have another one beside them",
	"replace":   "replace: one router, its disk emptied",
	"remove":    "remove, reset, add: one router",
}

// A turn is what a change cost, summed over its rounds.
type turn struct {
	kind               string
	rounds, sent, lost int
	ended, plays       int
	took               time.Duration
	worst              time.Duration
}

// TestFailoverTurns changes the network of the case in every way in which plays do, while
// every pair of sites exchanges packets, 200 a second if the machine can, and holds a TCP session: make
// rolling.
func TestFailoverTurns(t *testing.T) {
	o := chosenOf(t, turns)
	c := up(t, "turns", "examples/field-case/inventory.yml", "test/proof/testdata/turns.yml").theCase(t)
	_, out, err := c.playbook(t, "image") // the lab's image knows nothing of router_health
	require.NoError(t, err, tail(out))
	c.mesh(t)
	c.balance(t)
	p := newPaper(t, c, "rolling", fmt.Sprintf(" RUNS=%d ONLY=%s", o.runs, strings.Join(o.only, ",")),
		len(o.only) == len(turns))
	p.head = append(p.head,
		fmt.Sprintf("every pair of sites: a ping of 1,272 bytes every %s s (and the kernel's tick) each way and "+
			"its answer, and one TCP session that lasts as long as the change", pause()))
	var done []*turn
	p.sheets = []*sheet{{
		title: "What a change costs", paper: p,
		rows:  func(*sheet) [][]string { return c.turnRows(done) },
		notes: func(*sheet) []string { return nil },
	}}
	pair := c.redundant()
	for _, kind := range o.only {
		sum := &turn{kind: kind}
		done = append(done, sum)
		for run := range o.runs {
			t.Run(fmt.Sprintf("%s %d of %d", kind, run+1, o.runs), func(t *testing.T) {
				c.underTraffic(t, sum, func() { c.turn(t, kind, pair, pair[run%len(pair)], sum) })
			})
			n, _ := strconv.ParseFloat(load(), 64)
			p.loads = append(p.loads, n)
			p.write(t)
		}
		assert.Empty(t, c.mesh(t).changed(), "%s: the mesh play finds nothing to do", kind)
	}
}

// redundant are the routers that have another one beside them.
func (c aCase) redundant() []string {
	return slices.DeleteFunc(slices.Clone(c.routers), func(r string) bool {
		return len(c.at(c.routers, c.hosts[r].Site, "")) < 2
	})
}

// pause is the time between two pings, in seconds. Ten milliseconds are over 200 packets a
// second for each pair, also at 250 Hz, and the whole work of a processor in user space.
func pause() string { return cmp.Or(os.Getenv("PAUSE"), "0.01") }

// turn makes one change: of a router, or of all that have another one beside them.
func (c aCase) turn(t *testing.T, kind string, all []string, one string, sum *turn) {
	t.Helper()
	play := func(name string, args ...string) {
		t.Helper()
		_, out, err := c.playbook(t, name, args...)
		require.NoError(t, err, tail(out))
		sum.plays++
	}
	switch kind {
	case "drain":
		play("drain", "--limit", one)
		c.tool(t, "stop", one)
		c.tool(t, "start", one)
		c.waitFor(t, one, whole(len(c.routers)-1))
		play("undrain", "--limit", one)
	case "preshared":
		play("rotate", "-e", "mesh_rotate=preshared")
	case "private":
		play("rotate", "-e", "mesh_rotate=private")
	case "upgrade":
		play("upgrade", "--limit", strings.Join(all, ","), "-e", "mesh_upgrade_hook="+c.hook(t, "true"))
	case "replace":
		play("replace", "--limit", one, "-e", "mesh_upgrade_hook="+c.hook(t, emptied))
	case "remove":
		play("remove", "-e", "mesh_remove="+one)
		play("reset", "--limit", one)
		play("add", "-e", "mesh_add="+one)
	}
	c.waitWhole(t)
}

// hook is a file of tasks that do something on a router and cut its power, as a hook for a
// cloud's API would.
func (l lab) hook(t *testing.T, script string) string {
	t.Helper()
	tool := fmt.Sprintf("build/lab-tool %%s --name %s {{ inventory_hostname }}", l.name)
	text := fmt.Sprintf(`- ansible.builtin.raw: %q
- ansible.builtin.shell: %q
  args: {chdir: %q}
  delegate_to: localhost
  become: false
`, script, fmt.Sprintf(tool, "stop")+" && "+fmt.Sprintf(tool, "start"), l.root)
	path := filepath.Join(t.TempDir(), "hook.yml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// underTraffic counts what is lost between the sites during a change.
func (c aCase) underTraffic(t *testing.T, sum *turn, change func()) {
	t.Helper()
	var streams []*stream
	var held []string // nodes, each with the pid file of a session
	defer func() {
		for _, h := range held {
			node, port, _ := strings.Cut(h, " ")
			_, _ = c.try(t, "exec", node, "kill $(cat /run/held."+port+".pid)") // most have ended
		}
	}()
	for i, site := range c.sites {
		for j, other := range c.sites[:i] {
			from, to := c.at(c.nodes, site, "")[0], c.at(c.nodes, other, "")[0]
			streams = append(streams, c.streamEvery(t, pause(), from, to), c.streamEvery(t, pause(), to, from))
			port := 5300 + 10*i + j
			c.in(t, to, fmt.Sprintf("iperf3 -s -D -1 -p %d", port))
			c.in(t, from,
				fmt.Sprintf(
					"iperf3 -c %s -p %d -t 86400 -b 64K -l 512 >/run/held.%[2]d 2>&1 </dev/null & "+
						"echo $! >/run/held.%[2]d.pid",
					c.hosts[to].Address, port))
			held = append(held, fmt.Sprintf("%s %d", from, port))
		}
	}
	began := time.Now()
	change()
	sum.took += time.Since(began)
	sum.rounds++
	for _, s := range streams {
		s.stop(t)
		list := s.answers(t)
		lost := outage.Lost(list)
		sum.sent, sum.lost = sum.sent+2*len(list)+lost, sum.lost+lost // a ping and its answer
		sum.worst = max(sum.worst, outage.Gap(list, began, time.Now()))
		assert.Zero(t, lost, "%s: longest gap %v", s.name, outage.Gap(list, began, time.Now()))
	}
	for _, h := range held {
		node, port, _ := strings.Cut(h, " ")
		pid := "/run/held." + port + ".pid"
		if out, err := c.try(t, "exec", node, "kill -0 $(cat "+pid+") && kill $(cat "+pid+")"); err != nil {
			sum.ended++
			t.Error(node, out, c.in(t, node, "tail -n 3 /run/held."+port))
		}
	}
}

// balance sends the packets of a site with two routers to the other one while the first says
// that it is not well, as a cloud's load balancer does: it asks their health once a second.
func (c aCase) balance(t *testing.T) {
	t.Helper()
	stop, stopped := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop); <-stopped })
	table := map[string]string{} // of a router, in its site's gateway
	for i, r := range c.redundant() {
		table[r] = strconv.Itoa(210 + i)
	}
	well := func(r string) bool {
		out, err := c.try(t, "exec", r, asksHealth)
		return err == nil && strings.HasPrefix(out, "HTTP/1.1 200 ")
	}
	for _, r := range c.redundant() {
		require.Eventually(t, func() bool { return well(r) }, time.Minute, time.Second, "%s is well", r)
	}
	go func() {
		defer close(stopped)
		away := map[string]bool{}
		for {
			for _, r := range c.redundant() {
				beside := slices.DeleteFunc(c.at(c.routers, c.hosts[r].Site, ""), func(o string) bool {
					return o == r
				})[0]
				if sick := !well(r); sick != away[r] {
					do := fmt.Sprintf("ip rule del pref 1%s", table[r][1:])
					if sick { // a router that was rebooted since has new cables, without routes
						do = fmt.Sprintf("ip route show table 99 | grep ' dev %[1]s ' | "+
							"while read route; do ip route replace $route table %[2]s; done; "+
							"ip rule add pref 1%[3]s lookup %[2]s",
							beside, table[beside], table[r][1:])
					}
					cmd := exec.Command("ip", "netns", "exec", c.gateway(r), "sh", "-c", do)
					if out, err := cmd.CombinedOutput(); err != nil {
						t.Errorf("%s: %s", cmd, out)
					}
					away[r] = sick
				}
			}
			select {
			case <-stop:
				return
			case <-time.After(time.Second):
			}
		}
	}()
}

func (c aCase) gateway(router string) string {
	return "wgmesh-" + c.name + ".site." + c.hosts[router].Site
}

// turnRows is the table.
func (c aCase) turnRows(done []*turn) [][]string {
	rows := [][]string{
		{
			"change", "rounds", "plays", "s a round", "packets", "a second and pair", "lost", "longest gap, ms",
			"TCP sessions", "ended",
		},
	}
	pairs := len(c.sites) * (len(c.sites) - 1) / 2
	for _, s := range done {
		words := turnWords[s.kind]
		if strings.Contains(words, "%d") {
			words = fmt.Sprintf(words, len(c.redundant()))
		}
		rows = append(rows, []string{
			words, strconv.Itoa(s.rounds), strconv.Itoa(s.plays),
			fmt.Sprintf("%.0f", s.took.Seconds()/float64(max(s.rounds, 1))),
			strconv.Itoa(s.sent), fmt.Sprintf("%.0f", float64(s.sent)/max(s.took.Seconds(), 1)/float64(pairs)),
			strconv.Itoa(s.lost), strconv.FormatInt(s.worst.Milliseconds(), 10),
			strconv.Itoa(s.rounds * pairs), strconv.Itoa(s.ended),
		})
	}
	return rows
}

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
	spills := l.spills(t, l.routers...)
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
			t.Logf("%s: lost %s", s.name, outage.Losses(s.answers(t)))
		}
	}
	fell = append(l.flaps(t, began, "aws-2", "office-1"), l.flaps(t, rotated, "aws-1", "office-1")...)
	return sent, lost, append(fell, l.spilled(t, spills, streams...)...)
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
		spills := l.spills(t, l.routers...)
		for _, node := range nodes {
			streams = append(streams, l.flow(t, node, "node-office-hq")...)
		}
		began := time.Now()
		fell := drainOnce(t, l, cloud, all, spills)
		lost := 0
		for _, s := range streams {
			s.stop(t)
			if s.lost(t) > 0 {
				lost += s.lost(t)
				t.Logf("%s: lost %s", s.name, outage.Losses(s.answers(t)))
			}
		}
		fell = append(fell, l.flaps(t, began, "aws-2", "office-1")...)
		fell = append(fell, l.spilled(t, spills, streams...)...)
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
	undrain := drainedByHand(t, l, "aws-1")
	mend := l.checkSource(t, "aws-1")
	counts, out, err := l.playbook(t, "undrain", "--limit", "aws-1")
	mend()
	require.Error(t, err)
	assert.Contains(t, out, "aws-1 stays drained: office-1: no answer from 10.2.2.")
	assert.Empty(t, counts.changed())
	undrain()
}

// drainedByHand has a router drained without a play, until undrain.
func drainedByHand(t *testing.T, l lab, router string) (undrain func()) {
	l.in(t, router, `cp -p /etc/bird/bird.conf /run/bird.was
		sed -i 's/^define wgmesh_drained = ""/define wgmesh_drained = "2026-01-01T00:00:00Z"/' /etc/bird/bird.conf
		birdc configure`)
	return func() { l.in(t, router, "mv /run/bird.was /etc/bird/bird.conf; systemctl reload bird") }
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
	undrain := drainedByHand(t, l, "office-1")
	for router, other := range map[string]string{"aws-1": "aws_2", "aws-2": "aws_1"} {
		l.waitFor(t, router, "birdc show route all protocol "+other+" | grep -q '(65535,0)'")
	}
	time.Sleep(time.Second) // the daemon looks every 100 ms
	for _, router := range []string{"aws-1", "aws-2"} {
		assert.Empty(t, l.in(t, router, saidSince(began)+"grep drained || true"), router)
	}
	undrain()
	for router, other := range map[string]string{"aws-1": "aws_2", "aws-2": "aws_1"} {
		l.waitFor(t, router, "! birdc show route all protocol "+other+" | grep -q '(65535,0)'")
	}
}

// drainOnce is one round, and with all it also asks what else leaves the drain alone. It
// returns the sessions of the router that fell although it was on.
func drainOnce(t *testing.T, l lab, cloud *ec2, all bool, spills map[string]int) (fell []string) {
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
	spills["aws-1"] -= l.spills(t, "aws-1")["aws-1"] // it counts anew
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
