//go:build lab

package proof_test

import (
	"bufio"
	"cmp"
	"io"
	"math/rand/v2"
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
func TestMeet(t *testing.T) {
	o := killOptions()
	tables := filepath.Join(t.TempDir(), "tables.yml")
	must.Write(t, tables, "all: {hosts: {aws-1: {mesh_route_tables: []}, aws-2: {mesh_route_tables: []}}}\n", 0o600)
	l := up(t, "meet", "test/proof/testdata/routes.yml", tables)
	l.mesh(t)
	for _, plays := range circles(l, t) {
		c := circle{lab: l, choice: o, seen: map[string]clean{}}
		for _, k := range plays {
			k.play, k.router = cmp.Or(k.play, k.name), cmp.Or(k.router, turned)
			c.plays = append(c.plays, k)
		}
		wanted := slices.ContainsFunc(c.plays, func(k killable) bool { return o.wants(k.name) })
		if wanted && c.plays[0].first == nil {
			t.Run(c.plays[0].name, c.meet)
		}
	}
}

// meet learns what the plays do, and has two runs of each meet at each of its points.
func (c circle) meet(t *testing.T) {
	for _, k := range c.plays {
		tasks := c.killAt(t, point{}, k.play, k.args...)
		c.seen[k.name] = clean{points: order(tasks), tasks: len(tasks)}
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
			ok := t.Run(k.name+" "+points[i].name, func(t *testing.T) { c.met(t, k, points[i]) })
			c.choice.notef(t, c.root, "%s %d of %d: met in %q: %s", k.name, i+1, len(points), points[i].name,
				map[bool]string{true: "well", false: "NOT WELL"}[ok])
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
	end := c.stopAt(t, at, k.play, args...)
	_, second, secondErr := c.playbook(t, k.play, args...)
	first, firstErr := end()
	t.Logf("first: %v %s\nsecond: %v %s", firstErr, reds(first), secondErr, reds(second))
	afterGuard(t, c, k)
	if c.gone(t) {
		return
	}
	c.sameKeys(t)
	c.run(t, k)
	c.sameKeys(t)
}

// stopAt begins a run and has its controller stand still in a task. The function that it
// returns lets it go on, and waits for its end.
func (c circle) stopAt(t *testing.T, at point, play string, args ...string) (end func() (string, error)) {
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
		line, err := lines.ReadString('\n')
		require.NoError(t, err, "it did not get to %q: %s", at.name, tail(text.String()))
		text.WriteString(line)
		tasks = heard(tasks, strings.TrimSuffix(line, "\n"))
	}
	time.Sleep(rand.N(at.lasts + 1))
	require.NoError(t, cmd.Process.Signal(syscall.SIGSTOP))
	return func() (string, error) {
		t.Helper()
		require.NoError(t, cmd.Process.Signal(syscall.SIGCONT))
		_, err := io.Copy(text, lines)
		require.NoError(t, err)
		return text.String(), <-ended
	}
}

// reds are the lines of a run that say why it is red.
func reds(out string) string {
	var found []string
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "fatal:") || strings.HasPrefix(line, "  ") {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return strings.Join(found[max(0, len(found)-12):], "\n  ")
}

// sameKeys wants both ends of every tunnel to have each other's keys, in the kernel and on the disk.
func (c circle) sameKeys(t *testing.T) {
	t.Helper()
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

// gone reports whether the router of the plays has nothing of the mesh now.
func (c circle) gone(t *testing.T) bool {
	t.Helper()
	return c.in(t, turned, secrets) == ""
}
