//go:build lab

package proof_test

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
)

// turned is the router that the plays are for, which has another one beside it.
const turned = "aws-1"

// A killable is a play whose controller dies.
type killable struct {
	name, play string
	router     string // turned, unless it says so
	args       []string
	gone       bool     // whether the inventory says absent of the router
	renews     []string // which keys of the router are other ones afterwards
	first      func(*testing.T, circle)
	last       string // the task with which the work is done: it is killed before that
}

// circles are plays that together leave the mesh as it was, so that one lab does for all of
// their kills.
func circles(l lab, t *testing.T) [][]killable {
	limit := []string{"--limit", turned}
	hook := func(script string) []string {
		return append([]string{"-e", "mesh_upgrade_hook=" + l.cloudHook(t, script)}, limit...)
	}
	return [][]killable{
		{{name: "drain", args: limit}, {name: "undrain", args: limit}},
		{
			{name: "remove", args: []string{"-e", "mesh_remove=" + turned}},
			{name: "reset", args: limit, gone: true},
			{name: "add", args: []string{"-e", "mesh_add=" + turned}, renews: []string{"key", "psk"}},
		},
		{{
			name: "rotate-private", play: "rotate", renews: []string{"key", "psk"},
			args: append([]string{"-e", "mesh_rotate=private"}, limit...),
		}},
		{{
			name: "rotate-alone", play: "rotate", renews: []string{"key", "psk"}, router: "office-1",
			args: []string{"-e", "mesh_rotate=private", "--limit", "office-1"},
		}},
		{{name: "rotate-preshared", play: "rotate", renews: []string{"psk"}}}, // both ends have to be in the run
		{{name: "upgrade", args: hook("true")}},
		{{name: "replace", renews: []string{"key", "psk"}, args: hook(emptied)}},
		{{
			name: "replace-by-hand", play: "replace", renews: []string{"key", "psk"}, args: limit,
			first: swap, last: "mesh : Let everyone use this router",
		}},
	}
}

// emptied makes another machine of a router.
const emptied = "rm -rf /etc/wireguard/* /etc/bird/bird.conf* /etc/wgmesh /var/lib/wgmesh /etc/systemd/system/wg*"

// swap has the first half of a replacement done, and is the user who then puts another
// machine in the place of the one before.
func swap(t *testing.T, c circle) {
	t.Helper()
	_, out, err := c.playbook(t, "replace", "--limit", turned)
	require.Error(t, err, "it waits for the new machine")
	require.Contains(t, out, turned+" is drained and may go", tail(out))
	c.in(t, turned, emptied)
	c.tool(t, "stop", turned)
	c.tool(t, "start", turned)
}

// cloudHook is hook as a cloud does it: what was asked for is done, whether or not the
// controller dies.
func (l lab) cloudHook(t *testing.T, script string) string {
	t.Helper()
	tool := fmt.Sprintf("build/lab-tool %%s --name %s {{ inventory_hostname }}", l.name)
	did := fmt.Sprintf(tool+" %q && "+tool+" && "+tool, "exec", script, "stop", "start")
	text := fmt.Sprintf("- ansible.builtin.command:\n    argv: [env, -u, WGMESH_PROOF_RUN, setsid, -w, sh, -c, %q]\n"+
		"    chdir: %s\n  delegate_to: localhost\n  become: false\n", did, l.root)
	path := filepath.Join(t.TempDir(), "hook.yml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// left is what a play leaves on a router by name, and what of it has no key in it.
const left = `find /etc /var/lib/wgmesh /usr/local/bin /usr/local/libexec -path /etc/wgmesh/status -prune -o \
	-printf '%p %m %u\n' 2>/dev/null | sort
grep -v '^define wgmesh_[cd]' /etc/bird/bird.conf 2>/dev/null | sha256sum
grep -o '^define wgmesh_drained = ".' /etc/bird/bird.conf 2>/dev/null
birdc show protocols 2>/dev/null | awk '/^[a-z]/ {print "protocol", $1, $2, $4}' | sort
ip -o link | cut -d: -f2 | cut -d@ -f1 | sort; ip rule; ip -6 rule
{ ip route show table all; ip -6 route show table all; } |
	grep -v 'fe80::' | sed -E 's/ expires [0-9]+sec//; s/[ \t]+$//' | sort
wg show all allowed-ips 2>/dev/null | awk '{print $1, NF}' | sort
wg show all preshared-keys 2>/dev/null | awk '{print $1, $3 == "(none)"}' | sort
nft -s -t list ruleset 2>/dev/null
sysctl -a 2>/dev/null |
	grep -E '^net\.ipv4\.(conf\.(all|default|wg.*)\.(rp_filter|forwarding)|ip_forward|ip_local_reserved)' | sort
systemctl list-units --all --plain --no-legend 'wg*' 2>/dev/null | awk '$3 != "inactive" {print "unit", $1, $3}' | sort
ls /run/wgmesh 2>/dev/null | grep '^undo-'
ps -eo args | grep -E '[w]gmesh (undo|[a-z]+_)'
true`

// secrets are the sums of the keys of a router.
const secrets = `cd /etc/wireguard 2>/dev/null && test -e wgmesh.key || exit 0
echo key $(sha256sum <wgmesh.key); for k in wgmesh-psk/*.psk; do echo "psk $k $(sha256sum <$k)"; done`

// TestKills has the controller of each play die at every one of its tasks, and gives the same
// command again: make kills.
func TestKills(t *testing.T) {
	o := killOptions()
	// Without a route table: no drain is refused because nobody takes it.
	tables := filepath.Join(t.TempDir(), "tables.yml")
	must.Write(t, tables, "all: {hosts: {aws-1: {mesh_route_tables: []}, aws-2: {mesh_route_tables: []}}}\n", 0o600)
	l := up(t, "kills", "test/proof/testdata/routes.yml", tables)
	l.mesh(t)
	absent := filepath.Join(t.TempDir(), "absent.yml")
	require.NoError(t, os.WriteFile(absent, []byte("all: {hosts: {"+turned+": {mesh_state: absent}}}\n"), 0o600))
	for _, plays := range circles(l, t) {
		c := circle{lab: l, choice: o, seen: map[string]clean{}}
		var names []string
		for _, k := range plays {
			k.play, k.router = cmp.Or(k.play, k.name), cmp.Or(k.router, turned)
			if k.gone {
				k.args = append([]string{"-i", absent}, k.args...)
			}
			c.plays, names = append(c.plays, k), append(names, k.name)
		}
		if slices.ContainsFunc(names, o.wants) {
			t.Run(strings.Join(names, "-"), c.turn)
		}
	}
}

// A clean is what a run of a play does that comes to its end.
type clean struct {
	points []point // where it is killed, in that order
	tasks  int
	left   map[string]string
}

// A circle is its plays in one lab.
type circle struct {
	lab
	choice killChoice
	plays  []killable
	seen   map[string]clean
}

// turn learns what the plays do, and goes round until each was killed everywhere.
func (c circle) turn(t *testing.T) {
	for _, k := range c.plays {
		if k.first != nil {
			k.first(t, c)
		}
		tasks := c.killAt(t, point{}, k.play, k.args...)
		if i := slices.IndexFunc(tasks, func(a task) bool { return a.name == k.last }); i >= 0 {
			tasks = tasks[:i]
		}
		c.seen[k.name] = clean{points: order(tasks), tasks: len(tasks), left: c.settle(t, nil)}
		t.Logf("%s: %d tasks, %d of them do something on a host", k.name, len(tasks), len(c.seen[k.name].points))
	}
	c.whole(t)
	failed, killed := map[string][]string{}, map[string]int{}
	for i := c.choice.from - 1; ; i += c.choice.every {
		more := false
		for _, k := range c.plays {
			more = more || i < c.choice.most && c.choice.wants(k.name) && i < len(c.seen[k.name].points)
		}
		if !more {
			break
		}
		for _, k := range c.plays {
			points := c.seen[k.name].points
			if i >= len(points) || !c.choice.wants(k.name) {
				c.run(t, k)
				continue
			}
			killed[k.name]++
			how := meantimes[i/c.choice.every%len(meantimes)]
			began := time.Now()
			ok := t.Run(k.name+" "+points[i].name, func(t *testing.T) { c.killed(t, k, points[i], how) })
			if !ok {
				failed[k.name] = append(failed[k.name], points[i].name)
			}
			c.choice.notef(t, c.root, "%s %d of %d: killed in %q, %s: %s, %.0f s", k.name, i+1, len(points),
				points[i].name, how.name, map[bool]string{true: "converged", false: "NOT CONVERGED"}[ok],
				time.Since(began).Seconds())
		}
		c.whole(t)
	}
	for _, k := range c.plays {
		if c.choice.wants(k.name) {
			c.choice.notef(t, c.root, "%s: %d tasks, %d do something on a host, killed at %d, not converged: %d %s",
				k.name, c.seen[k.name].tasks, len(c.seen[k.name].points), killed[k.name], len(failed[k.name]),
				strings.Join(failed[k.name], "; "))
		}
	}
}

// A meantime is what comes between the kill and the same command.
type meantime struct {
	name    string
	args    []string // of the run that is killed
	between func(t *testing.T, c circle, k killable)
}

var meantimes = []meantime{
	{name: "at once", between: func(*testing.T, circle, killable) {}},
	{name: "after the guard", args: soon, between: afterGuard},
	{name: "after " + peered, between: afterMesh},
	{name: "after the guard and " + peered, args: soon, between: func(t *testing.T, c circle, k killable) {
		afterGuard(t, c, k)
		afterMesh(t, c, k)
	}},
}

var soon = []string{"-e", "mesh_confirm_timeout=15"}

func afterGuard(t *testing.T, c circle, _ killable) {
	for _, r := range c.routers {
		c.waitFor(t, r, "! test -e /etc/wireguard/wgmesh-undo")
	}
}

// afterMesh undoes no drain, and mends what it can: a router that gets new keys or is made
// anew has those of this moment.
func afterMesh(t *testing.T, c circle, k killable) {
	// A controller that is dead asks nothing more, but its last task still runs.
	for _, r := range c.routers {
		c.waitFor(t, r, `! pgrep -f "wgmesh/[0-9a-f]+/wgmesh [a-z]+_[a-z]+$"`)
	}
	before := c.in(t, turned, drained)
	args := patient
	if k.gone {
		args = append(slices.Clone(k.args[:2]), args...)
	}
	_, out, err := c.play(t, args...)
	assert.NoError(t, err, "the mesh play between: %s", tail(out))
	if strings.Contains(before, "Z ") { // it was drained, and since when
		assert.Equal(t, before, c.in(t, turned, drained), "the mesh play undoes the drain")
	}
}

const peered = "the mesh play"

const drained = `grep '^define wgmesh_drained' /etc/bird/bird.conf 2>/dev/null || true`

// killed has a run die at a point, and runs the play to its end.
func (c circle) killed(t *testing.T, k killable, at point, how meantime) {
	began, took := time.Now(), []time.Duration{}
	lap := func() { took, began = append(took, time.Since(began).Round(time.Second)), time.Now() }
	before := c.in(t, k.router, secrets)
	if k.first != nil {
		k.first(t, c)
	}
	c.killAt(t, at, k.play, append(slices.Clone(k.args), how.args...)...)
	lap()
	how.between(t, c, k)
	lap()
	// The mesh play may have done the rest of a replacement, and the next is another one.
	if k.first == nil || !strings.HasSuffix(how.name, peered) || strings.Contains(c.in(t, turned, drained), "Z ") {
		c.run(t, k)
	} else {
		c.peered(t)
	}
	lap()
	t.Logf("until the kill, until the same command, and that: %v", took)
	same(t, c.seen[k.name].left, c.settle(t, c.seen[k.name].left))
	have := c.in(t, k.router, secrets)
	for line := range strings.Lines(before) {
		kind, _, _ := strings.Cut(line, " ")
		if k.name == "reset" || k.name == "remove" {
			continue
		}
		assert.Equal(t, !slices.Contains(k.renews, kind), strings.Contains(have+"\n", line),
			"whether a key of %s is the same", kind)
	}
}

// peered does the rest where the mesh play has taken a new machine in. That ends no image play, which
// the status says, and makes no gate: a play that needs one does.
func (c circle) peered(t *testing.T) {
	t.Helper()
	if c.in(t, turned, "ls /etc/wgmesh/image 2>/dev/null || true") == "" {
		_, out := c.green(t, "status")
		assert.Contains(t, strings.Join(strings.Fields(out), " "), "the image play has not come to its end here")
		c.green(t, "image", "--limit", turned)
	}
	c.green(t, "callback", "--limit", turned)
}

// run runs a play to its end.
func (c circle) run(t *testing.T, k killable) {
	t.Helper()
	_, out, err := c.playbook(t, k.play, k.args...)
	require.NoError(t, err, "%s: %s", k.play, tail(out))
}

// whole wants a mesh in which nothing is left to do.
func (c circle) whole(t *testing.T) {
	t.Helper()
	counts := c.mesh(t)
	assert.Empty(t, counts.changed(), "the mesh play finds nothing to do")
}

// settle waits a while for what ends by itself, and says what there is.
func (c circle) settle(t *testing.T, want map[string]string) map[string]string {
	t.Helper()
	have := c.onRouters(t, left)
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); have = c.onRouters(t, left) {
		if again := c.onRouters(t, left); want == nil && equal(have, again) || want != nil && equal(want, have) {
			break
		}
		time.Sleep(time.Second)
	}
	return have
}

func equal(a, b map[string]string) bool {
	for r := range a {
		if len(only(a[r], b[r]))+len(only(b[r], a[r])) > 0 {
			return false
		}
	}
	return true
}

// order is where to kill: first in what writes, then right after it, then the rest. A task
// that every host leaves out is none.
func order(tasks []task) []point {
	var writes, after, rest []point
	for i, k := range tasks {
		p := point{number: i + 1, name: k.name, lasts: k.lasts}
		switch {
		case k.idle:
		case k.changed:
			writes = append(writes, p)
		case i > 0 && tasks[i-1].changed:
			after = append(after, p)
		default:
			rest = append(rest, p)
		}
	}
	return slices.Concat(writes, after, rest)
}

// A point is where a run is killed: a while after a task began.
type point struct {
	number int // 0: nowhere
	name   string
	lasts  time.Duration
}

// killChoice is which plays are killed, and at which of their points.
type killChoice struct {
	plays       []string
	from, every int
	most        int // points of a play
	random      *rand.Rand
}

func (o killChoice) wants(name string) bool {
	return len(o.plays) == 0 || slices.Contains(o.plays, name)
}

func killOptions() killChoice {
	number := func(name string) int {
		n, _ := strconv.Atoi(os.Getenv(name))
		return max(n, 1)
	}
	most := number("MOST")
	if os.Getenv("MOST") == "" {
		most = 1000
	}
	return killChoice{
		most:  most,
		plays: strings.FieldsFunc(os.Getenv("PLAYS"), func(r rune) bool { return r == ',' }),
		from:  number("FROM"), every: number("EVERY"),
		random: rand.New(rand.NewPCG(uint64(number("SEED")), 0)),
	}
}

// notef adds a line to build/kills.txt, so that a run that is stopped has told what it did.
func (o killChoice) notef(t *testing.T, root, format string, args ...any) {
	t.Helper()
	line := strings.TrimSpace(fmt.Sprintf(format, args...))
	t.Log(line)
	file, err := os.OpenFile(filepath.Join(root, "build/kills.txt"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	require.NoError(t, err)
	defer file.Close()
	_, err = io.WriteString(file, time.Now().UTC().Format("2006-01-02 15:04:05 ")+line+"\n")
	require.NoError(t, err)
}

// A task is one of a run, as its output shows it.
type task struct {
	name    string
	began   time.Time
	lasts   time.Duration
	changed bool // something on a host
	idle    bool // no host did anything
}

var taskLine = regexp.MustCompile(`^(?:TASK|RUNNING HANDLER) \[(?:wgmesh\.router\.)?(.*?)\] \**$`)

// killAt runs a play and kills its controller while a task runs. It returns the tasks that
// began; without a point the play comes to its end.
func (c circle) killAt(t *testing.T, at point, play string, args ...string) []task {
	t.Helper()
	cmd, kill := c.aRun(t, play, slices.Concat(patient, args)...)
	// What a killed run leaves on the controller.
	temp := t.TempDir()
	cmd.Env = append(cmd.Env, "TMPDIR="+temp)
	read, write := io.Pipe()
	cmd.Stdout, cmd.Stderr = write, write
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() {
		ended <- cmd.Wait()
		write.Close()
	}()
	var tasks []task
	text := &strings.Builder{}
	for lines := bufio.NewReader(read); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			break
		}
		text.WriteString(line)
		tasks = heard(tasks, strings.TrimSuffix(line, "\n"))
		if at.number > 0 && len(tasks) == at.number {
			go func() { _, _ = io.Copy(io.Discard, read) }()
			time.Sleep(time.Duration(c.choice.random.Int64N(int64(at.lasts) + 1)))
			kill()
			assert.Equal(t, at.name, tasks[at.number-1].name, "the task that is killed is another one")
			break
		}
	}
	err := <-ended
	if at.number == 0 {
		require.NoError(t, err, "%s: %s", play, tail(text.String()))
	}
	left, _ := filepath.Glob(temp + "/*wgmesh*")
	assert.Empty(t, left, "on the controller")
	return tasks
}

// heard is what is known of the tasks of a run after another line of its output.
func heard(tasks []task, line string) []task {
	now := time.Now()
	if m := taskLine.FindStringSubmatch(line); m != nil {
		return append(tasks, task{name: m[1], began: now, idle: true})
	}
	if len(tasks) == 0 {
		return tasks
	}
	last := &tasks[len(tasks)-1]
	last.lasts = now.Sub(last.began)
	word, _, _ := strings.Cut(line, ":")
	last.changed = last.changed || word == "changed"
	last.idle = last.idle && word != "changed" && word != "ok" && word != "fatal"
	return tasks
}
