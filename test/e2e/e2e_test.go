//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
)

// inMesh is what a router says when it has joined.
const inMesh = `wgmesh join: \S+ is in the mesh: 3 of 3 peers`

// TestE2E builds on its steps, so the first that fails ends it. STEP=3 goes on with
// the third, on the machines that a run with KEEP=yes left.
func TestE2E(t *testing.T) {
	first := 1
	if step := os.Getenv("STEP"); step != "" {
		var err error
		first, err = strconv.Atoi(step)
		require.NoError(t, err, "STEP")
	}
	n := newNetwork(t, first)
	for i, step := range []struct {
		name string
		run  func(*testing.T, *network)
	}{
		{"four machines with nothing but user-data become a mesh on the kernel's WireGuard", bootAll},
		{"a second boot changes nothing, and needs no discovery", bootBlind},
		{"a clock that is an hour behind does not matter", bootInThePast},
		{"power cut in the middle of an apply leaves files that are old or new", cutPower},
		{"a router is replaced by a new machine, and the others do not notice", replace},
		{"bad input ends with one clear line and does no harm", badInput},
	} {
		if i+1 < first {
			continue
		}
		began := time.Now()
		if !t.Run(step.name, func(t *testing.T) { step.run(t, n) }) {
			t.FailNow()
		}
		t.Logf("%s: %.0f s", step.name, time.Since(began).Seconds())
	}
}

func bootAll(t *testing.T, n *network) {
	order := rand.Perm(len(n.routers))
	began := time.Now()
	for _, i := range order {
		n.routers[i].plug(t, "first")
		n.routers[i].start(t)
	}
	took := map[string]time.Duration{}
	var mu sync.Mutex
	n.each(func(m *machine) {
		line := m.says(t, inMesh, 20*time.Minute)
		mu.Lock()
		defer mu.Unlock()
		took[m.name] = time.Since(began)
		t.Logf("%3.0f s after power on: %s", took[m.name].Seconds(), line)
	})
	n.prove(t)
	m := n.router("azure-1")
	t.Logf("proved: Linux %s, 3 kernel tunnels, 3 BGP and 3 BFD sessions on each, and every site reaches every other",
		m.in(t, "uname -r"))
	keys := map[string]string{}
	n.each(func(m *machine) {
		out := m.in(t, "sha256sum /etc/wireguard/wgmesh.key; cat /etc/machine-id")
		mu.Lock()
		defer mu.Unlock()
		assert.NotContains(t, keys, out)
		keys[out] = m.name
	})
	assert.Len(t, keys, len(n.routers), "keys and machine ids are each machine's own")
}

// badInput boots machines that cannot or must not join, all at once.
func badInput(t *testing.T, n *network) {
	syntax := n.another(t, "syntax", "#cloud-config\nwrite_files:\n  - path: /etc/wgmesh/join.yml\n   content: [\n")
	lost := n.another(t, "lost", n.userData(t, "office-1", ""))
	second := n.another(t, "second", n.userData(t, "aws-1", n.inventory))
	clone := n.another(t, "clone", n.userData(t, "azure-2", n.inventory))
	n.bake(t, second)
	n.clone(t, clone)
	before := n.sessions(t)
	require.Len(t, before, 12)

	var wg sync.WaitGroup
	began := time.Now()
	for _, bad := range []struct {
		m     *machine
		lines []string
	}{
		{
			syntax,
			[]string{
				`wgmesh join: /etc/wgmesh/join.yml: no such file; ` +
					`the user-data .* is not YAML: invalid format at line 3 column 3`,
			},
		},
		{lost, []string{`wgmesh join: discovery failed: /etc/wgmesh/inventory.yml: no such file or directory`}},
		{second, []string{
			`aws-1: /etc/wireguard/wgmesh.key was there before and is kept: if it came with the image`,
			`has a tunnel to another aws-1, which is alive .* are there two machines with this name and id\?`,
		}},
		{clone, []string{
			`azure-2: the machine id changed since the keys were made \(a cloned disk\?\)`,
			`has a tunnel to another azure-2, which is alive .* are there two machines with this name and id\?`,
		}},
	} {
		bad.m.plug(t, bad.m.name)
		bad.m.start(t)
		wg.Go(func() {
			for _, pattern := range bad.lines {
				line := bad.m.says(t, pattern, 20*time.Minute)
				t.Logf("%3.0f s after power on, %s: %s", time.Since(began).Seconds(), bad.m.name, line)
			}
			// The last of them at every try; what is done once is said once.
			bad.m.waitFor(t,
				"systemctl status -l -n 50 wgmesh-join | grep -qP '"+bad.lines[len(bad.lines)-1]+"'", 10*time.Minute)
		})
	}
	wg.Wait()
	out := clone.in(t, "systemctl status --no-pager 'wg-quick@*' || true")
	assert.Contains(t, out, "stays down: the machine id changed",
		"the clone's tunnels must not come up with the keys of the first machine")
	time.Sleep(10 * time.Second)
	n.undisturbed(t, before)
	n.prove(t)
	for _, m := range []*machine{syntax, lost, second, clone} {
		m.rm(t)
	}
}

// keepDisk copies the disk of a machine that is off.
func (n *network) keepDisk(t *testing.T, m *machine) {
	t.Helper()
	run(t, "nice", "-n", "19", "qemu-img", "convert", "-O", "raw",
		filepath.Join(m.dir(), "disk.qcow2"), filepath.Join(n.work, "kept.raw"))
}

// clone gives m the disk that was kept and, as a cloud that makes machines of
// disks may, a machine id of its own.
func (n *network) clone(t *testing.T, m *machine) {
	t.Helper()
	n.change(t, m, filepath.Join(n.work, "kept.raw"), map[string]string{
		"/etc/machine-id":           strings.Repeat("c10e", 8) + "\n",
		"/etc/wgmesh/inventory.yml": n.inventory,
	})
}

// bake gives m the image with a key that somebody left in it.
func (n *network) bake(t *testing.T, m *machine) {
	t.Helper()
	raw := filepath.Join(n.work, "baked.raw")
	run(t, "nice", "-n", "19", "qemu-img", "convert", "-O", "raw", n.image, raw)
	n.change(t, m, raw, map[string]string{"/etc/wireguard/wgmesh.key": run(t, "wg", "genkey") + "\n"})
}

// change writes files into a raw disk that no machine runs on, and makes it the disk of m.
func (n *network) change(t *testing.T, m *machine, raw string, files map[string]string) {
	t.Helper()
	at := raw + "?offset=1048576"
	script := ""
	for path, text := range files {
		from := filepath.Join(n.work, "file-"+filepath.Base(path))
		require.NoError(t, os.WriteFile(from, []byte(text), 0o600))
		mode := "0100644"
		if strings.HasSuffix(path, ".key") {
			mode = "0100600"
		}
		script += "rm " + path + "\nwrite " + from + " " + path + "\nset_inode_field " + path + " mode " + mode + "\n"
	}
	commands := filepath.Join(n.work, "debugfs")
	require.NoError(t, os.WriteFile(commands, []byte(script), 0o600))
	run(t, "/sbin/debugfs", "-w", "-f", commands, at)
	require.NoError(t, os.MkdirAll(m.dir(), 0o700))
	run(t, "nice", "-n", "19", "qemu-img", "convert", "-O", "qcow2", raw, filepath.Join(m.dir(), "disk.qcow2"))
	require.NoError(t, os.Remove(raw))
}

// cutPower cuts the power of office-1, which makes the pre-shared keys of all its
// tunnels, while it makes new ones and changes its tunnels.
func cutPower(t *testing.T, n *network) {
	m := n.router("office-1")
	key := m.in(t, "sha256sum /etc/wireguard/wgmesh.key")
	for _, moment := range []struct{ what, watch, keepalive string }{
		{"as the first pre-shared key changes", "cat /etc/wireguard/wgmesh-psk/*", "21"},
		{"as the first tunnel's file changes", "cat /etc/wireguard/wg*.conf", "22"},
	} {
		m.in(t, `systemctl stop wgmesh-join.timer wgmesh-join.service
			sed -i '/mesh_keepalive/d; /mesh_rotate/d; s/^      vars:/      vars:\n        mesh_keepalive: `+
			moment.keepalive+`\n        mesh_rotate_preshared_keys: true/' /etc/wgmesh/inventory.yml
			rm -rf /root/before; cp -a /etc/wireguard /root/before; sync`)
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		cmd := m.ssh(ctx, "sudo", "bash", "-s")
		cmd.Stdin = strings.NewReader(`look() { ` + moment.watch + ` 2>/dev/null | cksum; }
			before=$(look)
			/usr/local/bin/wgmesh join >/dev/null 2>&1 &
			while [ "$(look)" = "$before" ]; do
				kill -0 $! || { echo "the join ended and nothing had changed"; exit; }
			done
			echo now; sleep 60`)
		out := must.Get(cmd.StdoutPipe())(t)
		require.NoError(t, cmd.Start())
		line := must.Get(bufio.NewReader(out).ReadString('\n'))(t)
		require.Equal(t, "now\n", line)
		m.cut(t)
		cancel()
		_ = cmd.Wait()
		applied := time.Since(began)

		began = m.start(t)
		m.reachable(t, 5*time.Minute)
		said := m.in(t, `cd /etc/wireguard; new=0 old=0
			for f in wg*.conf wgmesh-psk/*.psk wgmesh.key wgmesh.seal; do
				if cmp -s $f /root/before/$f; then old=$((old + 1)); else new=$((new + 1)); fi
				case $f in
				*.conf) [ "$(tail -n 1 $f)" = '# end' ] || { echo "$f breaks off"; exit 1; } ;;
				*.psk) [ "$(base64 -d < $f | wc -c)" = 32 ] || { echo "$f is no key"; exit 1; } ;;
				esac
			done
			! ls *.damaged 2>/dev/null || exit 1
			bird -p -c /etc/bird/bird.conf || exit 1
			echo $old files are old, $new are new, none is half`)
		line = m.says(t, inMesh, 15*time.Minute)
		t.Logf("cut %s, %.0f s after the apply began: %s; %.0f s after power on: %s", moment.what,
			applied.Seconds(), said, time.Since(began).Seconds(), line)
		m.waitFor(t, whole, 3*time.Minute)
		assert.Equal(t, key, m.in(t, "sha256sum /etc/wireguard/wgmesh.key"))
	}
	m.in(t, "sed -i '/mesh_keepalive/d; /mesh_rotate/d' /etc/wgmesh/inventory.yml")
	n.prove(t)
}

// state is what a boot that changes nothing leaves alone.
const state = `find /etc/wireguard /etc/bird /etc/wgmesh -type f | sort | xargs stat -c '%n %a %U %Y %s'; ` +
	`wg show all allowed-ips | sort; wg show all peers | sort`

// bootBlind boots azure-2 without its inventory. Its disk, as it was when it was
// powered off, is the one that badInput clones.
func bootBlind(t *testing.T, n *network) {
	m := n.router("azure-2")
	m.in(t, "mv /etc/wgmesh/inventory.yml /etc/wgmesh/away.yml")
	before := m.in(t, state)
	m.off(t)
	n.keepDisk(t, m)
	began := m.start(t)
	m.reachable(t, 5*time.Minute)
	m.waitFor(t, whole, 5*time.Minute)
	t.Logf("tunnels and sessions up %.1f s after network-online, %.0f s after power on",
		m.afterOnline(t), time.Since(began).Seconds())
	t.Log(m.says(t, "wgmesh join: discovery failed: .* using the routers known", 5*time.Minute))
	line := m.says(t, inMesh, 10*time.Minute)
	t.Logf("%3.0f s after power on: %s", time.Since(began).Seconds(), line)
	assert.Contains(t, line, "nothing changed")
	assert.Equal(t, before, m.in(t, state))
	m.in(t, "mv /etc/wgmesh/away.yml /etc/wgmesh/inventory.yml")
}

// bootInThePast boots aws-1 with a clock that is an hour behind and no time server, so
// the others refuse its handshakes: they remember later ones.
func bootInThePast(t *testing.T, n *network) {
	m := n.router("aws-1")
	m.in(t, "sync")
	m.cut(t)
	m.clock = time.Now().UTC().Add(-time.Hour).Format("2006-01-02T15:04:05")
	began := m.start(t)
	m.clock = ""
	m.reachable(t, 5*time.Minute)
	m.waitFor(t, whole, 5*time.Minute)
	behind := time.Since(time.Unix(int64(seconds(m.in(t, "date +%s"))), 0))
	require.Greater(t, behind, 55*time.Minute, "the clock is right, so this proves nothing")
	t.Logf("the clock is %v behind: tunnels and sessions up %.1f s after network-online, %.0f s after power on",
		behind.Round(time.Second), m.afterOnline(t), time.Since(began).Seconds())
	line := m.says(t, inMesh, 10*time.Minute)
	t.Logf("%3.0f s after power on: %s", time.Since(began).Seconds(), line)
	assert.Contains(t, line, "nothing changed")
	n.prove(t)
}

// afterOnline is how long after network-online.target the last of the router's
// sessions came up, by its own clock.
func (m *machine) afterOnline(t *testing.T) float64 {
	t.Helper()
	out := m.in(t, `cut -d ' ' -f 1 /proc/uptime; date +%H:%M:%S.%N
		systemctl show -P ActiveEnterTimestampMonotonic network-online.target
		birdc show protocols | awk '$2 == "BGP" { print $5 }'
		birdc show bfd sessions | awk '$3 == "Up" { print $4 }'`)
	f := strings.Fields(out)
	require.Len(t, f, 9, "uptime, time, network-online and 6 sessions: %s", out)
	latest := 0.0
	for _, at := range f[3:] {
		ago := seconds(f[1]) - seconds(at)
		if ago < 0 {
			ago += 24 * 3600
		}
		latest = max(latest, seconds(f[0])-ago)
	}
	return latest - seconds(f[2])/1e6
}

// replace destroys aws-1 and boots a new machine from the image, with the same
// user-data. It has keys of its own, and nobody touches another router.
func replace(t *testing.T, n *network) {
	m := n.router("aws-1")
	key := m.in(t, "wg pubkey < /etc/wireguard/wgmesh.key")
	m.rm(t)
	n.router("azure-1").waitFor(t, `[ "$(birdc show protocols | grep -c Established)" = 2 ]`, time.Minute)
	before := n.sessions(t, "aws-1")
	assert.Len(t, before, 6)

	m.plug(t, "second")
	m.nice = true
	began := m.start(t)
	m.nice = false // when it starts the next time
	line := m.says(t, inMesh, 15*time.Minute)
	t.Logf("%3.0f s after power on: %s", time.Since(began).Seconds(), line)
	// Four logins at once may take both processors for longer than BFD waits.
	m.renice(t, 0)
	n.prove(t)
	assert.NotEqual(t, key, m.in(t, "wg pubkey < /etc/wireguard/wgmesh.key"), "the keys are new")
	n.undisturbed(t, before)
}
