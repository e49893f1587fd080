//go:build kernel

package kernel

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
)

// The chain of our modules on three routers makes a network of the kernel's
// WireGuard and BIRD; the law holds on all of it; a tunnel may fail, lines may
// be bad, and a router may come back with its clock an hour behind.
func TestMesh(t *testing.T) {
	n := newNetwork(t)
	for _, step := range []struct {
		name string
		do   func(*network, *testing.T)
	}{
		{"converge", (*network).testConverge},
		{"failover", (*network).testFailover},
		{"bad lines", (*network).testBadLines},
		{"clock", (*network).testClock},
	} {
		require.True(t, t.Run(step.name, func(t *testing.T) { step.do(n, t) }), "what comes next needs this")
	}
}

func (n *network) testConverge(t *testing.T) {
	began := time.Now()
	assert.NotEmpty(t, n.converge(false))
	t.Logf("3 routers, 3 tunnels, from nothing to healthy: %s", time.Since(began).Round(100*time.Millisecond))
	before, sessions := n.state(), n.sessions()
	assert.Empty(t, n.converge(true), "check mode after a run")
	assert.Empty(t, n.converge(false), "the second run")
	assert.Equal(t, before, n.state(), "a run that changes nothing must change nothing")
	for _, r := range n.routers() {
		assert.Equal(t, 2,
			strings.Count(r.run("ip", "-d", "-o", "link", "show", "type", "wireguard"), "wireguard"),
			"%s: tunnels of the kernel", r.name)
		r.steady(t, sessions[r.name])
	}
}

// state is what a run that changes nothing leaves alone.
func (n *network) state() string {
	text := ""
	for _, r := range n.routers() {
		text += r.run("sh", "-c", `ip -d addr; ip rule; ip route; nft list ruleset
			for i in $(wg show interfaces); do
				for f in public-key listen-port fwmark peers endpoints allowed-ips persistent-keepalive; do
					wg show $i $f
				done
			done
			sha256sum /etc/wireguard/* /etc/bird/* /etc/sysctl.d/* 2>/dev/null; sysctl net.ipv4.ip_forward`)
	}
	return text
}

func (n *network) sessions() map[string]map[string]time.Time {
	all := map[string]map[string]time.Time{}
	for _, r := range n.routers() {
		all[r.name] = r.sessions()
	}
	return all
}

// One tunnel's path drops everything, in silence. BFD notices, and the third
// site carries the traffic.
func (n *network) testFailover(t *testing.T) {
	gap := n.stream(n.office, n.aws)
	time.Sleep(time.Second)
	n.cut(n.office, n.aws)
	began := time.Now()
	require.Eventually(t, func() bool {
		return n.via(n.office, n.aws) == "wg1" && n.via(n.aws, n.office) == "wg3"
	}, 2*time.Minute, 50*time.Millisecond,
		"traffic does not go around by azure")
	moved := time.Since(began)
	n.office.reaches(n.aws)
	lost := gap()
	t.Logf("path of wg2 dropped: routes moved after %s, ping lost %s", moved.Round(10*time.Millisecond), lost)
	assert.Less(t, lost, 15*time.Second, "BFD did not notice: the hold time is 30 s")
	n.mend(n.office, n.aws)
	t.Logf("path back: healthy after %s", n.healthy(4*time.Minute))
	assert.Equal(t, "wg2", n.via(n.office, n.aws))
}

// 20 ms, jitter and 1 % loss each way for 30 s must not take a session down.
func (n *network) testBadLines(t *testing.T) {
	before := n.sessions()
	for _, r := range n.routers() {
		r.run(strings.Fields("tc qdisc add dev eth0 root netem delay 20ms 5ms loss 1%")...)
	}
	gap := n.stream(n.office, n.aws)
	time.Sleep(30 * time.Second)
	lost := gap()
	for _, r := range n.routers() {
		r.steady(t, before[r.name])
		r.run("tc", "qdisc", "del", "dev", "eth0", "root")
	}
	t.Logf("30 s of 20 ms, jitter 5 ms and 1 %% loss each way: 6 sessions stay up; longest gap %s", lost)
}

// The office loses power and boots with its clock an hour behind. WireGuard refuses handshakes that
// are older than the last one, so the others, who remember, must be the ones to call.
func (n *network) testClock(t *testing.T) {
	r := n.office
	r.kill()
	for _, tunnel := range []string{"wg1", "wg2"} {
		r.run("ip", "link", "del", tunnel)
	}
	r.run("nft", "flush", "ruleset")
	host(t, "date", "-s", "-1 hour")
	began := time.Now() // and Go's clock for this does not go back
	for _, tunnel := range []string{"wg1", "wg2"} {
		r.run("wg-quick", "up", tunnel)
	}
	r.start()
	result := must.Get(r.module("wg_tunnel", n.tunnels(r)))(t)
	assert.Equal(t, false, result["changed"],
		"what wg-quick brings up from our files is what we want: %v", result["done"])
	up := map[string]time.Duration{}
	require.Eventually(t, func() bool {
		for _, line := range strings.Split(strings.TrimSpace(r.run("wg", "show", "all", "latest-handshakes")), "\n") {
			if f := strings.Fields(line); f[2] != "0" && up[f[0]] == 0 {
				up[f[0]] = time.Since(began).Round(100 * time.Millisecond)
			}
		}
		return len(up) == 2
	}, 2*time.Minute, 100*time.Millisecond, "tunnels do not come up: %v", up)
	n.healthy(4 * time.Minute)
	all := time.Since(began).Round(100 * time.Millisecond)
	t.Logf("clock an hour behind: handshakes after %v, healthy after %s", up, all)
	// 16 s on a quiet machine; emulated and busy it takes twice that
}

// via is the interface by which a sends to the site of b.
func (n *network) via(a, b *router) string {
	_, rest, _ := strings.Cut(a.run("ip", "route", "get", b.address(), "from", a.address()), " dev ")
	name, _, _ := strings.Cut(rest, " ")
	return name
}

// cut drops what goes between the endpoints of a and b, mend lets it pass.
func (n *network) cut(a, b *router) {
	for _, end := range [][2]*router{{a, b}, {b, a}} {
		end[0].run("nft",
			"add table inet cut; add chain inet cut in { type filter hook input priority 0; }; "+
				"add rule inet cut in ip saddr "+end[1].endpoint()+" drop")
	}
}

func (n *network) mend(a, b *router) {
	a.run("nft", "delete table inet cut")
	b.run("nft", "delete table inet cut")
}

// stream pings from site to site until what it returns is called, which tells
// the longest time without an answer.
func (n *network) stream(a, b *router) func() time.Duration {
	const pause = 50 * time.Millisecond
	n.t.Helper()
	file := must.Get(os.CreateTemp("", "ping"))(n.t)
	cmd := a.command("ping", "-n", "-i", fmt.Sprint(pause.Seconds()), "-I", a.address(), b.address())
	cmd.Stdout = file
	require.NoError(n.t, cmd.Start())
	return func() time.Duration {
		require.NoError(n.t, cmd.Process.Signal(syscall.SIGINT))
		var exit *exec.ExitError
		if err := cmd.Wait(); err != nil {
			require.ErrorAs(n.t, err, &exit)
		}
		text := must.Get(os.ReadFile(file.Name()))(n.t)
		last, longest, answers := 0, 0, regexp.MustCompile(`icmp_seq=(\d+) ttl`).FindAllStringSubmatch(string(text), -1)
		require.NotEmpty(n.t, answers, "%s", text)
		for _, a := range answers {
			seq, _ := strconv.Atoi(a[1])
			longest, last = max(longest, seq-last-1), max(last, seq)
		}
		return time.Duration(longest) * pause
	}
}

// A network is three sites with one router each: office, azure and aws.
type network struct {
	t                  *testing.T
	office, azure, aws *router
	told               map[string]any // public keys of the routers
	reach              map[string]any // their addresses at their sites
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	require.FileExists(t, "/src/test/kernel/tests",
		"this test sets the clock back: it runs in the virtual machine of `make kernel` only")
	host(t, "ip", "link", "add", "under", "type", "bridge")
	host(t, "ip", "link", "set", "under", "up")
	n := &network{
		t: t, office: newRouter(t, "office-1", 1, 0), azure: newRouter(t, "azure-1", 2, 1),
		aws:  newRouter(t, "aws-1", 3, 2),
		told: map[string]any{}, reach: map[string]any{},
	}
	sites, routers := map[string]any{}, map[string]any{}
	for _, r := range n.routers() {
		site, _, _ := strings.Cut(r.name, "-")
		sites[site] = map[string]any{
			"as": 65000 + 10*r.id, "networks": fmt.Sprintf("10.%d.0.0/16", r.site),
			"gateway": fmt.Sprintf("10.%d.0.1", r.site),
		}
		routers[r.name] = map[string]any{"id": r.id, "site": site, "endpoint": r.endpoint()}
	}
	n.each(func(r *router) error {
		result, err := r.module("mesh_plan", map[string]any{"router": r.name, "routers": routers, "sites": sites})
		if err != nil {
			return err
		}
		raw, err := json.Marshal(result["plan"])
		if err != nil {
			return err
		}
		return json.Unmarshal(raw, &r.plan)
	})
	return n
}

func (n *network) routers() []*router { return []*router{n.office, n.azure, n.aws} }

// each does the same on all routers at once.
func (n *network) each(do func(r *router) error) {
	n.t.Helper()
	var wait sync.WaitGroup
	errs := make([]error, len(n.routers()))
	for i, r := range n.routers() {
		wait.Go(func() { errs[i] = do(r) })
	}
	wait.Wait()
	for _, err := range errs {
		require.NoError(n.t, err)
	}
}

// converge does what the role mesh does, step by step, and returns what said
// that it changed something.
func (n *network) converge(check bool) (changed []string) {
	n.t.Helper()
	var lock sync.Mutex
	step := func(module string, options func(r *router) map[string]any, keep func(r *router, result map[string]any)) {
		n.t.Helper()
		n.each(func(r *router) error {
			o := options(r)
			o["_ansible_check_mode"] = check
			result, err := r.module(module, o)
			if err != nil {
				return err
			}
			lock.Lock()
			defer lock.Unlock()
			if result["changed"] == true {
				changed = append(changed, r.name+": "+module)
			}
			keep(r, result)
			return nil
		})
	}
	nothing := func(*router, map[string]any) {}
	var envelopes []any
	pending := false

	step("wg_keypair", func(r *router) map[string]any { return map[string]any{"name": r.name} },
		func(r *router, result map[string]any) { n.told[r.name] = result["public"] })
	for _, state := range []string{"sealed", "opened"} {
		step("wg_psk", func(r *router) map[string]any {
			return map[string]any{
				"state": state, "name": r.name, "tunnels": r.plan["preshared_keys"],
				"peers": values(n.told), "envelopes": sealedFor(r, envelopes),
			}
		}, func(_ *router, result map[string]any) {
			list, _ := result["envelopes"].([]any)
			envelopes = append(envelopes, list...)
		})
	}
	step("sysctl_router", func(r *router) map[string]any { return options(r.plan["sysctl"]) }, nothing)
	step("wg_tunnel", func(r *router) map[string]any { return n.tunnels(r) },
		func(r *router, result map[string]any) {
			if !check {
				assert.Equal(n.t, "kernel", result["implementation"], r.name)
			}
		})
	bird := func(state string) func(*router) map[string]any {
		return func(r *router) map[string]any {
			o := options(r.plan["bird"])
			o["state"] = state
			return o
		}
	}
	step("bird_config", bird("applied"), func(r *router, result map[string]any) {
		n.reach[r.name] = result["source_addresses"]
		pending = pending || result["pending"] == true
	})
	if !check {
		n.healthy(4 * time.Minute)
	}
	if pending && !check {
		step("bird_config", bird("confirmed"), nothing)
	}
	return changed
}

// tunnels are the options of wg_tunnel.
func (n *network) tunnels(r *router) map[string]any {
	keys := map[string]any{}
	for name, public := range n.told {
		keys[name] = public.(map[string]any)["public_key"]
	}
	return map[string]any{"tunnels": r.plan["tunnels"], "public_keys": keys}
}

// healthy waits until all routers say that the network works, and returns how long that took.
func (n *network) healthy(within time.Duration) time.Duration {
	n.t.Helper()
	began := time.Now()
	n.each(func(r *router) error {
		o := options(r.plan["status"])
		o["reach"], o["wait"] = n.reach, int(within.Seconds())
		_, err := r.module("mesh_status", o)
		return err
	})
	return time.Since(began).Round(100 * time.Millisecond)
}

func options(raw json.RawMessage) map[string]any {
	o := map[string]any{}
	if err := json.Unmarshal(raw, &o); err != nil {
		panic(err) // a plan of ours that is not an object
	}
	return o
}

func values(m map[string]any) []any {
	list := []any{}
	for _, v := range m {
		list = append(list, v)
	}
	return list
}

func sealedFor(r *router, envelopes []any) []any {
	list := []any{}
	for _, e := range envelopes {
		if e.(map[string]any)["to"] == r.name {
			list = append(list, e)
		}
	}
	return list
}

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
