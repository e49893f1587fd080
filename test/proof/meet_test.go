//go:build lab

package proof_test

import (
	"bufio"
	"cmp"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
)

// keysOf says for each tunnel of a router which keys its ends have, and the same of its file:
// what is only on the disk counts after a reboot.
const keysOf = `cd /etc/wireguard && for i in $(wg show interfaces); do
	n=$(wg show $i allowed-ips | awk 'NF > 1 && $2 != "(none)" {print $1}')
	echo $i $(wg show $i public-key) $n \
		$(wg show $i preshared-keys | awk -v p="$n" '$1 == p {print $2}' | sha256sum | cut -c1-12) live
	echo $i $(wg pubkey <wgmesh.key) $(sed -n 's/^PublicKey *= *//p' $i.conf) \
		$(cat wgmesh-psk/${i#wg}.psk | sha256sum | cut -c1-12) disk
done`

// TestMeet has a second run of the same play begin and end while the first stands still in one
// of its tasks, for each of its tasks: make meet. Afterwards both ends of every tunnel have the
// same keys, whoever was first.
func TestMeet(t *testing.T) { eachPoint(t, "meet", circle.met) }

// TestAway has the router of a play lose its power in one of its tasks, or its SSH (HOW=ssh), for
// each of its tasks: make away. The run ends by itself, and the same command finishes it.
func TestAway(t *testing.T) { eachPoint(t, "away", circle.away) }

func eachPoint(t *testing.T, name string, do func(circle, *testing.T, killable, point)) {
	o := killOptions()
	tables := filepath.Join(t.TempDir(), "tables.yml")
	must.Write(t, tables, "all: {hosts: {aws-1: {mesh_route_tables: []}, aws-2: {mesh_route_tables: []}}}\n", 0o600)
	l := up(t, name, "test/proof/testdata/routes.yml", tables)
	l.mesh(t)
	for _, plays := range circles(l, t) {
		c := circle{lab: l, choice: o, seen: map[string]clean{}}
		for _, k := range plays {
			k.play, k.router = cmp.Or(k.play, k.name), cmp.Or(k.router, turned)
			c.plays = append(c.plays, k)
		}
		wanted := slices.ContainsFunc(c.plays, func(k killable) bool { return o.wants(k.name) })
		if wanted && c.plays[0].first == nil {
			t.Run(c.plays[0].name, func(t *testing.T) { c.each(t, name, do) })
		}
	}
}

// each learns what the plays do, and has something happen to each at each of its points.
func (c circle) each(t *testing.T, what string, do func(circle, *testing.T, killable, point)) {
	for _, k := range c.plays {
		tasks := c.killAt(t, point{}, k.play, k.args...)
		c.seen[k.name] = clean{points: order(tasks), tasks: len(tasks), left: c.settle(t, nil)}
	}
	for i := c.choice.from - 1; i < c.choice.most; i += c.choice.every {
		more := false
		for _, k := range c.plays {
			points := c.seen[k.name].points
			if i >= len(points) || !c.choice.wants(k.name) {
				c.run(t, k)
				continue
			}
			more = true
			ok := t.Run(k.name+" "+points[i].name, func(t *testing.T) { do(c, t, k, points[i]) })
			c.choice.notef(t, c.root, "%s %s: %s %d of %d, in %q: %s", what, os.Getenv("HOW"), k.name, i+1, len(points),
				points[i].name, map[bool]string{true: "well", false: "NOT WELL"}[ok])
		}
		if !more {
			break
		}
		c.whole(t)
	}
}

// met has one run stand still at a point while another one of the same play runs.
func (c circle) met(t *testing.T, k killable, at point) {
	args := append(slices.Clone(k.args), soon...)
	controller, end := c.reach(t, at, k.play, args...)
	require.NoError(t, controller.Signal(syscall.SIGSTOP))
	_, second, secondErr := c.playbook(t, k.play, args...)
	require.NoError(t, controller.Signal(syscall.SIGCONT))
	first, firstErr := end()
	t.Logf("first: %v %s\nsecond: %v %s", firstErr, reds(first), secondErr, reds(second))
	afterGuard(t, c, k)
	c.sameKeys(t, k)
	c.finish(t, k)
}

// away has the router of a run go away at a point, and come back when the run has ended.
func (c circle) away(t *testing.T, k killable, at point) {
	began := time.Now()
	_, end := c.reach(t, at, k.play, slices.Concat(k.args, soon,
		[]string{"-e", "mesh_contact_timeout=20 mesh_task_timeout=60 mesh_wait=20 mesh_upgrade_wait=30"})...)
	inside := []string{"netns", "exec", "wgmesh-" + c.name + ".host." + k.router, "nft"}
	nft := func(args ...string) {
		said, err := c.command(t, time.Minute, "ip", append(inside, args...)...)
		require.NoError(t, err, said)
	}
	if os.Getenv("HOW") == "ssh" {
		nft("table inet gone { chain in { type filter hook input priority -300; tcp dport 22 drop; }; }")
	} else {
		c.tool(t, "stop", k.router)
	}
	out, err := end()
	t.Logf("ended after %v: %v %s", time.Since(began).Round(time.Second), err, reds(out))
	if err != nil && !strings.Contains(out, "If it cannot be reached any more, the run ends there") {
		_, table, found := strings.Cut(out, "ROUTER")
		if !found { // drain for a remove, and the role router for an add, draw none
			table = reds(out)
		}
		assert.Contains(t, table, k.router, "who is away")
	}
	if os.Getenv("HOW") == "ssh" {
		nft("delete", "table", "inet", "gone")
	} else {
		c.tool(t, "start", k.router)
	}
	c.finish(t, k)
}

// finish gives the command of a play again, when the routers have taken back what they do. Nothing else
// is left than by a run of its own.
func (c circle) finish(t *testing.T, k killable) {
	t.Helper()
	afterGuard(t, c, k)
	c.run(t, k)
	c.sameKeys(t, k)
	same(t, c.seen[k.name].left, c.settle(t, c.seen[k.name].left))
}

// reach begins a run, and waits until it is in a task. end waits for its end.
func (c circle) reach(t *testing.T, at point, play string, args ...string) (
	controller *os.Process, end func() (string, error),
) {
	t.Helper()
	cmd, kill := c.aRun(t, play, slices.Concat(patient, args)...)
	t.Cleanup(kill)
	read, write := io.Pipe()
	cmd.Stdout, cmd.Stderr = write, write
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		write.Close()
		ended <- err
	}()
	var tasks []task
	text := &strings.Builder{}
	lines := bufio.NewReader(read)
	for len(tasks) < at.number {
		line := must.Get(lines.ReadString('\n'))(t, "it did not get to %q: %s", at.name, tail(text.String()))
		text.WriteString(line)
		tasks = heard(tasks, strings.TrimSuffix(line, "\n"))
	}
	time.Sleep(rand.N(at.lasts + 1))
	return cmd.Process, func() (string, error) {
		t.Helper()
		_, err := io.Copy(text, lines)
		require.NoError(t, err)
		return text.String(), <-ended
	}
}

// reds are the lines of a run that say why it is red.
func reds(out string) string {
	var found []string
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "fatal:") || strings.HasPrefix(line, "failed:") || strings.HasPrefix(line, "  ") {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return strings.Join(found[max(0, len(found)-12):], "\n  ")
}

// sameKeys wants both ends of every tunnel to have each other's keys, in the kernel and on the disk.
func (c circle) sameKeys(t *testing.T, k killable) {
	t.Helper()
	if k.name == "remove" || k.name == "reset" { // what is left of it is on one side
		return
	}
	ends := map[string][][]string{}
	for r, text := range c.onRouters(t, keysOf) {
		for line := range strings.Lines(text) {
			f := strings.Fields(line)
			require.Len(t, f, 5, "%s: %s", r, line)
			ends[f[0]+" "+f[4]] = append(ends[f[0]+" "+f[4]], f)
		}
	}
	for what, e := range ends {
		if assert.Len(t, e, 2, what) {
			assert.Equal(t, []string{e[0][1], e[0][2], e[0][3]}, []string{e[1][2], e[1][1], e[1][3]}, what)
		}
	}
}
