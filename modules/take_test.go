package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/plan"
)

const byHandFiles = "../roles/mesh/files/"

// A handmade is a host with two interfaces that somebody made. Its wg tells of them, and its
// ip notes what it is told to change.
type handmade struct{ dir, log string }

func newHandmade(t *testing.T) handmade {
	t.Helper()
	h, bin := handmade{dir: t.TempDir()}, t.TempDir()
	h.log = filepath.Join(bin, "log")
	for name, text := range map[string]string{
		"wg": `case "$*" in
"show interfaces") echo wg-a wg-b ;;
"show all public-key") printf 'wg-a\tmine=\nwg-b\tmine=\n' ;;
"show all "*) ;;
"show wg-c "*) exit 1 ;;
"show wg-b public-key") cat "` + bin + `/public" ;;
"show "*" public-key") echo mine= ;;
"show "*" private-key") echo secret-private= ;;
"show "*" peers") echo theirs= ;;
"show wg-b fwmark") cat "` + bin + `/fwmark" 2>/dev/null || echo off ;;
"show "*" fwmark") echo 0xca6c ;;
"show wg-b allowed-ips") printf 'theirs=\t10.2.0.0/16 ::/0\n' ;;
"show "*" allowed-ips") printf 'theirs=\t10.1.0.0/16\n' ;;
"show wg-a preshared-keys") printf 'theirs=\tsecret-shared=\n' ;;
"show "*" preshared-keys") printf 'theirs=\t(none)\n' ;;
pubkey) sed 's/secret-private/mine/' ;;
esac`,
		"ip": `case "$*" in
"-o -4 route show table main") printf '%s\n' 'default via 192.0.2.1 dev eth0 proto dhcp' \
	'10.1.0.0/16 via 172.31.1.2 dev wg-a proto bird metric 32 ' '10.2.0.0/16 dev wg-b scope link ' \
	'10.9.0.0/16 dev tun0 scope link' '172.31.1.0/24 dev wg-a proto kernel scope link src 172.31.1.1' ;;
*show*) ;;
*) echo "$*" >>"` + h.log + `" ;;
esac`,
		"birdc": "exit 1",
		"systemctl": `case "$*" in
"is-enabled wg-quick@wg-a") echo enabled; exit ;;
*stop*) rm -f "` + bin + `/later" ;;
esac; exit 1`,
		"sleep":       "exit 0",
		"systemd-run": `echo "later: $3 $4" >>"` + h.log + `"; cp "$7" "` + bin + `/later"`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755))
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("WGMESH_DIRECTORY", h.dir)
	t.Setenv("WGMESH_THAW", filepath.Join(bin, "run", "thaw"))
	t.Setenv("WGMESH_BIRD", filepath.Join(bin, "bird.conf"))
	h.own(t, "mine=")
	for _, name := range []string{"wg-a", "wg-b", "wg-other"} {
		text := "[Interface]\nAddress = 172.31.1.1/24\nPrivateKey = secret-private=\n" +
			"SaveConfig = true\nPostUp = logger secret-hook\n\n" +
			"[Peer] # the other end\nPublicKey = theirs= # theirs\n" +
			"PresharedKey=secret-shared=\nEndpoint = 192.0.2.9:51820\n"
		if name == "wg-b" {
			text = strings.ReplaceAll(text, "PresharedKey=secret-shared=\n", "")
		}
		require.NoError(t, os.WriteFile(filepath.Join(h.dir, name+".conf"), []byte(text), 0o600))
	}
	return h
}

// own says which public key wg-b has.
func (h handmade) own(t *testing.T, public string) { h.has(t, "public", public) }

// has writes a file for the programs, or the bird.conf.
func (h handmade) has(t *testing.T, name, line string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(h.log), name), []byte(line+"\n"), 0o644))
}

func (h handmade) run(script string, args ...string) (said string, err error) {
	out, err := exec.Command("sh", append([]string{byHandFiles + script}, args...)...).CombinedOutput()
	return string(out), err
}

// does is run of what has to work.
func (h handmade) does(t *testing.T, script string, args ...string) string {
	t.Helper()
	said, err := h.run(script, args...)
	require.NoError(t, err, said)
	return said
}

func (h handmade) read(t *testing.T, name string) string {
	t.Helper()
	return string(must.Get(os.ReadFile(filepath.Join(h.dir, name)))(t))
}

func (h handmade) names(t *testing.T) string {
	t.Helper()
	files := must.Get(os.ReadDir(h.dir))(t)
	var out []string
	for _, f := range files {
		out = append(out, f.Name())
	}
	return strings.Join(out, " ")
}

func TestTakeOver(t *testing.T) {
	h := newHandmade(t)
	args := []string{"wg-a:3", "wg-b:5", "wg-c:6"}
	old := time.Unix(1_500_000_000, 0)
	require.NoError(t, os.Chtimes(filepath.Join(h.dir, "wg-b.conf"), old, old))
	said := h.does(t, "take.sh", append([]string{"take", "True", "routers"}, args...)...)
	assert.Contains(t, said, "took: the private key of wg-b\n")
	assert.Equal(t, "wg-a.conf wg-b.conf wg-other.conf", h.names(t), "in check mode nothing changes")
	assert.NoFileExists(t, h.log)

	said = h.does(t, "take.sh", append([]string{"take", "False", "routers"}, args...)...)
	assert.NotContains(t, said, "secret")
	assert.Equal(t,
		"wg-a.conf wg-a.conf.by-hand wg-b.conf wg-b.conf.by-hand wg-other.conf wgmesh-psk wgmesh.key", h.names(t))
	assert.Equal(t, "secret-private=\n", h.read(t, "wgmesh.key"))
	assert.Equal(t, "secret-shared=\n", h.read(t, "wgmesh-psk/3.psk"))
	assert.Equal(t, "# Managed by wgmesh.router (taken over).\n# mesh: routers\n[Interface]\nAddress = 172.31.1.1/24\n"+
		"PostUp = wg set %i peer theirs= preshared-key "+h.dir+
		"/wgmesh-psk/3.psk\nPostUp = wg set %i private-key "+h.dir+"/wgmesh.key\n"+
		"PostUp = logger secret-hook\n\n[Peer] # the other end\nPublicKey = theirs= # theirs\n"+
		"Endpoint = 192.0.2.9:51820\n# end\n", h.read(t, "wg-a.conf"))
	assert.NotContains(t, h.read(t, "wg-b.conf"), "preshared-key", "it has none")
	assert.Contains(t, h.read(t, "wg-a.conf.by-hand"), "PrivateKey = secret-private=")
	for _, name := range []string{"wgmesh.key", "wgmesh-psk/3.psk", "wg-a.conf"} {
		info := must.Get(os.Stat(filepath.Join(h.dir, name)))(t)
		assert.Equal(t, os.FileMode(0o600), info.Mode().Perm(), name)
	}
	info := must.Get(os.Stat(filepath.Join(h.dir, "wgmesh.key")))(t)
	assert.True(t, info.ModTime().Equal(old), "the key is as old as its file, not new: %v", info.ModTime())
	done := must.Get(os.ReadFile(h.log))(t)
	assert.Equal(t, "later: --unit=wgmesh-taken --on-active=1800\n"+
		"-4 route add 10.1.0.0/16 via 172.31.1.2 dev wg-a proto 159 metric 31\n"+
		"-4 route add 10.2.0.0/16 dev wg-b scope link proto 159 metric 50000\n"+
		"-4 route del 10.2.0.0/16 dev wg-b scope link\n", string(done), "what others have stays")

	// The run ended there, for want of mesh_accept.
	h.has(t, "bird.conf", "router id 192.0.2.1;\n# define wgmesh_config = none")
	said = h.does(t, "take.sh", append([]string{"take", "False", "routers"}, args...)...)
	assert.Equal(t, "took: the route to 10.1.0.0/16 by wg-a\ntook: the route to 10.2.0.0/16 by wg-b\n", said,
		"what is taken is not taken again, and BIRD's ways are still those by hand")

	h.has(t, "bird.conf", "router id 192.0.2.1;\ndefine "+plan.BirdStamp+" = \"x\";")
	said = h.does(t, "take.sh", append([]string{"take", "False", "routers"}, args...)...)
	assert.Empty(t, said, "a second run takes nothing")
}

// What was put aside before, or by a run that was cut off, is not a copy of what is taken now.
func TestTakeOverKeepsTheFile(t *testing.T) {
	for _, aside := range []string{"", "PrivateKey = older=\n"} {
		h := newHandmade(t)
		text := h.read(t, "wg-a.conf")
		kept := filepath.Join(h.dir, "wg-a.conf.by-hand")
		require.NoError(t, os.WriteFile(kept, []byte(aside), 0o600))
		draft := filepath.Join(h.dir, "wg-a.conf.new") // somebody's own
		require.NoError(t, os.WriteFile(draft, []byte("draft"), 0o600))
		h.does(t, "take.sh", "take", "False", "routers", "wg-a:3")
		assert.Equal(t, "draft", h.read(t, "wg-a.conf.new"))
		assert.Equal(t, text, h.read(t, "wg-a.conf.by-hand"))
		assert.Equal(t, aside, h.read(t, fmt.Sprintf("wg-a.conf.by-hand-%.4x", sha256.Sum256([]byte(aside)))))
	}
	// A full disk has no room for the copy.
	h := newHandmade(t)
	text := h.read(t, "wg-a.conf")
	full := filepath.Join(filepath.Dir(h.log), "cp")
	require.NoError(t, os.WriteFile(full, []byte("#!/bin/sh\nshift $(($# - 1)); : >\"$1\"; exit 1\n"), 0o755))
	require.Error(t, must.Err(h.run("take.sh", "take", "False", "routers", "wg-a:3")))
	assert.Equal(t, text, h.read(t, "wg-a.conf"))
	assert.NoFileExists(t, filepath.Join(h.dir, "wg-a.conf.by-hand"))
	require.NoError(t, os.Remove(full))
	require.NoError(t, must.Err(h.run("take.sh", "take", "False", "routers", "wg-a:3")))
	assert.Equal(t, text, h.read(t, "wg-a.conf.by-hand"))
	assert.NotContains(t, h.names(t), ".by-hand.", "nothing is left of the first try")
}

// The ends are such as a mesh cannot take. Its BIRD is replaced all the same.
func TestTakeOverOfBirdAlone(t *testing.T) {
	h := newHandmade(t)
	said := h.does(t, "take.sh", "take", "False", "routers")
	assert.Equal(t, "took: the route to 10.1.0.0/16 by wg-a\n", said)
	assert.Equal(t, "wg-a.conf wg-b.conf wg-other.conf", h.names(t))
	h.has(t, "bird.conf", "define "+plan.BirdStamp+" = \"x\";")
	said = h.does(t, "take.sh", "take", "False", "routers")
	assert.Empty(t, said)
}

func TestTakeOverRefuses(t *testing.T) {
	h := newHandmade(t)
	h.own(t, "another=")
	said, err := h.run("take.sh", "take", "False", "routers", "wg-a:3", "wg-b:5")
	require.Error(t, err)
	assert.Equal(t,
		"refused: wg-b has another private key than the others: end it, or leave it out of mesh_links\n", said)
	h.own(t, "mine=")
	h.has(t, "fwmark", "0xca6c")
	said, err = h.run("take.sh", "take", "False", "routers", "wg-a:3", "wg-b:5")
	require.Error(t, err)
	assert.Equal(t, "refused: wg-b has AllowedIPs /0 and a FwMark: policy rules send all into it, "+
		"and the mesh lets no such in: give it the sites' networks first\n", said)
	h.has(t, "fwmark", "off")
	require.NoError(t, os.WriteFile(filepath.Join(h.dir, "wgmesh.key"), []byte("of a mesh\n"), 0o600))
	said, err = h.run("take.sh", "take", "False", "routers", "wg-a:3", "wg-b:5")
	require.Error(t, err)
	assert.Contains(t, said, "wgmesh.key is another key than that of wg-a wg-b: move it away")
	assert.Equal(t, "wg-a.conf wg-b.conf wg-other.conf wgmesh.key", h.names(t), "nothing is touched")
	assert.NoFileExists(t, h.log)
}

// What is brought to the controller has no secret in it, wherever people keep theirs.
func TestAdoptReadsNoSecret(t *testing.T) {
	h := newHandmade(t)
	said := h.does(t, "adopt.sh", h.dir)
	assert.NotContains(t, said, "secret")
	assert.Contains(t, said, "key\twg-a\tmine=\n")
	assert.Contains(t, said, "line\twg-a\tPostUp\n")
	assert.Contains(t, said, "line\twg-a\tSaveConfig\n")
	assert.Contains(t, said, "calls\twg-a\ttheirs=\t192.0.2.9:51820\n")
	assert.NotContains(t, said, "wg-other", "it is not up")
	assert.Contains(t, said, "unit\twg-a\tenabled\n")
	assert.NotContains(t, said, "made\t")
	windows := strings.ReplaceAll(h.read(t, "wg-a.conf"), "\n", "\r\n")
	require.NoError(t, os.WriteFile(filepath.Join(h.dir, "wg-a.conf"), []byte(windows), 0o600))
	again := h.does(t, "adopt.sh", h.dir)
	assert.Equal(t, said, again, "lines that end as Windows has them")
	must.Write(t, filepath.Join(h.dir, "wg-a.conf"),
		"# Managed by wgmesh.router\n[Interface]\nTable = off\n", 0o600)
	said = h.does(t, "adopt.sh", h.dir)
	assert.Contains(t, said, "ours\twg-a\n")
}

// Who else makes an interface at a boot, wherever that is said.
func TestAdoptReadsWhoMakesIt(t *testing.T) {
	h, root := newHandmade(t), t.TempDir()
	for path, text := range map[string]string{
		"etc/network/interfaces":        "auto wg-a\n  iface  wg-a inet static\n    pre-up wg set wg-b\n",
		"etc/network/interfaces.d/more": "# iface wg-b inet manual\niface wg-b.1 inet manual\n",
		"etc/NetworkManager/system-connections/b.nmconnection": "[connection]\ninterface-name=wg-b\n" +
			"[wireguard]\nprivate-key=secret=\n",
		"run/systemd/network/10-netplan-wg-b.netdev": "[NetDev]\nName = wg-b\nKind=wireguard\n" +
			"[WireGuard]\nPrivateKey=secret=\n",
		"etc/systemd/network/a.network": "[Match]\nName=wg-a\n",
	} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, filepath.Dir(path)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(root, path), []byte(text), 0o600))
	}
	said := h.does(t, "adopt.sh", h.dir, root)
	assert.NotContains(t, said, "secret")
	made := slices.DeleteFunc(strings.Split(said, "\n"),
		func(line string) bool { return !strings.HasPrefix(line, "made") })
	assert.Equal(t, []string{
		"made\twg-a\tifupdown", "made\twg-b\tNetworkManager", "made\twg-b\tsystemd-networkd",
	}, made)
}

// Docs/adopt.md has people run this after the reset. Who has written a file since keeps it, and
// the former one.
func TestTheWayBackOverwritesNothing(t *testing.T) {
	page := string(must.Get(os.ReadFile("../docs/adopt.md"))(t))
	_, command, _ := strings.Cut(page, "-m raw -a '")
	command, _, _ = strings.Cut(command, "'")
	h := newHandmade(t)
	command = strings.ReplaceAll(command, "/etc/wireguard", h.dir)
	former := filepath.Join(h.dir, "wg-b.conf.by-hand")
	require.NoError(t, os.Rename(filepath.Join(h.dir, "wg-a.conf"), filepath.Join(h.dir, "wg-a.conf.by-hand")))
	require.NoError(t, os.WriteFile(former, []byte("former"), 0o600))
	newer := h.read(t, "wg-b.conf")
	stub := "#!/bin/sh\nexit 0\n"
	for _, name := range []string{"systemctl", "sysctl"} {
		require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(h.log), name), []byte(stub), 0o755))
	}
	out, err := exec.Command("sh", "-c", command).CombinedOutput()
	require.Error(t, err)
	assert.Equal(t, "wg-b.conf.by-hand and wg-b.conf are both there: move one away\n", string(out))
	assert.Equal(t, newer, h.read(t, "wg-b.conf"))
	assert.Equal(t, "former", h.read(t, "wg-b.conf.by-hand"))

	require.NoError(t, os.Remove(filepath.Join(h.dir, "wg-b.conf")))
	out, err = exec.Command("sh", "-c", command).CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Equal(t, "wg-a.conf wg-b.conf wg-other.conf", h.names(t))
}

// With one command of docs/taken-over.md people look for what a removed router has left: a
// file that is not there, such as the gate's, hides nothing. With another one they write into
// the inventories on a router that it is absent.
func TestCommandsOfTakenOver(t *testing.T) {
	page := string(must.Get(os.ReadFile("../docs/taken-over.md"))(t))
	dir := t.TempDir()
	run := func(begin string) (string, error) {
		_, command, found := strings.Cut(page, begin)
		require.True(t, found, begin)
		command, _, _ = strings.Cut(begin+command, "'")
		command = strings.TrimPrefix(command, `"$(id -u)" = 0 ] && `)
		out, err := exec.Command("sh", "-c", strings.ReplaceAll(command, "/etc/", dir+"/")).CombinedOutput()
		return string(out), err
	}
	for _, name := range []string{"wireguard", "wgmesh"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o700))
	}
	file := filepath.Join(dir, "wireguard", "wg2.conf")
	for text, left := range map[string]string{"# azure-1\n": file + "\n", "# azure-11\n": ""} {
		must.Write(t, file, text, 0o600)
		out, err := run(`"$(id -u)" = 0 ] && ! grep`)
		assert.Equal(t, left != "", err != nil, "%s", text)
		assert.Equal(t, left, out)
	}

	_, err := run("for f in")
	require.NoError(t, err, "no inventory is there")
	inventories := map[string]string{
		"azure-1: {mesh_id: 3}":                            "azure-1: {mesh_state: absent, mesh_id: 3}",
		"azure-1: {mesh_id: 3, mesh_state: present}":       "azure-1: {mesh_id: 3, mesh_state: absent}",
		"azure-1: {mesh_state: absent, mesh_id: 3} # here": "azure-1: {mesh_state: absent, mesh_id: 3} # here",
		"azure-11: {mesh_id: 4}":                           "azure-11: {mesh_id: 4}",
	}
	for _, again := range []string{"", "again"} {
		for before, after := range inventories {
			path := filepath.Join(dir, "wgmesh", fmt.Sprintf("%d.yml", len(before)))
			if again == "" {
				must.Write(t, path, before, 0o644)
			}
			_, err := run("for f in")
			require.NoError(t, err)
			assert.Equal(t, after, string(must.Get(os.ReadFile(path))(t)), again)
		}
	}
}
