//go:build integration

package main

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
	"github.com/wgmesh/router/pkg/birdc"
)

// A BIRD by hand whose neighbours already speak to the mesh loses its ways, and says so to
// the kernel. What is forwarded goes on by the copies until the mesh's BIRD has a way.
func TestTakeOverKeepsTheWay(t *testing.T) {
	nettest.Need(t, "bird", "ip")
	h := newHandmade(t)
	require.NoError(t, os.Remove(filepath.Join(filepath.Dir(h.log), "ip")), "that of the host from here on")
	t.Setenv("WGMESH_REST", "1")
	router, far := nettest.New(t, "hand"), nettest.New(t, "far")
	nettest.Cable(t, router, "wg-a", far, "wg-a")
	for i, n := range []nettest.Namespace{router, far} {
		n.IP(t, "addr", "add", []string{"172.31.1.1/24", "172.31.1.2/24"}[i], "dev", "wg-a")
		n.IP(t, "link", "set", "wg-a", "up")
	}
	dir := t.TempDir()
	conf, socket := filepath.Join(dir, "bird.conf"), filepath.Join(dir, "bird.ctl")
	bird := func(kernel, route string) {
		t.Helper()
		must.Write(t, conf,
			"router id 172.31.1.1;\nprotocol device { scan time 1; }\n"+
				"protocol kernel { scan time 1; "+kernel+" ipv4 { import none; export all; }; }\n"+
				"protocol static { ipv4; route 10.1.0.0/16 "+route+"; }\n", 0o644)
	}
	is := func(text string) {
		t.Helper()
		nettest.Eventually(t, text, func() string {
			if now := router.Sh(t, "ip route show"); !strings.Contains(now, text) {
				return now
			}
			return ""
		})
		assert.Contains(t, router.Sh(t, "ip route get 10.1.2.3"), "dev wg-a")
	}
	configure := func() {
		t.Helper()
		must.Get(birdc.Do(t.Context(), socket, "configure"))(t)
	}
	script := func(words string) string {
		t.Helper()
		return router.Sh(t, "sh %s %s", byHandFiles+"take.sh", words)
	}
	bird("", "via 172.31.1.2")
	router.Bird(t, conf, socket)
	is("10.1.0.0/16 via 172.31.1.2 dev wg-a proto bird metric 32")
	script("take False routers wg-a:3")
	timer := filepath.Join(filepath.Dir(h.log), "later")
	later := must.Get(os.ReadFile(timer))(t)
	bird("", "unreachable")
	configure()
	is("unreachable 10.1.0.0/16 proto bird metric 32")
	bird("metric 4294967294;", "unreachable")
	configure()
	is("unreachable 10.1.0.0/16 proto bird metric 4294967294")
	assert.Contains(t, script("free False"), "left: 10.1.0.0/16 by wg-a")
	// Half an hour later, and every five minutes from then on.
	router.Sh(t, "ip route add blackhole 10.1.0.0/16 metric 100") // no way either
	router.Sh(t, "%s", later)
	assert.Contains(t, router.Sh(t, "ip route show"), "10.1.0.0/16 via 172.31.1.2 dev wg-a proto 159",
		"it is the only way")
	router.Sh(t, "ip route del blackhole 10.1.0.0/16 metric 100")
	bird("metric 4294967294;", "via 172.31.1.2")
	configure()
	is("10.1.0.0/16 via 172.31.1.2 dev wg-a proto bird metric 4294967294")
	assert.Equal(t, "freed: 10.1.0.0/16\n", script("free False"))
	assert.NotContains(t, router.Sh(t, "ip route show"), "159")
	is("10.1.0.0/16 via 172.31.1.2 dev wg-a proto bird metric 4294967294")

	// And where nobody has freed anything.
	assert.NoFileExists(t, timer)
	router.Sh(t, "ip route add 10.1.0.0/16 via 172.31.1.2 proto 159 metric 31")
	router.Sh(t, "ip route add 10.2.0.0/16 via 172.31.1.2 proto 159 metric 50000")
	router.Sh(t, "%s", later)
	assert.Equal(t, "10.2.0.0/16 via 172.31.1.2 dev wg-a metric 50000",
		strings.TrimSpace(router.Sh(t, "ip route show proto 159")), "it is in nobody's way")
}

// An adoption that was cut off, and then reset: the copies go, and what they stood for stays.
func TestResetTakesCopiesOfRoutes(t *testing.T) {
	nettest.Need(t, "ip")
	r := newResettable(t, map[string]string{"/etc/passwd": "root:x:0:0:root:/root:/bin/sh\n"})
	bin := filepath.Dir(r.log)
	require.NoError(t, os.Remove(filepath.Join(bin, "ip")), "that of the host from here on")
	router, far := nettest.New(t, "reset"), nettest.New(t, "far")
	nettest.Cable(t, router, "wg-a", far, "wg-a")
	router.IP(t, "addr", "add", "172.31.1.1/24", "dev", "wg-a")
	router.IP(t, "link", "set", "wg-a", "up")
	far.IP(t, "link", "set", "wg-a", "up")
	router.Sh(t, `set -e
		ip route add 10.1.0.0/16 via 172.31.1.2 proto bird metric 32
		ip route add 10.1.0.0/16 via 172.31.1.2 proto 159 metric 31
		ip route add 10.2.0.0/16 via 172.31.1.2 proto 159 metric 50000
		ip route add 10.3.0.0/16 proto 159 metric 31 nexthop via 172.31.1.2 nexthop via 172.31.1.3
		ip -6 route add 2001:db8::/64 dev wg-a proto 159 metric 50000`)
	for range 2 {
		router.Sh(t, "sh %s False absent '' %s", roleFiles+"reset.sh", r.root)
		assert.Empty(t, router.Sh(t, "ip route show proto 159; ip -6 route show proto 159"))
		routes := router.Sh(t, "ip -o route show; ip -6 route show dev wg-a")
		assert.Contains(t, routes, "10.1.0.0/16 via 172.31.1.2 dev wg-a proto bird metric 32")
		assert.Contains(t, routes, "10.2.0.0/16 via 172.31.1.2 dev wg-a \n", "it was made by hand")
		assert.NotContains(t, routes, "10.3.0.0/16")
		assert.Contains(t, routes, "2001:db8::/64 metric 1024")
	}
}

// TestTunnelsReloadAgain has systemd refuse to read the drop-in of the tunnels once. The
// next run has it read that, says so before in check mode, and is the last to do something.
// The umask of a hardened login hides the drop-in from nobody.
func TestTunnelsReloadAgain(t *testing.T) {
	nettest.Need(t, "wg", "wg-quick", "wireguard-go")
	h := newHost(t, nettest.Wgmesh(t, "modules"), nettest.New(t, "unread"))
	name := nettest.Unique("u")
	nettest.Sh(t, "umask 077; wg genkey > %s/wireguard/key", h.root)
	t.Cleanup(func() { _ = h.command(context.Background(), "ip", "link", "del", name).Run() })
	require.NoError(t, os.WriteFile(h.root+"/tools/systemctl", []byte(`#!/bin/sh
case $1 in
show) printf 'Id=wg-quick@`+name+`.service\nActiveState=active\nUnitFileState=enabled\n' ;;
restart|start) ip link show `+name+` || wireguard-go `+name+` ;;
daemon-reload) echo told >> `+h.root+`/told; [ ! -e `+h.root+`/broken ] ;;
esac
`), 0o755))
	options := map[string]any{
		"private_key_file": "/etc/wireguard/key", "interface_prefix": name,
		"tunnels": []any{map[string]any{"name": name, "listen_port": 51820, "addresses": []string{"172.31.20.0/31"}}},
	}
	run := func() (reply map[string]any) {
		// Before the machine's own one, where the module looks for it.
		cmd := h.command(t.Context(), "sh", "-ec",
			`mount --bind "$0/tools" /usr/local/sbin; umask 077; exec "$1" wg_tunnel`, h.root, h.binary)
		cmd.Stdin = strings.NewReader(encode(t, options))
		out, _ := cmd.Output() // one that failed says so
		require.NoError(t, json.Unmarshal(out, &reply), "%s", out)
		return reply
	}
	told := func() int {
		text, _ := os.ReadFile(h.root + "/told")
		return len(text) / len("told\n")
	}
	require.NoError(t, os.WriteFile(h.root+"/broken", nil, 0o600))
	assert.Equal(t, true, run()["failed"])
	require.NoError(t, os.Remove(h.root+"/broken"))
	require.Equal(t, 1, told())

	options["_ansible_check_mode"] = true
	assert.Equal(t, true, run()["changed"])
	options["_ansible_check_mode"] = false
	reply := run()
	assert.Equal(t, true, reply["changed"], "%v", reply)
	require.Nil(t, reply["failed"], "%v", reply)
	assert.Equal(t, 2, told())
	assert.Equal(t, false, run()["changed"])
	assert.Equal(t, 2, told())
	folder := must.Get(os.Stat(h.root + "/units/wg-quick@.service.d"))(t)
	assert.Equal(t, fs.FileMode(0o755), folder.Mode().Perm())
}

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
