//go:build integration

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
)

// A crash is one module and the run of it that is killed at every system call
// that can change a file.
type crash struct {
	host
	dir     string
	module  string
	before  func()                    // brings the state back in which the run starts
	options map[string]any            // of the run
	whole   map[string]*regexp.Regexp // what files look like that are not as before or after, by name
	after   []map[string]any          // options of the calls of the next run
	tidy    bool                      // the next run also removes temporary files
	alone   bool                      // what the run starts is not killed with it
}

// rounds is how often the sweep is made. Calls are counted for each thread, and Go shares the work
// among its threads differently each time, so that more rounds meet more points: WGMESH_CRASH=20.
func rounds(t *testing.T) int {
	t.Helper()
	n := must.Get(strconv.Atoi(cmp.Or(os.Getenv("WGMESH_CRASH"), "1")))(t, "WGMESH_CRASH: expected a number of rounds")
	return n
}

// changing are the calls at which a run is killed. Reads are not among them:
// what they come before differs in nothing from what they come after.
const changing = "openat,write,fsync,fchmod,fchmodat,fchown,fchownat,renameat,renameat2,linkat,unlinkat,mkdirat," +
	"sendto,sendmsg,connect,clone3,execve"

// TestCrash kills modules at one system call after another. Whatever was on the disk before or
// would be after is there whole, the next run converges, and the one after it has nothing to do.
func TestCrash(t *testing.T) {
	nettest.Need(t, "strace", "wg", "wg-quick", "bird")
	binary, ns := nettest.Wgmesh(t, "modules"), nettest.New(t, "crash")
	for run, prepare := range map[string]func(*testing.T, host) crash{
		"wg_keypair": crashKeypair, "wg_psk": crashPSK, "wg_tunnel": crashTunnel,
		"bird_config applied": crashBird, "bird_config confirmed": crashConfirmation,
	} {
		t.Run(run, func(t *testing.T) { prepare(t, newHost(t, binary, ns)).sweep(t) })
	}
}

// A host is where modules run: a network namespace, folders of its own for /run
// and systemd's units, and a systemctl that does nothing.
type host struct {
	nettest.Namespace
	binary, root string
}

func newHost(t *testing.T, binary string, ns nettest.Namespace) host {
	t.Helper()
	h := host{ns, binary, t.TempDir()}
	nettest.Sh(t, "%s",
		"cd "+h.root+
			"; mkdir -p run/systemd/system units tools; mkdir -m 0700 wireguard; "+
			"printf '#!/bin/sh\n' > tools/systemctl; chmod +x tools/systemctl")
	require.NoError(t, os.WriteFile(h.root+"/tools/systemd-run", []byte(waiting), 0o755))
	t.Cleanup(h.endWaiting)
	t.Setenv("PATH", h.root+"/tools:"+os.Getenv("PATH"))
	return h
}

// command is a program on the host.
func (h host) command(ctx context.Context, args ...string) *exec.Cmd {
	const enter = `mount --bind "$0/run" /run; mount --bind "$0/units" /etc/systemd/system; ` +
		`mount --bind "$0/wireguard" /etc/wireguard; exec "$@"`
	return exec.CommandContext(ctx, "ip",
		append([]string{"netns", "exec", h.Name, "unshare", "--mount", "sh", "-ec", enter, h.root}, args...)...)
}

var key = regexp.MustCompile(`^[A-Za-z0-9+/]{43}=\n$`)

func crashKeypair(t *testing.T, h host) crash {
	dir := filepath.Join(t.TempDir(), "wireguard")
	return crash{
		host: h, dir: dir, module: "wg_keypair", tidy: true,
		before: func() { require.NoError(t, os.RemoveAll(dir)) },
		options: map[string]any{
			"name": "me", "private_key_file": dir + "/me.key", "sealing_key_file": dir + "/me.seal",
			"identity_file": dir + "/me.id",
		},
		whole: map[string]*regexp.Regexp{
			"me.key":  key,
			"me.seal": regexp.MustCompile(`^[ -~]{60}\n$`), "me.id": regexp.MustCompile(`(?s)^\{.*\}\n$`),
		},
	}
}

func crashPSK(t *testing.T, h host) crash {
	base := t.TempDir()
	dir := base + "/psk"
	c := crash{
		host: h, dir: dir, module: "wg_psk", tidy: true,
		before: func() { require.NoError(t, os.RemoveAll(dir)) },
		whole:  map[string]*regexp.Regexp{"1.psk": key, "1.json": regexp.MustCompile(`(?s)^\{.*\}\n$`)},
	}
	for _, who := range []string{"me", "ann"} {
		reply := h.call(t, "wg_keypair", map[string]any{
			"name": who, "private_key_file": base + "/" + who + "/key",
			"sealing_key_file": base + "/" + who + "/seal", "identity_file": base + "/" + who + "/id",
		})
		if who == "ann" {
			c.options = map[string]any{
				"state": "sealed", "name": "me", "directory": dir,
				"private_key_file": base + "/me/key", "sealing_key_file": base + "/me/seal",
				"tunnels": []any{map[string]any{"number": 1, "peer": "ann", "role": "initiator"}},
				"peers": []any{map[string]any{
					"name": "ann", "public_key": reply["public_key"], "sealing_key": reply["sealing_key"],
				}},
			}
		}
	}
	return c
}

// crashTunnel changes a tunnel that is up: its files and what the kernel holds.
func crashTunnel(t *testing.T, h host) crash {
	dir := filepath.Join(t.TempDir(), "wireguard")
	require.NoError(t, os.Mkdir(dir, 0o700))
	name := nettest.Unique("c")
	nettest.Sh(t, "umask 077; wg genkey > %s/key", dir)
	const peer = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=" // an example of wg(8)
	options := func(port, mtu int) map[string]any {
		return map[string]any{
			"directory": dir, "private_key_file": dir + "/key", "interface_prefix": name,
			"tunnels": []any{map[string]any{
				"name": name, "listen_port": port, "mtu": mtu,
				"addresses": []string{fmt.Sprintf("172.31.20.0/%d", 22+port%9)},
				"peers": []any{map[string]any{
					"name": "ann", "public_key": peer, "endpoint": fmt.Sprintf("192.0.2.1:%d", port),
				}},
			}},
		}
	}
	t.Cleanup(func() { _ = h.command(context.Background(), "ip", "link", "del", name).Run() })
	return crash{
		host: h, dir: dir, module: "wg_tunnel", options: options(51821, 1380),
		before: func() { h.call(t, "wg_tunnel", options(51820, 1340)) },
		whole:  map[string]*regexp.Regexp{"key": key},
	}
}

func crashBird(t *testing.T, h host) crash {
	dir := t.TempDir()
	conf, socket := dir+"/bird.conf", dir+"/bird.ctl"
	require.NoError(t, os.WriteFile(conf, []byte("router id 9.9.9.9;\nprotocol device {}\n"), 0o640))
	nettest.WaitForBird(t, h.command(context.Background(), "bird", "-f", "-c", conf, "-s", socket),
		socket, t.TempDir()+"/bird.out")
	options := func(state string, number int) map[string]any {
		return map[string]any{
			"path": conf, "control_socket": socket, "state": state, "timeout": 60,
			"router_id": fmt.Sprintf("0.0.0.%d", number), "as": 65010,
		}
	}
	return crash{
		host: h, dir: dir, module: "bird_config", options: options("applied", 2),
		after: []map[string]any{options("applied", 2), options("confirmed", 2)},
		before: func() {
			for _, state := range []string{"undone", "applied", "confirmed"} {
				h.call(t, "bird_config", options(state, 1))
			}
		},
	}
}

// crashConfirmation is the second half of a change: BIRD keeps it, and it goes
// to bird.conf and its copy.
func crashConfirmation(t *testing.T, h host) crash {
	c := crashBird(t, h)
	before, try, confirm := c.before, c.after[0], c.after[1]
	c.before = func() {
		before()
		h.call(t, c.module, try)
	}
	c.options = confirm
	return c
}

// sweep kills the run at one point after another, until it is too short to
// reach the next. A point is the n-th call of any thread.
func (c crash) sweep(t *testing.T) {
	c.before()
	old := c.files(t)
	c.ordered(t)
	c.finish(t)
	want := c.files(t)
	points, longest := 0, 0
	for range rounds(t) {
		n := c.round(t, old, want)
		points, longest = points+n, max(longest, n)
	}
	require.NotZero(t, points, "the run was never killed")
	t.Logf("killed at %d points, up to call %d of a thread", points, longest)
}

// round is one sweep. It returns at how many points the run was killed.
func (c crash) round(t *testing.T, old, want map[string]string) (points int) {
	t.Helper()
	for n, past := 1, 0; past < 3 && !t.Failed(); n++ {
		c.before()
		trace, killed := c.kill(t, n)
		if !killed {
			past++ // this time no thread made so many calls
			continue
		}
		past = 0
		points++
		place := fmt.Sprintf("killed at call %d of a thread: %s", n, trace)
		for name, text := range c.files(t) {
			assert.True(t, c.isWhole(name, text, old, want), "%s is neither as before nor as after: %s", name, place)
		}
		c.finish(t)
		assert.Equal(t, slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(c.files(t))), place)
		if c.tidy {
			left := must.Get(filepath.Glob(c.dir + "/.*"))(t)
			assert.Empty(t, left, "temporary files of secrets stay: %s", place)
		}
	}
	return points
}

// isWhole compares without ever printing what is in a file.
func (c crash) isWhole(name, text string, old, want map[string]string) bool {
	if shape, ok := c.whole[name]; ok {
		return shape.MatchString(text)
	}
	if strings.Contains(name, ".cand-") {
		return slices.Contains(slices.Collect(maps.Values(want)), text)
	}
	was, there := old[name]
	return there && text == was || text == want[name]
}

// finish runs the module to its end, after which nothing is left to do.
func (c crash) finish(t *testing.T) {
	t.Helper()
	next := c.after
	if next == nil {
		next = []map[string]any{c.options}
	}
	for _, options := range next {
		c.call(t, c.module, options)
	}
	for _, options := range next {
		assert.Equal(t, false, c.call(t, c.module, options)["changed"], "the run after the next one changed something")
	}
}

// files reads the folder, without temporary files, which nobody reads, and sockets.
func (c crash) files(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	entries, _ := os.ReadDir(c.dir)
	for _, e := range entries {
		if e.Type().IsRegular() && !strings.HasPrefix(e.Name(), ".") {
			text := must.Get(os.ReadFile(filepath.Join(c.dir, e.Name())))(t)
			out[e.Name()] = string(text)
		}
	}
	return out
}

// kill runs the module and kills it, and what it runs, at the n-th call.
func (c crash) kill(t *testing.T, n int) (trace string, killed bool) {
	t.Helper()
	log := c.strace(t, fmt.Sprintf("--inject=%s:signal=KILL:when=%d", changing, n))
	lines := strings.Split(strings.TrimSpace(log), "\n")
	for i, line := range lines {
		if strings.Contains(line, "killed by SIGKILL") {
			return lines[max(0, i-1)], true
		}
	}
	return "", false
}

// strace runs the module under strace and returns the trace, in which no content is.
func (c crash) strace(t *testing.T, args ...string) string {
	t.Helper()
	log := filepath.Join(t.TempDir(), "trace")
	complete := len(args) == 0 // else something is to go wrong
	if c.alone {
		args = append(args, "--detach-on=execve")
	}
	args = append([]string{"-f", "-y", "-s", "0", "-o", log, "--trace=" + changing}, args...)
	cmd := c.command(t.Context(), append(append([]string{"strace"}, args...), c.binary, c.module)...)
	cmd.Stdin = strings.NewReader(encode(t, c.options))
	said, err := cmd.Output()
	if complete {
		require.NoError(t, err, "%s", said)
	}
	return string(must.Get(os.ReadFile(log))(t))
}

// call runs the module as it is, which must end well.
func (h host) call(t *testing.T, module string, options map[string]any) map[string]any {
	t.Helper()
	reply := nettest.Ask(t, h.command(t.Context(), h.binary, module), options)
	require.Nil(t, reply["failed"], "%s: %v", module, reply["msg"])
	return reply
}

func encode(t *testing.T, options map[string]any) string {
	t.Helper()
	return string(must.Get(json.Marshal(options))(t))
}

// A disk is what a power cut may do with what a run wrote: content counts from
// its fsync, a name from that of its folder.
type disk struct {
	dirty   map[string]bool // files with content that may be lost
	unnamed map[string]bool // folders with names that may be lost
	faults  []string
	places  int // how many files got their name
}

var (
	onFile  = regexp.MustCompile(`^(write|fsync)\(\d+<([^>]*)>`)
	onOpen  = regexp.MustCompile(`^openat\([^,]+, "([^"]+)", ([A-Z_|]+)`)
	onMove  = regexp.MustCompile(`^(renameat2?|linkat)\([^,]+, "([^"]+)", [^,]+, "([^"]+)"`)
	onClear = regexp.MustCompile(`^unlinkat\([^,]+, "([^"]+)"`)
	before  = regexp.MustCompile(`^\d+ +`)
)

// ordered runs the module once and follows its calls: a file gets its name when its content is
// safe, is never written under its name, and the run ends when its names are safe. So after a cut
// at any point it is the old one or the new one.
func (c crash) ordered(t *testing.T) {
	t.Helper()
	d := disk{dirty: map[string]bool{}, unnamed: map[string]bool{}}
	for line := range strings.Lines(c.strace(t)) {
		d.follow(c.dir, before.ReplaceAllString(line, ""))
	}
	for dir := range d.unnamed {
		d.faults = append(d.faults, "the run ended before the names in "+dir+" were safe")
	}
	assert.Empty(t, d.faults)
	assert.Positive(t, d.places, "the run wrote no file")
	t.Logf("%d files placed in order", d.places)
}

func (d *disk) follow(root, line string) {
	inside := func(path string) bool { return strings.HasPrefix(path, root+"/") }
	if strings.Contains(line, " = -1 ") {
		return
	}
	if m := onOpen.FindStringSubmatch(line); m != nil && inside(m[1]) {
		if flags := strings.Split(m[2], "|"); slices.Contains(flags, "O_WRONLY") || slices.Contains(flags, "O_RDWR") {
			if !strings.HasPrefix(filepath.Base(m[1]), ".") {
				d.faults = append(d.faults, m[1]+" is written in place")
			}
		}
	}
	if m := onFile.FindStringSubmatch(line); m != nil && (inside(m[2]) || m[2] == root) {
		if m[1] == "write" {
			d.dirty[m[2]] = true
		} else {
			delete(d.dirty, m[2])
			delete(d.unnamed, m[2])
		}
	}
	if m := onMove.FindStringSubmatch(line); m != nil && inside(m[3]) {
		if d.dirty[m[2]] {
			d.faults = append(d.faults, m[3]+" gets its name before its content is safe")
		}
		d.unnamed[filepath.Dir(m[3])] = true
		d.places++
	}
	if m := onClear.FindStringSubmatch(line); m != nil && inside(m[1]) && !strings.HasPrefix(filepath.Base(m[1]), ".") {
		d.unnamed[filepath.Dir(m[1])] = true
	}
}
