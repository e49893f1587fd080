//go:build lab

package proof_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
)

// A lab is the routers of an inventory and their nodes, and the ways to touch them.
type lab struct {
	name    string
	root    string   // of the repository
	routers []string // by id
	nodes   []string
}

// up brings a fresh lab up and takes it away when the test ends, however it
// ends. More inventories add to the first.
func up(t *testing.T, name, inventory string, more ...string) lab {
	t.Helper()
	return upFrom(t, name, inventory, "wgmesh.router.image", more...)
}

// upFrom is up with routers that another play made.
func upFrom(t *testing.T, name, inventory, image string, more ...string) lab {
	t.Helper()
	root := must.Get(filepath.Abs("../.."))(t)
	atFirst()
	// ssh starts the lab's proxy by the user's shell, and bash reads .bashrc there. What that
	// runs has words of its own, and leaves locks when it is killed, as pyenv does.
	t.Setenv("SHELL", "/bin/sh")
	l := lab{name: os.Getenv("LAB_PREFIX") + name, root: root} // so that two people can prove at once
	l.tool(t, "down")
	t.Cleanup(func() {
		if os.Getenv("KEEP_LAB") == "" {
			l.tool(t, "down")
		}
	})
	args := []string{"--inventory", inventory, "--image-playbook", image}
	for _, m := range more {
		args = append(args, "--inventory", m)
	}
	l.tool(t, "up", append(args, strings.Fields(os.Getenv("LAB_UP"))...)...)
	l.routers = l.group(t, "routers")
	l.nodes = l.group(t, "nodes")
	return l
}

// A step is a part of a test and builds on those before it.
type step struct {
	name string
	run  func(*testing.T, lab)
}

// steps runs them in turn. The first that fails ends the test.
func (l lab) steps(t *testing.T, steps []step) {
	for _, s := range steps {
		if !t.Run(s.name, func(t *testing.T) { s.run(t, l) }) {
			t.FailNow()
		}
	}
}

func (l lab) inventory() string {
	return filepath.Join(l.root, "build/lab", l.name, "inventory.yml")
}

// command runs a program in the repository and returns what it printed.
func (l lab) command(t *testing.T, limit time.Duration, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	if t.Context().Err() != nil { // in a cleanup
		ctx, cancel = context.WithTimeout(context.Background(), limit)
	}
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = l.root
	cmd.WaitDelay = 10 * time.Second // what it started may hold its output for ever
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = fmt.Errorf("%s did not end within %v: %w", name, limit, err)
	}
	return string(out), err
}

// tool runs a command of the lab on this lab.
func (l lab) tool(t *testing.T, verb string, args ...string) string {
	t.Helper()
	out, err := l.try(t, verb, args...)
	require.NoError(t, err, "lab %s %s:\n%s", verb, strings.Join(args, " "), tail(out))
	return out
}

// try is tool for what may fail.
func (l lab) try(t *testing.T, verb string, args ...string) (string, error) {
	t.Helper()
	for n := 1; ; n++ {
		out, err := l.command(t, 10*time.Minute, "build/lab-tool", append([]string{verb, "--name", l.name}, args...)...)
		// A busy sshd may end a connection before it says a word. Nothing has run then.
		if err == nil || n == tries || !strings.HasPrefix(out, "kex_exchange_identification: ") {
			return out, err
		}
	}
}

// in runs a shell command on one host, past SSH, so that it works on a router
// that is cut off and leaves no trace in the mesh.
func (l lab) in(t *testing.T, host, script string) string {
	t.Helper()
	return strings.TrimRight(l.tool(t, "exec", host, script), "\n")
}

// onRouters runs a shell command on every router at once.
func (l lab) onRouters(t *testing.T, script string) map[string]string {
	t.Helper()
	return l.atOnce(func(r string) (string, bool) {
		text, err := l.try(t, "exec", r, script)
		return text, assert.NoError(t, err, "%s: %s", r, text)
	})
}

// atOnce asks all routers at once, and returns what each said where that counts.
func (l lab) atOnce(ask func(router string) (said string, counts bool)) map[string]string {
	var mu sync.Mutex
	var all sync.WaitGroup
	out := map[string]string{}
	for _, r := range l.routers {
		all.Go(func() {
			if said, counts := ask(r); counts {
				mu.Lock()
				defer mu.Unlock()
				out[r] = said
			}
		})
	}
	all.Wait()
	return out
}

func (l lab) group(t *testing.T, name string) []string {
	t.Helper()
	out, err := l.command(t, 10*time.Minute, "ansible", "-i", l.inventory(), name, "--list-hosts")
	require.NoError(t, err, out)
	var hosts []string
	for _, line := range strings.Split(out, "\n")[1:] {
		if h := strings.TrimSpace(line); h != "" {
			hosts = append(hosts, h)
		}
	}
	require.NotEmpty(t, hosts, "group %s is empty", name)
	return hosts
}

// A recap is the last lines of a play: what each host counted.
type recap map[string]map[string]int

var (
	recapLine  = regexp.MustCompile(`(?m)^(\S+)\s+: (ok=.*)$`)
	recapCount = regexp.MustCompile(`(\w+)=(\d+)`)
)

// play runs the mesh play and returns its recap, its output and its error.
func (l lab) play(t *testing.T, args ...string) (recap, string, error) {
	t.Helper()
	return l.playbook(t, "mesh", args...)
}

// playbook runs a play of the collection.
func (l lab) playbook(t *testing.T, name string, args ...string) (recap, string, error) {
	t.Helper()
	if name != "mesh" { // what else waits for tunnels does it as mesh does
		args = slices.Concat(patient, args)
	}
	args = append([]string{"-i", l.inventory(), "wgmesh.router." + name}, args...)
	out, err := l.command(t, 20*time.Minute, "ansible-playbook", args...)
	counts := recap{}
	for _, m := range recapLine.FindAllStringSubmatch(out, -1) {
		counts[m[1]] = map[string]int{}
		for _, c := range recapCount.FindAllStringSubmatch(m[2], -1) {
			counts[m[1]][c[1]], _ = strconv.Atoi(c[2])
		}
	}
	return counts, out, err
}

// green is playbook for what must end green. What only looks may look as a session falls.
func (l lab) green(t *testing.T, name string, args ...string) (recap, string) {
	t.Helper()
	for try := 1; ; try++ {
		began := time.Now()
		counts, out, err := l.playbook(t, name, args...)
		if err != nil && name == "status" && onceMore(t, try, l.flaps(t, began, l.routers...)) {
			l.waitHealthy(t)
			continue
		}
		require.NoError(t, err, tail(out))
		return counts, out
	}
}

// red is playbook for what must not end green.
func (l lab) red(t *testing.T, name string, args ...string) (recap, string) {
	t.Helper()
	counts, out, err := l.playbook(t, name, args...)
	require.Error(t, err, "%s %v: %s", name, args, tail(out))
	return counts, out
}

// patient gives a machine that is busy the time it needs, which nobody waits who is well: the
// play gives up on a tunnel seconds after all others are well, and on a silent router.
var patient = []string{"-e", "mesh_settle=60 mesh_contact_timeout=120 mesh_task_timeout=600"}

// mesh runs the mesh play, which must end green.
func (l lab) mesh(t *testing.T, args ...string) recap {
	t.Helper()
	counts, out := l.green(t, "mesh", slices.Concat(patient, args)...)
	assert.NotContains(t, strings.Join(strings.Fields(out), " "), "nobody knows here", "answers.py lacks a field")
	return counts
}

// changed lists the hosts of a recap that count a change.
func (r recap) changed() []string {
	var hosts []string
	for h, c := range r {
		if c["changed"] > 0 {
			hosts = append(hosts, fmt.Sprintf("%s (%d)", h, c["changed"]))
		}
	}
	return hosts
}

func tail(s string) string {
	lines := strings.Split(s, "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}

// state is everything that a run may change on a router, without what moves by
// itself (counters, handshakes). Keys appear as their sums only.
const state = `
files() { find /etc -type f ! -name wgmesh-undo-last -exec "$@" {} + | sort; } # each change that is kept is noted
files stat -c '%n %a %u:%g %Y %i'
files sha256sum
for w in peers listen-port persistent-keepalive fwmark; do echo "$w"; wg show all $w 2>/dev/null | sort; done
wg show all allowed-ips 2>/dev/null | tr '\t' ' ' | while read -r dev peer ips; do
	echo "allowed-ips $dev $peer $(echo $ips | tr ' ' '\n' | sort | tr '\n' ' ')"; done | sort
wg show all private-key 2>/dev/null | sha256sum
wg show all preshared-keys 2>/dev/null | sort | sha256sum
ip -d addr show | grep -v valid_lft | sed -E "s/[a-z_]*_timer +[0-9.]+//g"
ip route show; ip -6 route show
nft -s -t list ruleset 2>/dev/null # without counters, and what a set remembers for seconds
sysctl -a 2>/dev/null | grep -E '^net\.(ipv4|ipv6)\.(conf\.|ip_forward|ip_local_reserved)|^net\.core\.[rw]mem' | sort
systemctl list-unit-files --state=enabled --no-legend 2>/dev/null
`

// same compares the states of all routers, and names the lines that differ.
func same(t *testing.T, want, have map[string]string) {
	t.Helper()
	for r := range want {
		for _, line := range only(want[r], have[r]) {
			t.Errorf("%s: gone: %s", r, line)
		}
		for _, line := range only(have[r], want[r]) {
			t.Errorf("%s: new: %s", r, line)
		}
	}
}

// only lists the lines of a text that another one does not have.
func only(text, other string) []string {
	known := map[string]bool{}
	for line := range strings.Lines(other) {
		known[line] = true
	}
	var out []string
	for line := range strings.Lines(text) {
		if !known[line] {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}
