//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
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

// A network is the four routers of testdata/inventory.yml.
type network struct {
	routers   []*machine
	others    int // machines that are none of them: their number is 11 and up
	root      string
	work      string
	image     string
	inventory string
}

// addresses are where the routers are, and where their sites' hosts see them.
var addresses = map[string][2]string{
	"office-1": {"192.0.2.11", "10.30.1.10"},
	"azure-1":  {"192.0.2.13", "10.1.1.10"},
	"azure-2":  {"192.0.2.14", "10.1.2.10"},
	"aws-1":    {"192.0.2.15", "10.2.1.10"},
}

// newNetwork makes the SSH host keys and the inventory that has their public
// halves, and what each machine gets as user-data. If first is not the first step, it
// takes those that an earlier run left, and its machines.
func newNetwork(t *testing.T, first int) *network {
	t.Helper()
	root := must.Get(filepath.Abs("../.."))(t)
	n := &network{root: root, image: os.Getenv("IMAGE"), work: filepath.Join(root, "build/e2e")}
	require.FileExists(t, n.image, "IMAGE names no image of a router: run make e2e")
	if first == 1 {
		n.clear(t)
		sshKey(t, filepath.Join(n.work, "key"), "e2e")
	}
	n.inventory = string(must.Get(os.ReadFile("testdata/inventory.yml"))(t))
	for i, name := range []string{"office-1", "azure-1", "azure-2", "aws-1"} {
		if first == 1 {
			sshKey(t, n.hostKey(name), name)
		}
		public := must.Get(os.ReadFile(n.hostKey(name) + ".pub"))(t)
		require.Contains(t, n.inventory, name+": {")
		n.inventory = strings.Replace(n.inventory, name+": {",
			fmt.Sprintf("%s: {mesh_host_key: %q, ", name, strings.TrimSpace(string(public))), 1)
		n.routers = append(n.routers, n.machine(t, name, i+1))
	}
	for _, m := range n.routers {
		at := addresses[m.name]
		m.files = seed{n.userData(t, m.name, n.inventory), ethernet(at[0], at[1])}
	}
	return n
}

// clear removes the machines of a run that was killed, or was told to keep them.
func (n *network) clear(t *testing.T) {
	t.Helper()
	pids := must.Get(filepath.Glob(filepath.Join(n.work, "*", "pid")))(t)
	for _, pid := range pids {
		(&machine{root: n.root, work: n.work, name: filepath.Base(filepath.Dir(pid))}).rm(t)
	}
	require.NoError(t, os.RemoveAll(n.work))
	require.NoError(t, os.MkdirAll(n.work, 0o700))
}

func sshKey(t *testing.T, path, comment string) {
	t.Helper()
	run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path)
}

// machine is a machine that is gone when the test ends, however it ends.
func (n *network) machine(t *testing.T, name string, number int) *machine {
	t.Helper()
	m := &machine{name: name, n: number, root: n.root, work: n.work, image: n.image}
	t.Cleanup(func() {
		if os.Getenv("KEEP") == "" {
			m.rm(t)
		}
	})
	return m
}

// another is a machine that is none of the four. It must not take the processor away
// from them: their BFD sessions would notice that, and it would say nothing.
func (n *network) another(t *testing.T, name, userData string) *machine {
	t.Helper()
	n.others++
	m := n.machine(t, name, 10+n.others)
	m.nice = true
	m.files = seed{userData, ethernet(fmt.Sprintf("192.0.2.%d", 100+n.others))}
	return m
}

func (n *network) router(name string) *machine {
	for _, m := range n.routers {
		if m.name == name {
			return m
		}
	}
	panic("there is no router " + name)
}

func (n *network) hostKey(name string) string { return filepath.Join(n.work, "host-"+name) }

// userData is examples/join/user-data for a router: its SSH host key, how to join,
// and who is there, unless inventory is "".
func (n *network) userData(t *testing.T, router, inventory string) string {
	t.Helper()
	private := must.Get(os.ReadFile(n.hostKey(router)))(t)
	public := must.Get(os.ReadFile(n.hostKey(router) + ".pub"))(t)
	text := fmt.Sprintf("#cloud-config\nssh_deletekeys: true\nssh_keys:\n  ed25519_private: |\n%s  ed25519_public: %s"+
		"write_files:\n  - path: /etc/wgmesh/join.yml\n    content: |\n      router: %s\n"+
		"      inventory: /etc/wgmesh/inventory.yml\n"+
		// An emulated processor takes its time, and Ansible takes it away: by asking every millisecond.
		"      discovery_timeout: 5m\n      play_timeout: 19m\n"+
		"  - path: /etc/ansible/ansible.cfg\n    content: |\n      [defaults]\n      internal_poll_interval = 0.05\n",
		indent(string(private), 4), public, router)
	if inventory != "" {
		text += "  - path: /etc/wgmesh/inventory.yml\n    content: |\n" + indent(inventory, 6)
	}
	return text
}

// ethernet configures the two interfaces: the test's way in, and the internet
// with the address of the site.
func ethernet(addresses ...string) string {
	for i := range addresses {
		addresses[i] += "/24"
	}
	return fmt.Sprintf("version: 2\nethernets:\n  enp0s2: {dhcp4: true}\n  enp0s3: {addresses: [%s]}\n",
		strings.Join(addresses, ", "))
}

func indent(text string, by int) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.Repeat(" ", by) + line)
	}
	return b.String()
}

func run(t *testing.T, args ...string) string {
	t.Helper()
	return strings.TrimSpace(must.Run(t, exec.Command(args[0], args[1:]...)))
}

// each runs f for every router at once.
func (n *network) each(f func(*machine)) {
	var wg sync.WaitGroup
	for _, m := range n.routers {
		wg.Go(func() { f(m) })
	}
	wg.Wait()
}

// whole succeeds when all sessions of a router are up.
const whole = `[ "$(birdc show protocols 2>/dev/null | grep -c Established)" = 3 ] && [ "$(birdc show bfd ` +
	`sessions 2>/dev/null | grep -c ' Up ')" = 3 ]`

// prove requires of every router that its tunnels are the kernel's, that all sessions
// are up, and that it reaches every other site.
func (n *network) prove(t *testing.T) {
	t.Helper()
	n.each(func(m *machine) {
		m.waitFor(t, whole, 3*time.Minute)
		script := `[ -d /sys/module/wireguard ] || { echo "no WireGuard in the kernel"; exit 1; }
			[ "$(ip -d -o link show type wireguard | wc -l)" = 3 ] ||
				{ echo "not 3 interfaces of the kernel's WireGuard"; exit 1; }
			! pgrep -l wireguard || { echo "WireGuard in user space"; exit 1; }
		`
		for name, at := range addresses {
			if site(name) != site(m.name) {
				script += fmt.Sprintf(
					"ping -q -c 3 -i 0.3 -w 20 -I %s %s >/dev/null || { echo no ping to %s; exit 1; }\n",
					addresses[m.name][1], at[1], name)
			}
		}
		out, err := m.try(script, 3*time.Minute)
		assert.NoError(t, err, "%s: %s", m.name, out)
	})
	if t.Failed() {
		t.FailNow()
	}
}

// site is the site of a router. Inside of it the cloud carries what hosts send.
func site(router string) string { return strings.SplitN(router, "-", 2)[0] }

var since = regexp.MustCompile(`(?m)^(\S+)\s+BGP\s.*up\s+(\S+)\s+Established`)

// sessions is since when the BGP sessions of each router are up, without those
// with the routers in except.
func (n *network) sessions(t *testing.T, except ...string) map[string]string {
	t.Helper()
	var mu sync.Mutex
	out := map[string]string{}
	n.each(func(m *machine) {
		if slices.Contains(except, m.name) {
			return
		}
		for _, f := range since.FindAllStringSubmatch(m.in(t, "birdc show protocols"), -1) {
			mu.Lock()
			out[m.name+" "+f[1]] = f[2]
			mu.Unlock()
		}
	})
	return out
}

// undisturbed requires that the sessions of before are up since then.
func (n *network) undisturbed(t *testing.T, before map[string]string, except ...string) {
	t.Helper()
	after := n.sessions(t, except...)
	for name, was := range before {
		if assert.Contains(t, after, name, "this session is down") {
			// BIRD computes the time anew, to some milliseconds.
			assert.InDelta(t, seconds(was), seconds(after[name]), 0.5,
				"session %s was down: up since %s, before since %s", name, after[name], was)
		}
	}
}

// seconds are those of a day at a time such as 12:34:56.789.
func seconds(clock string) float64 {
	sum := 0.0
	for part := range strings.SplitSeq(clock, ":") {
		value, _ := strconv.ParseFloat(part, 64)
		sum = 60*sum + value
	}
	return sum
}

// A machine is a virtual machine and its user-data. test/image/vm runs it.
type machine struct {
	name  string // of its folder
	n     int    // its number on this host
	root  string // of the repository
	work  string
	image string
	files seed
	nice  bool   // it leaves the processor to the others
	clock string // what its clock says at power on; "" for the time
}

// A seed is what a cloud gives a machine.
type seed struct{ userData, network string }

func (m *machine) dir() string     { return filepath.Join(m.work, m.name) }
func (m *machine) key() string     { return filepath.Join(m.work, "key") }
func (m *machine) control() string { return filepath.Join(m.work, "ssh-"+m.name) }

// vm runs a command of test/image/vm.
func (m *machine) vm(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(m.root, "test/image/vm"), args...)
	cmd.Dir = m.root
	cmd.Env = append(os.Environ(), "PORTS=2300", "LAN=239.255.42.43:4343", "MEMORY=640",
		"NETWORK=closed", "CLOCK="+m.clock)
	must.Run(t, cmd)
}

// plug makes the disk with the machine's user-data. instance is what a cloud gives
// every machine anew.
func (m *machine) plug(t *testing.T, instance string) {
	t.Helper()
	key := must.Get(os.ReadFile(m.key() + ".pub"))(t)
	dir := filepath.Join(m.work, "seed-"+m.name)
	require.NoError(t, os.MkdirAll(dir, 0o700))
	for name, text := range map[string]string{
		// Who may log in stands here, so that the test comes in when user-data is broken.
		"meta-data": fmt.Sprintf("instance-id: %s\nlocal-hostname: %s\npublic-keys: [%s]\n",
			instance, m.name, strings.TrimSpace(string(key))),
		"user-data":      m.files.userData,
		"network-config": m.files.network,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	m.vm(t, "seed", filepath.Join(m.work, "seed-"+m.name+".iso"), dir)
}

// start turns the power on. The console of an earlier start is kept beside it.
func (m *machine) start(t *testing.T) time.Time {
	t.Helper()
	_ = os.Rename(filepath.Join(m.dir(), "console"), filepath.Join(m.dir(), "console.before"))
	began := time.Now()
	m.vm(t, "start", m.dir(), m.image, filepath.Join(m.work, "seed-"+m.name+".iso"), fmt.Sprint(m.n))
	if m.nice {
		m.renice(t, 19)
	}
	return began
}

// renice says how nice a running machine is to the others, 0 to 19. Linux has that for each thread,
// and compares it inside of a session only, unless the session has one too (sched(7), autogroup).
func (m *machine) renice(t *testing.T, to int) {
	t.Helper()
	pid := must.Get(os.ReadFile(filepath.Join(m.dir(), "pid")))(t)
	process := filepath.Join("/proc", strings.TrimSpace(string(pid)))
	err := os.WriteFile(filepath.Join(process, "autogroup"), fmt.Append(nil, to), 0)
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, err)
	}
	threads := must.Get(os.ReadDir(filepath.Join(process, "task")))(t)
	for _, thread := range threads {
		tid := must.Get(strconv.Atoi(thread.Name()))(t)
		// it may end meanwhile
		if err := syscall.Setpriority(syscall.PRIO_PROCESS, tid, to); !errors.Is(err, syscall.ESRCH) {
			require.NoError(t, err)
		}
	}
}

// cut takes the power away.
func (m *machine) cut(t *testing.T) { t.Helper(); m.vm(t, "stop", m.dir()) }

// off shuts the machine down in order.
func (m *machine) off(t *testing.T) {
	t.Helper()
	_, _ = m.try("systemctl poweroff", time.Minute)
	pid, err := os.ReadFile(filepath.Join(m.dir(), "pid"))
	if err == nil {
		require.Eventually(t, func() bool {
			_, err := os.Stat("/proc/" + strings.TrimSpace(string(pid)))
			return err != nil
		}, 3*time.Minute, 200*time.Millisecond, "%s does not power off", m.name)
	}
	m.cut(t)
}

// rm removes the machine and its disk.
func (m *machine) rm(t *testing.T) { t.Helper(); m.vm(t, "rm", m.dir()) }

// console is what the machine said on its console since power on, without the BIOS's escape codes.
func (m *machine) console() string {
	text, _ := os.ReadFile(filepath.Join(m.dir(), "console"))
	return escapes.ReplaceAllString(string(text), "")
}

var escapes = regexp.MustCompile(`\x1b(\[[0-9;?=]*[a-zA-Z]|c)|\r`)

// says waits until a line on the console matches, and returns it.
func (m *machine) says(t *testing.T, pattern string, limit time.Duration) string {
	t.Helper()
	re := regexp.MustCompile(`(?m)^.*(?:` + pattern + `).*$`)
	line := ""
	require.Eventually(t, func() bool {
		line = strings.TrimSpace(re.FindString(m.console()))
		return line != ""
	}, limit, 200*time.Millisecond, "%s does not say %q; its console:\n%s", m.name, pattern, lazy(func() string {
		return tail(m.console(), 25)
	}))
	// systemd and the kernel put their own words before it.
	if _, said, found := strings.Cut(line, "]: "); found {
		return said
	}
	return line
}

// lazy is a text that is made when it is printed.
type lazy func() string

func (l lazy) String() string { return l() }

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// in runs a script as root.
func (m *machine) in(t *testing.T, script string) string {
	t.Helper()
	out, err := m.try(script, 10*time.Minute)
	require.NoError(t, err, "%s: %s: %s", m.name, script, out)
	return strings.TrimSpace(out)
}

// try is in for what may fail.
func (m *machine) try(script string, limit time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := m.ssh(ctx, "sudo", "bash", "-s")
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (m *machine) ssh(ctx context.Context, command ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ssh", append([]string{
		"-F", "/dev/null", "-i", m.key(), "-p", fmt.Sprint(2300 + m.n), "-o", "BatchMode=yes", "-o",
		"IdentitiesOnly=yes",
		"-o", "ConnectTimeout=30", "-o", "LogLevel=ERROR", "-o", "StrictHostKeyChecking=no", "-o",
		"UserKnownHostsFile=/dev/null",
		"-o", "ControlMaster=auto", "-o", "ControlPersist=30", "-o", "ControlPath=" + m.control(), "debian@127.0.0.1",
	}, command...)...)
}

// reachable waits until the test can log in.
func (m *machine) reachable(t *testing.T, limit time.Duration) {
	t.Helper()
	end := time.Now().Add(limit)
	for {
		if _, err := m.try("true", 40*time.Second); err == nil {
			return
		}
		require.True(t, time.Now().Before(end), "%s does not answer; its console:\n%s", m.name, tail(m.console(), 25))
		time.Sleep(time.Second)
	}
}

// waitFor waits in the machine, so that nothing is asked again and again from here.
func (m *machine) waitFor(t *testing.T, condition string, limit time.Duration) {
	t.Helper()
	script := fmt.Sprintf("end=$((SECONDS + %d)); until { %s; }; do [ $SECONDS -lt $end ] || exit 1; sleep 0.5; done",
		int(limit.Seconds()), condition)
	out, err := m.try(script, limit+time.Minute)
	if err != nil {
		now, _ := m.try(
			"birdc show protocols; birdc show bfd sessions; wg show all latest-handshakes; "+
				"systemctl --failed --no-legend", time.Minute)
		require.NoError(t, err, "%s: not within %v: %s\n%s\n%s", m.name, limit, condition, out, now)
	}
}
