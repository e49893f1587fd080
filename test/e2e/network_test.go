//go:build e2e

package e2e

import (
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
