//go:build integration

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
)

// The end of an image build takes the network that cloud-init wrote only where cloud-init
// writes it again: else the image boots without one. Who may log in goes in any case.
func TestImageKeepsANetworkThatNobodyWritesAgain(t *testing.T) {
	const config, disabled = "etc/cloud/cloud.cfg", "etc/cloud/cloud.cfg.d/99-disabled.cfg"
	const kernel = "the kernel's command line has "
	networks := []string{
		"etc/netplan/50-cloud-init.yaml", "etc/network/interfaces.d/50-cloud-init",
		"etc/systemd/network/10-cloud-init-eth0.network",
		"etc/NetworkManager/system-connections/cloud-init-eth0.nmconnection",
	}
	for name, c := range map[string]struct{ file, text, why string }{
		"cloud-init writes":     {"proc/cmdline", "ro quiet\n", ""},
		"a comment":             {disabled, "network:\n#  config: disabled\n  version: 2\n", ""},
		"another key":           {disabled, "network: {version: 2}\nvendor_data: {config: disabled}\n", ""},
		"a key of another one":  {disabled, "system_info:\n  network: {config: disabled}\n", ""},
		"what it does not read": {"etc/cloud/cloud.cfg.d/README", "network: {config: disabled}\n", ""},

		"no program": {"usr/bin/cloud-init", "", "cloud-init is not installed"},
		"disabled":   {"etc/cloud/cloud-init.disabled", "\n", "/etc/cloud/cloud-init.disabled is there"},
		"masked": {
			"etc/systemd/system/cloud-init-local.service", "-> /dev/null", "cloud-init-local.service is masked",
		},
		"flow": {disabled, "network: {config: disabled}\n", "network is disabled in /" + disabled},
		"quoted": {
			config, "users: [default]\n\"network\": {\"version\": 2, \"config\": \"disabled\"}\n",
			"network is disabled in /" + config,
		},
		"block": {
			disabled, "# ours\nnetwork:\n  # no more\n\n  config: disabled # by hand\n",
			"network is disabled in /" + disabled,
		},
		"by the kernel": {"proc/cmdline", "ro cloud-init=disabled quiet\n", kernel + "cloud-init=disabled"},
		"its network by the kernel": {
			"boot/grub/grub.cfg", "  linux /vmlinuz ro network-config=disabled\n", kernel + "network-config=disabled",
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := cleanRoot(t)
			put := func(path, text string) {
				path = filepath.Join(root, path)
				require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
				if to, link := strings.CutPrefix(text, "-> "); link {
					require.NoError(t, os.Symlink(to, path))
					return
				}
				require.NoError(t, os.WriteFile(path, []byte(text), 0o755))
			}
			keys := []string{"root/.ssh/authorized_keys", "home/admin/.ssh/authorized_keys"}
			for _, path := range append(append(keys, networks...), "usr/bin/cloud-init") {
				put(path, "text")
			}
			if put(c.file, c.text); c.text == "" {
				require.NoError(t, os.Remove(filepath.Join(root, c.file)))
			}

			said := clean(t, root)
			var left, kept []string
			for _, path := range append(keys, networks...) {
				if _, err := os.Stat(filepath.Join(root, path)); err == nil {
					left = append(left, path)
				}
			}
			if c.why == "" {
				assert.Empty(t, left)
				assert.Empty(t, said)
				return
			}
			for _, path := range networks {
				kept = append(kept, "kept: /"+path+": "+c.why)
			}
			assert.Equal(t, networks, left)
			assert.Equal(t, kept, strings.Split(strings.TrimSpace(said), "\n"))
		})
	}
}

// cleanRoot is a root folder with the programs that clean.sh needs, and no other.
func cleanRoot(t *testing.T) string {
	root := t.TempDir()
	for _, dir := range strings.Fields("tools usr/bin etc/ssh var/log/journal var/tmp tmp dev run root home libs") {
		require.NoError(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	for _, dir := range []string{"lib", "lib64"} {
		if to, err := os.Readlink("/" + dir); err == nil {
			require.NoError(t, os.Symlink("libs/"+filepath.Base(to), filepath.Join(root, dir)))
		}
	}
	require.NoError(t, os.Symlink("../libs/lib", filepath.Join(root, "usr/lib")))
	for _, name := range strings.Fields("sh awk cat find grep head ln mkdir readlink rm sed sync true") {
		program := must.Get(filepath.EvalSymlinks(must.Get(exec.LookPath(name))(t)))(t)
		require.NoError(t, os.WriteFile(filepath.Join(root, "tools", name), must.Get(os.ReadFile(program))(t), 0o755))
	}
	require.NoError(t, os.Symlink("true", filepath.Join(root, "tools/systemctl")))
	return root
}

// clean runs what the role runs at the end of an image, with root as its /.
func clean(t *testing.T, root string) string {
	task := string(must.Get(os.ReadFile("../roles/router/tasks/end_image.yml"))(t))
	var script string
	for _, name := range []string{"cloud_init.sh", "clean.sh"} {
		text, err := os.ReadFile(roleFiles + name)
		if strings.Contains(task, "'"+name+"'") {
			require.NoError(t, err)
			script += string(text)
		}
	}
	cmd := exec.Command("unshare", "--mount", "sh", "-euc",
		`mount --bind /usr "$1/libs"; exec chroot "$1" /tools/sh -c "$2"`, "sh", root, script)
	cmd.Env = []string{"PATH=/tools:" + os.Getenv("PATH")}
	return must.Run(t, cmd)
}
