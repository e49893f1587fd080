package wg_test

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/wg"
)

const whole = wg.Mark + " (wg_tunnel).\n[Interface]\nPostUp = true\n\n# end\n"

// script runs boot.sh on a folder and returns its status and what it said.
func script(t *testing.T, dir string, args ...string) (int, string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{"boot.sh"}, args...)...)
	cmd.Env = append(os.Environ(), "WGMESH_DIRECTORY="+dir, "WGMESH_RUN="+filepath.Join(dir, "run"))
	out, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); err != nil {
		require.ErrorAs(t, err, &exit)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// What a power cut or an accident left of a file is put back before the
// interface comes up, and kept under a name that the only line names.
func TestBootPutsBack(t *testing.T) {
	for name, left := range map[string]string{
		"half":           whole[:len(whole)/2],
		"last line lost": strings.TrimSuffix(whole, "# end\n"),
		"empty":          "",
		"zeros":          strings.Repeat("\x00", len(whole)),
		"zeros at last":  whole[:50] + strings.Repeat("\x00", len(whole)-50),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "wg1.conf")
			put(t, path, left)
			put(t, path+".good", whole)

			status, said := script(t, dir, "up", "wg1")
			assert.Zero(t, status)
			assert.Equal(t, 1, strings.Count(said, "\n"), said)
			assert.Contains(t, said, path+".damaged")
			assert.Equal(t, whole, get(t, path))
			assert.Equal(t, left, get(t, path+".damaged"))

			status, again := script(t, dir, "after", "wg1")
			assert.Zero(t, status)
			assert.Equal(t, said, again)
			for _, verb := range []string{"up", "after"} {
				status, said = script(t, dir, verb, "wg1")
				assert.Zero(t, status)
				assert.Empty(t, said, "what is whole is not spoken of")
			}
		})
	}
}

func TestBootMissingFile(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "wg1.conf.good"), whole)
	status, said := script(t, dir, "up", "wg1")
	assert.Zero(t, status)
	assert.Contains(t, said, "was missing or broke off")
	assert.Equal(t, whole, get(t, filepath.Join(dir, "wg1.conf")))
	assert.NoFileExists(t, filepath.Join(dir, "wg1.conf.damaged"))
}

// Nothing is touched that is not ours, that works, or that cannot be mended.
func TestBootLeavesAlone(t *testing.T) {
	edited := strings.Replace(whole, "true", "by-hand", 1)
	for name, tt := range map[string]struct {
		file, copy string
		status     int
		says       string
	}{
		"another's tunnel":        {"[Interface]\nPrivateKey = x\n", "", 0, ""},
		"another's, with a copy":  {"[Interface]\nPrivateKey = x\n", "[Interface]\nPrivateKey = y\n", 0, ""},
		"another's, over ours":    {"[Interface]\nPrivateKey = x\n", whole, 0, ""},
		"an older file of ours":   {wg.Mark + "\n[Interface]\n", "", 0, ""},
		"edited by hand":          {edited, whole, 0, ""},
		"the copy is damaged too": {whole[:60], whole[:70], 255, "run the mesh play"},
		"only the copy":           {whole, whole[:70], 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "wg1.conf")
			put(t, path, tt.file)
			if tt.copy != "" {
				put(t, path+".good", tt.copy)
			}
			status, said := script(t, dir, "up", "wg1")
			assert.Equal(t, tt.status, status, said)
			assert.Contains(t, said, tt.says)
			assert.Equal(t, tt.says == "", said == "", said)
			assert.Equal(t, tt.file, get(t, path))
		})
	}
}

// The tunnels of a disk come up in the machine that they were made on, and in a
// clone of it they do not: it would take the traffic of the first one.
func TestBootOfClone(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "wg1.conf"), whole)
	put(t, filepath.Join(dir, "wg1.conf.good"), whole)
	first, clone := filepath.Join(dir, "first"), filepath.Join(dir, "clone")
	put(t, first, strings.Repeat("a1", 16)+"\n")
	put(t, clone, strings.Repeat("b2", 16)+"\n")
	mark := must.Get(wg.MachineMark(first))(t)
	require.Len(t, mark, 64)
	assert.Contains(t, wg.DropIn(mark),
		"ExecCondition=/bin/sh /etc/systemd/system/wg-quick@.service.d/50-wgmesh.sh up %i "+mark+"\n")

	t.Setenv("WGMESH_MACHINE_ID", first)
	status, said := script(t, dir, "up", "wg1", mark)
	assert.Zero(t, status)
	assert.Empty(t, said)

	t.Setenv("WGMESH_MACHINE_ID", clone)
	status, said = script(t, dir, "up", "wg1", mark)
	assert.Equal(t, 255, status)
	assert.Equal(t, 1, strings.Count(said, "\n"), said)
	assert.Contains(t, said, "wg1: stays down: the machine id changed")
	status, said = script(t, dir, "up", "another", mark)
	assert.Zero(t, status, "a tunnel that is not ours")
	assert.Empty(t, said)

	// Without a machine id there is nothing to tell machines by.
	put(t, first, "uninitialized\n")
	assert.Empty(t, must.Get(wg.MachineMark(first))(t))
	assert.Empty(t, must.Get(wg.MachineMark(filepath.Join(dir, "none")))(t))
	_, err := wg.MachineMark(dir)
	require.ErrorContains(t, err, "is a directory", "one that cannot be read would let a clone's tunnels up")
	assert.Contains(t, wg.DropIn(""), "50-wgmesh.sh up %i\n")
	status, _ = script(t, dir, "up", "wg1")
	assert.Zero(t, status)
}

// A userspace WireGuard has the keys in its memory.
func TestDropInKeepsMemoryIn(t *testing.T) {
	assert.Contains(t, wg.DropIn(""), "\nLimitCORE=0\n")
	assert.Contains(t, wg.DropIn(""), "\nMemorySwapMax=0\n")
}

// A reload would make WireGuard forget the keys of our tunnels. Of others it is what it always was.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "wg1.conf"), whole)
	status, said := script(t, dir, "reload", "wg1")
	assert.Equal(t, 1, status)
	assert.Contains(t, said, "wg1: not reloaded")

	put(t, filepath.Join(dir, "other.conf"), "[Interface]\nPrivateKey = x\n")
	tools := t.TempDir()
	must.Write(t, filepath.Join(tools, "wg"), "#!/bin/sh\necho wg \"$1\" \"$2\"; cat \"$3\"\n", 0o755)
	must.Write(t, filepath.Join(tools, "wg-quick"), "#!/bin/sh\necho stripped \"$2\"\n", 0o755)
	t.Setenv("PATH", tools+":"+os.Getenv("PATH"))
	status, said = script(t, dir, "reload", "other")
	assert.Zero(t, status, said)
	assert.Equal(t, "wg syncconf other\nstripped other\n", said)
}

// The next run mends a file in whatever way it is damaged, whose copy is gone, and the drop-in; and
// what a power cut left of a file is nobody's, so that it is not refused as a stranger's.
func TestDamagedFilesAreMended(t *testing.T) {
	for name, harm := range map[string]func(f *fake, text string){
		"half":    func(f *fake, s string) { f.files["wg1"] = wg.File{Ours: true, Text: s[:len(s)/2], Copy: s} },
		"blank":   func(f *fake, s string) { f.files["wg1"] = wg.File{Blank: true, Copy: s} },
		"gone":    func(f *fake, _ string) { delete(f.files, "wg1") },
		"no copy": func(f *fake, s string) { f.files["wg1"] = wg.File{Ours: true, Text: s} },
	} {
		t.Run(name, func(t *testing.T) {
			f, w := converged(t)
			good := f.files["wg1"]
			harm(f, good.Text)
			assert.Equal(t, []string{"wg1: wg-quick file"}, converge(t, f, w))
			assert.Equal(t, good, f.files["wg1"])
		})
	}
	t.Run("blank, and wg-quick made an empty interface of it", func(t *testing.T) {
		f, w := converged(t)
		want := f.dump()
		f.files["wg1"] = wg.File{Blank: true}
		f.links["wg1"] = wg.Link{Kind: "wireguard", MTU: 1420, Up: true}
		f.devices["wg1"] = wg.Device{ListenPort: 7}
		converge(t, f, w)
		assert.Equal(t, want, f.dump())
	})
	t.Run("drop-in", func(t *testing.T) {
		f, w := meshHost(), mesh()
		f.boot = wg.BootAbsent
		assert.Contains(t, converge(t, f, w), "drop-in of wg-quick@.service: written")
		f.boot = wg.BootOutdated
		assert.Equal(t, []string{"drop-in of wg-quick@.service: written"}, converge(t, f, w))
		w.Tunnels, w.Purge = nil, true
		assert.Contains(t, converge(t, f, w), "drop-in of wg-quick@.service: removed")
	})
}

// A run that does not know a peer (--limit) learns its key from the copy when
// the file breaks off before it.
func TestKeyFromTheCopy(t *testing.T) {
	f, w := converged(t)
	good := f.files["wg1"]
	f.files["wg1"] = wg.File{Ours: true, Text: good.Text[:120], Copy: good.Text}
	w.PublicKeys = nil
	converge(t, f, w)
	assert.Equal(t, good, f.files["wg1"])
}

func put(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

func get(t *testing.T, path string) string {
	t.Helper()
	return string(must.Get(os.ReadFile(path))(t))
}

// Where IPv6 was switched off wg-quick fails as a whole at the first IPv6 address. It is given the others.
func TestStartWithoutIPv6(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/wg-quick", "#!/bin/sh\necho $*; grep -s ^Address $2; true\n")
	require.NoError(t, os.Chmod(dir+"/wg-quick", 0o700))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	t.Setenv("WGMESH_IPV6", dir+"/disable_ipv6")
	const four, six, full = "Address = 100.64.0.0/31\n", "Address = fd00::/127\n", "up wg1\n"
	other := dir + "/run/ipv4/wg1.conf"
	for text, want := range map[string]string{
		wg.Mark + "\n" + four + six: "<4>wg1: IPv6 is off here, so it comes up without its IPv6 address: " +
			"switch it on (net.ipv6.conf.default.disable_ipv6; ipv6.disable of the kernel)\n" +
			"up " + other + "\n" + four,
		wg.Mark + "\n" + four: full, wg.Mark + "\n" + six: full, "[Interface]\n" + four + six: full,
	} {
		put(t, dir+"/wg1.conf", text)
		require.NoError(t, os.RemoveAll(dir+"/disable_ipv6"))
		for _, off := range []string{"", "1\n"} { // a kernel without it has no such file
			if off != "" {
				put(t, dir+"/disable_ipv6", off)
			}
			status, said := script(t, dir, "start", "wg1")
			assert.Zero(t, status)
			assert.Equal(t, want, said, text)
		}
		put(t, dir+"/disable_ipv6", "0\n")
		_, said := script(t, dir, "start", "wg1")
		assert.Equal(t, full, said)
	}
	assert.Equal(t, os.FileMode(0o600), must.Get(os.Stat(other))(t).Mode().Perm())
}

// A wg_tunnel that was killed leaves its word behind, and its number may be somebody
// else's by now: a tunnel that starts then gets all that its file says.
func TestStartIsBareForItsProcessOnly(t *testing.T) {
	dir := t.TempDir()
	for _, program := range []string{"ip", "wg-quick", "wireguard-go"} {
		put(t, filepath.Join(dir, program), "#!/bin/sh\necho ${0##*/} $*\n")
		require.NoError(t, os.Chmod(filepath.Join(dir, program), 0o700))
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "run"), 0o700))
	self := must.Get(os.Executable())(t)
	const bare, full = "ip link add dev wg1 type wireguard\n", "wg-quick up wg1\n"
	for word, want := range map[string]string{
		"": full,
		fmt.Sprintf("%d %s wg2 wg1", os.Getpid(), self):    bare,
		fmt.Sprintf("%d %s wg2 wg11", os.Getpid(), self):   full,
		fmt.Sprintf("%d %s wg1", 1<<22+1, self):            full, // beyond pid_max
		fmt.Sprintf("%d %s wg1", os.Getpid(), "/bin/true"): full, // the number is another program's
	} {
		put(t, filepath.Join(dir, "run", "bare"), word+"\n")
		status, said := script(t, dir, "start", "wg1")
		assert.Zero(t, status, word)
		assert.Equal(t, want, said, word)
	}
}

// networkd with a file for whatever interface there is takes the addresses of a tunnel away, so
// each tunnel has one that comes before.
func TestNetworkdLeavesTunnelsAlone(t *testing.T) {
	dir, networkd := t.TempDir(), t.TempDir()
	h := must.Get(wg.Open(dir))(t)
	t.Cleanup(func() { _ = h.Close() })
	h.Networkd(networkd)
	text := wg.Render(plan.Tunnel{Name: "wg1"}, nil, "/dev/null", "")
	whole := func() bool {
		f := must.Get(h.Files())(t)["wg1"]
		return f.Ours && f.Text == f.Copy
	}
	require.NoError(t, h.WriteFile("wg1", text))
	path := networkd + "/00-wgmesh-wg1.network"
	assert.Contains(t, string(must.Get(os.ReadFile(path))(t)), "[Match]\nName=wg1\n\n[Link]\nUnmanaged=yes\n")
	assert.True(t, whole())

	require.NoError(t, os.WriteFile(path, nil, 0o600)) // as a power cut leaves it
	assert.False(t, whole())
	require.NoError(t, os.Remove(path)) // as an older version has it
	assert.False(t, whole(), "nobody would write it")
	require.NoError(t, os.WriteFile(path, []byte("[Match]\nName=wg1\n"), 0o600))
	_, err := h.Files()
	require.ErrorContains(t, err, path+" was not made by wgmesh.router")

	require.NoError(t, h.WriteFile("wg1", text))
	require.NoError(t, h.RemoveFile("wg1"))
	assert.NoFileExists(t, path)
}

// Under AppArmor wg reads keys below /etc/wireguard only, and says no more than that
// permission is denied.
func TestArmor(t *testing.T) {
	const loaded, file, local = "/sys/kernel/security/apparmor/profiles", "/etc/apparmor.d/wg",
		"/etc/apparmor.d/local/wg"
	elsewhere := wg.Want{
		PrivateKeyFile: "/etc/keys/wg.key",
		Tunnels: []plan.Tunnel{
			{
				Name: "wg1",
				Peers: []plan.Peer{
					{Name: "b", PresharedKeyFile: "/etc/keys/1.psk"},
					{Name: "c", PresharedKeyFile: "/etc/wireguard/../psk/2"},
				},
			},
		},
	}
	home := wg.Want{
		PrivateKeyFile: "/etc/wireguard/wgmesh.key",
		Tunnels:        []plan.Tunnel{{Peers: []plan.Peer{{PresharedKeyFile: "/etc/wireguard/wgmesh-psk/1.psk"}, {}}}},
	}
	for name, tt := range map[string]struct {
		files    map[string]string
		closed   int
		enforced bool
	}{
		"no AppArmor":     {nil, 0, false},
		"no such profile": {map[string]string{loaded: "unconfined (enforce)\nwgetter (enforce)\n"}, 0, false},
		"enforced": {
			map[string]string{loaded: "man (enforce)\nwg (enforce)\nwg-quick (enforce)\n", file: ""}, 2, true,
		},
		"wg-quick's":     {map[string]string{loaded: "/usr/bin/wg-quick (enforce)\n"}, 2, true},
		"only complains": {map[string]string{loaded: "wg (complain)\n"}, 0, false},
		"not known":      {map[string]string{file: ""}, 2, false},
		"one is allowed": {map[string]string{loaded: "wg (enforce)\n", local: "  /etc/keys/** r,\n"}, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for path, text := range tt.files {
				must.Write(t, root+path, text, 0o644)
			}
			a := wg.LookArmor(root)
			assert.Empty(t, a.Closed(home))
			lines := a.Closed(elsewhere)
			assert.Len(t, lines, tt.closed)
			assert.Equal(t, tt.enforced, a.Enforced)
			for _, line := range lines {
				assert.LessOrEqual(t, len(line), 160)
				assert.Regexp(t, "AppArmor's profile .* /etc/(keys|psk): ", line)
			}
		})
	}
}

// A tunnel comes up at boot from its file, as it was written, and from those that its hooks name.
func TestAtBoot(t *testing.T) {
	dir := t.TempDir()
	h := must.Get(wg.Open(dir))(t)
	t.Cleanup(func() { _ = h.Close() })
	key, psk, nft := dir+"/wgmesh.key", dir+"/1.psk", dir+"/wgmesh.nft"
	file := filepath.Join(dir, "wg1.conf")
	slash := plan.PublicKey{0xfc} // in base64 a key may begin as a path does
	require.True(t, strings.HasPrefix(slash.String(), "/"))
	peers := []plan.Peer{{PublicKey: slash, PresharedKeyFile: psk}}
	text := wg.Render(plan.Tunnel{Name: "wg1"}, peers, key, nft)
	require.NoError(t, h.WriteFile("wg1", text))
	boots := func() []string { return h.AtBoot(map[string]wg.Live{"wg1": {}}) }
	assert.Equal(t, []string{psk, key, nft}, boots())
	for _, path := range []string{key, psk, nft} {
		require.NoError(t, os.WriteFile(path, []byte("x"), 0o600))
	}
	assert.Empty(t, boots())
	require.NoError(t, os.Truncate(nft, 0))
	assert.Equal(t, []string{nft}, boots())
	for _, other := range []string{text[:len(text)-1], text + "# mine\n", "[Interface]\n", ""} {
		require.NoError(t, os.WriteFile(file, []byte(other), 0o600))
		assert.Contains(t, boots(), file, other)
	}
	require.NoError(t, os.Remove(file))
	assert.Equal(t, []string{file}, boots())
}

// Who edits a file together with its copy, as with sed on all of a folder, has a tunnel at the next boot that is
// another one than today's.
func TestAtBootEditedWithItsCopy(t *testing.T) {
	dir := t.TempDir()
	h := must.Get(wg.Open(dir))(t)
	t.Cleanup(func() { _ = h.Close() })
	peer := plan.Peer{
		PublicKey: keyOf("ann"), Endpoint: netip.MustParseAddrPort("203.0.113.2:51820"),
		AllowedIPs: prefixes("10.1.0.0/16 10.2.0.0/16"),
	}
	tunnel := plan.Tunnel{Name: "wg1", ListenPort: 51801, MTU: 1420}
	text := wg.Render(tunnel, []plan.Peer{peer}, "/dev/null", "")
	live := wg.Live{
		Port: 51801, MTU: 1420, Key: peer.PublicKey, Endpoint: peer.Endpoint,
		Allowed: prefixes("10.2.0.0/16 10.1.7.0/24 10.1.0.0/16"),
	}
	for edit, want := range map[string]int{
		"a=a": 0, "51801=51802": 1, "1420=1380": 1, "203.0.113.2=203.0.113.3": 1, "10.1.0.0/16=10.1.0.0/17": 1,
		", 10.2.0.0/16=": 1, ", 10.2.0.0/16=, 10.2.0.0/16, 10.3.0.0/16": 1,
		peer.PublicKey.String()[:43] + "=" + keyOf("bob").String()[:43]: 1,
	} {
		from, to, _ := strings.Cut(edit, "=")
		require.NoError(t, h.WriteFile("wg1", strings.ReplaceAll(text, from, to)))
		wrong := slices.DeleteFunc(h.AtBoot(map[string]wg.Live{"wg1": live}), func(path string) bool {
			return path == "/dev/null"
		})
		assert.Len(t, wrong, want, edit)
	}
	require.NoError(t, h.WriteFile("wg1", text))
	live.Key = plan.PublicKey{}
	live.Allowed = nil
	assert.Equal(t, []string{"/dev/null"}, h.AtBoot(map[string]wg.Live{"wg1": live}), "two peers, while keys change")
}
