//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

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

// change writes files into a raw disk that no machine runs on, and makes it the
// disk of m.
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
