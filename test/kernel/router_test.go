//go:build kernel

package kernel

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
)

// A router has a network of its own, and a /run and folders in /etc of its own,
// so that our program and its defaults work in it as they do on a host.
type router struct {
	t    *testing.T
	name string
	id   int
	site int // 10.<site>.0.0/16
	hold int // process that keeps the namespaces
	bird *exec.Cmd
	plan map[string]json.RawMessage
}

// private is what a router does not share with the others.
const private = `set -e
mount -t sysfs sys /sys
mount -t tmpfs run /run
mkdir -p /run/bird
for dir in wireguard bird sysctl.d; do mount -t tmpfs -o mode=0700 etc /etc/$dir; done
echo ready
exec sleep infinity`

func newRouter(t *testing.T, name string, id, site int) *router {
	t.Helper()
	r := &router{t: t, name: name, id: id, site: site}
	hold := exec.Command("unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", private)
	out := must.Get(hold.StdoutPipe())(t)
	hold.Stderr = os.Stderr
	require.NoError(t, hold.Start())
	t.Cleanup(func() {
		_ = hold.Process.Kill()
		_ = hold.Wait()
	})
	line := must.Get(bufio.NewReader(out).ReadString('\n'))(t, "the namespaces of %s", name)
	require.Equal(t, "ready\n", line)
	r.hold = hold.Process.Pid

	host(t, "ip", "link", "add", "to-"+name, "type", "veth", "peer", "name", "eth0", "netns", strconv.Itoa(r.hold))
	host(t, "ip", "link", "set", "to-"+name, "master", "under", "up")
	for _, line := range []string{
		"ip link set lo up", "ip link set eth0 up", "ip addr add " + r.endpoint() + "/24 dev eth0",
		"ip link add lan type dummy", "ip link set lan up", "ip addr add " + r.address() + "/24 dev lan",
	} {
		r.run(strings.Fields(line)...)
	}
	r.write("/etc/bird/bird.conf", "protocol device {}\n")
	r.start()
	return r
}

func (r *router) endpoint() string { return fmt.Sprintf("192.0.2.%d", r.id) }
func (r *router) address() string  { return fmt.Sprintf("10.%d.0.4", r.site) }

// host runs a command in the virtual machine itself.
func host(t *testing.T, args ...string) {
	t.Helper()
	must.Run(t, exec.Command(args[0], args[1:]...))
}

// command is one in the router. It is not the child of anything in between.
func (r *router) command(args ...string) *exec.Cmd {
	return exec.Command("nsenter",
		append([]string{"--target", strconv.Itoa(r.hold), "--net", "--mount", "--"}, args...)...)
}

func (r *router) run(args ...string) string {
	r.t.Helper()
	out, err := r.command(args...).CombinedOutput()
	require.NoError(r.t, err, "%s: %v: %s", r.name, args, out)
	return string(out)
}

func (r *router) write(path, text string) {
	r.t.Helper()
	cmd := r.command("tee", path)
	cmd.Stdin = strings.NewReader(text)
	require.NoError(r.t, cmd.Run(), path)
}

// start starts BIRD from its file, as its unit does.
func (r *router) start() {
	r.t.Helper()
	r.bird = r.command("bird", "-f", "-c", "/etc/bird/bird.conf")
	r.bird.Stderr = must.Get(os.Create("/tmp/" + r.name + ".bird"))(r.t)
	require.NoError(r.t, r.bird.Start())
	require.Eventually(r.t, func() bool {
		return r.command("birdc", "show", "status").Run() == nil
	}, 2*time.Minute, 50*time.Millisecond,
		"BIRD of %s does not start", r.name)
	r.t.Cleanup(r.kill)
}

func (r *router) kill() {
	_ = r.bird.Process.Kill()
	_ = r.bird.Wait()
}

// module runs one of our modules in the router, as Ansible does.
func (r *router) module(name string, options map[string]any) (map[string]any, error) {
	in, err := json.Marshal(options)
	if err != nil {
		return nil, err
	}
	cmd := r.command(os.Getenv("WGMESH"), name)
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.CombinedOutput()
	var result map[string]any
	if jsonErr := json.Unmarshal(out, &result); jsonErr != nil {
		return nil, fmt.Errorf("%s: %s: %w: %s", r.name, name, err, out)
	}
	if result["failed"] == true {
		return nil, fmt.Errorf("%s: %s: %s", r.name, name, result["msg"])
	}
	return result, nil
}

// sessions returns since when each BGP session is up; what is not up is missing.
func (r *router) sessions() map[string]time.Time {
	r.t.Helper()
	up := map[string]time.Time{}
	for line := range strings.Lines(r.run("birdc", "show", "protocols")) {
		if f := strings.Fields(line); len(f) == 6 && f[1] == "BGP" && f[5] == "Established" {
			up[f[0]] = must.Get(time.Parse("15:04:05.000", f[4]))(r.t, line)
		}
	}
	return up
}

// steady requires that the two sessions of r are up since before.
func (r *router) steady(t *testing.T, before map[string]time.Time) {
	t.Helper()
	// BIRD computes the time anew, from how long ago it was: late on a busy machine, and
	// in time at another look.
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		after := r.sessions()
		assert.Len(c, after, 2, "%s: sessions that are up", r.name)
		for name, since := range after {
			assert.Less(c, since.Sub(before[name]), 500*time.Millisecond, "%s: session %s was down", r.name, name)
		}
	}, 30*time.Second, 100*time.Millisecond)
}

// reaches pings another router's site until an answer comes.
func (r *router) reaches(other *router) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		return r.command("ping", "-c", "1", "-W", "2", "-I", r.address(), other.address()).Run() == nil
	}, 2*time.Minute, 50*time.Millisecond, "%s does not reach %s", r.name, other.name)
}
