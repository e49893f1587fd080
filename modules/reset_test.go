package main

import (
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
)

// A resettable is a host in a folder. Its systemd, nft and userdel note what they are told;
// those that begin with the text in the file "fail" do not work.
type resettable struct{ root, log string }

func newResettable(t *testing.T, files map[string]string) resettable {
	t.Helper()
	r := resettable{root: t.TempDir()}
	bin := t.TempDir()
	r.log = filepath.Join(bin, "log")
	for name, text := range map[string]string{
		// A join that is at work, or is tried again soon, is neither active nor inactive.
		"systemctl": `on() { [ -e "` + bin + `/on" ]; }
			case $* in
			"is-active -q wgmesh-taken.timer") [ -e "` + bin + `/copies" ]; exit ;;
			"stop wgmesh-taken.timer") rm "` + bin + `/copies" ;;
			"is-active wgmesh-join.service") if on; then echo activating; else echo inactive; fi; exit 3 ;;
			is-active*) echo failed; exit 3 ;;
			*is-enabled*) on && [ "${*##* }" = wgmesh-join.timer ] && echo enabled; exit ;; esac`,
		"nft": `case $* in "list table inet wgmesh_metadata") [ -e "` + bin +
			`/on" ]; exit ;; list*) exit 1 ;; esac`,
		// What an adoption has left that was cut off.
		"ip": `case $* in "-o -4 route show proto 159") cat "` + bin + `/copies" 2>/dev/null; exit ;; *show*) exit ;;
			*del*) sed -i "\|^$4 |d" "` + bin + `/copies" ;; esac`,
		"userdel": `sed -i /^wgmesh:/d "` + r.root + `/etc/passwd"`, "loginctl": "exit 1",
	} {
		text = "#!/bin/sh\n" + text + "\necho \"" + name + " $*\" >>\"" + r.log +
			"\"\n! grep -qs \"^" + name + "$\" \"" + bin + "/fail\"\n"
		require.NoError(t, os.WriteFile(filepath.Join(bin, name), []byte(text), 0o755))
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	require.NoError(t, os.WriteFile(filepath.Join(bin, "on"), nil, 0o644))
	must.Write(t, filepath.Join(bin, "copies"),
		"10.1.0.0/16 via 192.0.2.9 dev eth0 metric 31 \n"+
			"10.2.0.0/16 dev wg-b scope link metric 50000 linkdown \n", 0o644)
	for path, text := range files {
		path = filepath.Join(r.root, path)
		must.Write(t, path, text, 0o644)
	}
	return r
}

func (r resettable) run(t *testing.T, check, state string) (said string, err error) {
	t.Helper()
	out, err := exec.Command("sh", roleFiles+"reset.sh", check, state, "/srv/mesh.prom", r.root).CombinedOutput()
	return string(out), err
}

func (r resettable) files(t *testing.T) (found []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(r.root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			found = append(found, strings.TrimPrefix(path, r.root))
		}
		return err
	}))
	return found
}

// collection is where the role router puts the collection for a router that joins by itself.
const collection = "/usr/share/ansible/collections/ansible_collections/wgmesh/router"

const accounts = "root:x:0:0:root:/root:/bin/sh\n" +
	"wgmesh:x:998:998::/var/lib/wgmesh/home:/usr/local/libexec/wgmesh-shell\n"

func TestResetTakesWhatIsOurs(t *testing.T) {
	ours := map[string]string{
		"/etc/passwd": accounts, "/etc/ssh/sshd_config.d/60-wgmesh.conf": "",
		"/etc/wgmesh/gate.json": "", "/etc/wgmesh/deep/x": "", "/srv/mesh.prom": "",
		"/etc/wgmesh/join.yml":     "router: a\nstate_dir: \"/srv/state\" # mine\n",
		"/srv/state/ansible/tmp/x": "", "/srv/state/inventory.json": "", "/srv/state/inventory.found.json": "",
		"/srv/state/join.lock": "", "/srv/state/missing": "\n", "/etc/systemd/networkd.conf.d/50-wgmesh.conf": "",
		collection + "/.unpacked": "sum  -\n", collection + "/MANIFEST.json": "", collection + ".wgmesh-old/x": "",
		// What runs leave that were cut off.
		"/etc/sudoers.d/.ansible_tmp1a_wwgmesh": "", "/usr/local/bin/wgmesh-cloud.new": "",
		"/etc/systemd/system/user-998.slice.d/60-wgmesh.conf.wgmesh-a1B2c3": "",
		"/etc/systemd/system/user-998.slice.d/60-wgmesh.conf":               "",
		"/etc/systemd/system/wg-quick@.service.d/60-wgmesh-join.conf":       "",
		"/usr/local/bin/wgmesh": "", "/usr/local/libexec/wgmesh-gate": "",
		"/etc/chrony.conf": "pool a\n\n\n# Written by the role wgmesh.router.router.\nmakestep 1 -1\nmine\n",
	}
	theirs := map[string]string{
		"/etc/systemd/system/wg-quick@.service.d/10-mine.conf": "",
		"/etc/wireguard/wgmesh-psk/ann.psk":                    "", "/etc/sudoers.d/wgmesh-mine": "",
		"/etc/sudoers.d/wgmesh.backup": "", "/srv/state/mine": "",
	}
	maps.Copy(ours, theirs)
	r := newResettable(t, ours)
	before := r.files(t)
	said, err := r.run(t, "True", "absent")
	require.NoError(t, err, said)
	assert.Equal(t, before, r.files(t), "check mode")
	for _, line := range []string{
		"unit wgmesh-join.timer", "unit wgmesh-join.service", "table inet wgmesh_metadata",
		"account wgmesh", "file /etc/ssh/sshd_config.d/60-wgmesh.conf", "folder /etc/wgmesh",
		"lines in /etc/chrony.conf", "the copy of a route to 10.1.0.0/16", "unit wgmesh-taken.timer",
	} {
		assert.Contains(t, said, "gone: "+line+"\n")
	}
	assert.NotContains(t, said, "wgmesh_health")
	wouldGo := strings.Split(said, "\n")

	said, err = r.run(t, "False", "ended")
	require.NoError(t, err, said)
	went := said
	assert.FileExists(t, r.root+"/etc/wgmesh/gate.json", "the modules are not done")
	assert.FileExists(t, r.root+"/usr/local/bin/wgmesh")
	require.NoError(t, os.Remove(filepath.Join(filepath.Dir(r.log), "on")))
	// Modules of the same run take these.
	require.NoError(t, os.Remove(r.root+"/etc/systemd/networkd.conf.d/50-wgmesh.conf"))
	said, err = r.run(t, "False", "absent")
	require.NoError(t, err, said)
	assert.ElementsMatch(t, wouldGo, strings.Split(went+said, "\n"), "check mode says what goes")
	assert.ElementsMatch(t, []string{
		"/etc/passwd", "/etc/chrony.conf", "/etc/systemd/system/wg-quick@.service.d/10-mine.conf",
		"/etc/wireguard/wgmesh-psk/ann.psk", "/etc/sudoers.d/wgmesh-mine", "/etc/sudoers.d/wgmesh.backup",
		"/srv/state/mine",
	}, r.files(t))
	assert.NoDirExists(t, r.root+"/etc/systemd/system/user-998.slice.d")
	assert.Equal(t, "pool a\n\nmine\n", string(must.Get(os.ReadFile(r.root+"/etc/chrony.conf"))(t)))
	log := must.Get(os.ReadFile(r.log))(t)
	for _, line := range []string{
		"systemctl disable -q --now wgmesh-join.timer", "systemctl stop wgmesh-join.service",
		"systemctl reset-failed wgmesh-*", // or systemd has them in memory, without a file
		"nft delete table inet wgmesh_metadata", "userdel --force wgmesh",
		"systemctl try-reload-or-restart ssh.service sshd.service",
		"ip -4 route del 10.1.0.0/16 proto 159\nip -4 route add 10.2.0.0/16 dev wg-b scope link\n" + // made by hand
			"ip -4 route del 10.2.0.0/16 proto 159\nsystemctl stop wgmesh-taken.timer",
	} {
		assert.Contains(t, string(log), line+"\n")
	}
	for _, state := range []string{"ended", "absent"} {
		said = must.Get(r.run(t, "False", state))(t)
		assert.Empty(t, said, "a second run changes nothing")
	}
}

// Somebody may have tidied the file that has our lines, or cut it off within them.
func TestResetTakesLinesOfChrony(t *testing.T) {
	const mark = "# Written by the role wgmesh.router.router.\n"
	for text, want := range map[string]string{
		"pool a\n" + mark + "makestep 1 3\nmine\n": "pool a\nmine\n",
		mark + "makestep 1 3\n":                    "",
		"pool a\n\n" + mark:                        "pool a\n",
		"pool a\n" + mark:                          "pool a\n",
	} {
		r := newResettable(t, map[string]string{"/etc/passwd": "", "/etc/chrony.conf": text})
		must.Get(r.run(t, "False", "absent"))(t)
		assert.Equal(t, want, string(must.Get(os.ReadFile(r.root+"/etc/chrony.conf"))(t)))
	}
}

// The former files of an adoption have keys in them, so whoever resets hears of them.
func TestResetNamesFilesByHand(t *testing.T) {
	for _, path := range []string{"/etc/wireguard/wg-a.conf.by-hand", "/etc/wireguard/wg-a.conf.by-hand-da925a30"} {
		r := newResettable(t, map[string]string{path: "PrivateKey = x", "/etc/passwd": accounts})
		said, err := r.run(t, "False", "absent")
		require.NoError(t, err, said)
		assert.Contains(t, said, "left: "+path+", which an adoption or an undo put aside, with its keys\n")
		assert.FileExists(t, r.root+path)
	}
}

// An account of the name with another shell is somebody else's. A step that fails is
// the last, and is found again.
func TestResetLeavesWhatIsNotOurs(t *testing.T) {
	r := newResettable(t, map[string]string{
		"/etc/passwd": strings.Replace(accounts, "/usr/local/libexec/wgmesh-shell", "/bin/bash", 1),
	})
	assert.NotContains(t, must.Get(r.run(t, "True", "ended"))(t), "account")

	// What ansible-galaxy installed is its owner's, who may run this play from it.
	r = newResettable(t, map[string]string{"/etc/passwd": "", collection + "/MANIFEST.json": ""})
	must.Get(r.run(t, "False", "absent"))(t)
	assert.FileExists(t, r.root+collection+"/MANIFEST.json")

	r = newResettable(t, map[string]string{"/etc/passwd": accounts, "/etc/sudoers.d/wgmesh": ""})
	fail := filepath.Join(filepath.Dir(r.log), "fail")
	require.NoError(t, os.WriteFile(fail, []byte("nft\n"), 0o644))
	require.Error(t, must.Err(r.run(t, "False", "ended")))
	assert.FileExists(t, r.root+"/etc/sudoers.d/wgmesh")
	require.NoError(t, os.Remove(fail))
	must.Get(r.run(t, "False", "ended"))(t)
	assert.NoFileExists(t, r.root+"/etc/sudoers.d/wgmesh")
}

// A folder for programs may be one that others use, too.
func TestResetLeavesProgramsOfOthers(t *testing.T) {
	root := t.TempDir()
	build := strings.Repeat("0f", 32)
	for _, path := range []string{
		build + "/wgmesh", build + "/.wgmesh.a1B2c3", "bin/wgmesh", "bin/tool", strings.Repeat("e1", 32) + "/mine",
	} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, filepath.Dir(path)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(root, path), nil, 0o755))
	}
	require.NoError(t, os.Mkdir(filepath.Join(root, "empty"), 0o755))
	for range 2 {
		must.Run(t, exec.Command("sh", "../roles/mesh/files/programs.sh", root))
	}
	assert.NoDirExists(t, filepath.Join(root, build))
	assert.DirExists(t, filepath.Join(root, "empty"))
	assert.Equal(t, []string{"/bin/tool", "/bin/wgmesh", "/" + strings.Repeat("e1", 32) + "/mine"},
		resettable{root: root}.files(t))

	theirs := t.TempDir()
	ours := filepath.Join(theirs, "wgmesh")
	for _, folder := range []string{ours, theirs} {
		require.NoError(t, os.MkdirAll(filepath.Join(folder, build), 0o755))
		require.NoError(t, exec.Command("sh", "../roles/mesh/files/programs.sh", folder).Run())
	}
	assert.NoDirExists(t, ours)
	assert.DirExists(t, theirs, "it was empty before us, as /opt is")
}

// takenBy says of what reset.sh leaves who takes it away: a path, or its end where Go adds it
// to a folder.
var takenBy = map[string]string{
	"/etc/sysctl.d/99-zz-wgmesh.conf": "sysctl_router",
	"/usr/local/libexec/wgmesh":       "the play itself",
	"/wgmesh.key":                     "wg_keypair",
	"/wgmesh.seal":                    "wg_keypair",
	"/wgmesh.id":                      "wg_keypair",
	"/wgmesh-psk":                     "wg_psk",
	"/wgmesh-undo":                    "mesh_guard",
	"/50-wgmesh.conf":                 "wg_tunnel",
	"/wgmesh.nft":                     "wg_tunnel",
	"/etc/systemd/system/nftables.service.d/50-wgmesh.conf": "wg_tunnel",
	"/run/wgmesh":             "the next boot",
	"/run/wgmesh/lock":        "the next boot",
	"/run/wgmesh-image-build": "the next boot",
	"/run/wgmesh-failover":    "systemd, when it stops the daemon",
}

// Whatever the roles put on a host by a path that has our name in it goes, and so does what
// our programs write.
func TestResetKnowsWhatTheRolesPut(t *testing.T) {
	script := must.Get(os.ReadFile(roleFiles + "reset.sh"))(t)
	covered := func(path string) bool {
		for _, word := range strings.Fields(strings.ReplaceAll(string(script), "'", " ")) {
			if ok, _ := filepath.Match(word, path); strings.HasPrefix(word, "/") &&
				(ok || strings.HasPrefix(path, word+"/")) {
				return true
			}
		}
		return false
	}
	seen := 0
	unit := regexp.MustCompile(`(?m)--unit=(wgmesh-\S+)|^copies=(\d+)`) // copies: routes
	look := func(file, path string) {
		seen++
		if takenBy[path] == "" {
			assert.True(t, covered(path),
				"%s puts %s on a host, and roles/router/files/reset.sh does not take it away", file, path)
		}
	}
	line := regexp.MustCompile(`(?m)^\s*(?:- |- \{.*dest: |dest: |path: |home: |- path: )[^#\n]*`)
	path := regexp.MustCompile(`/(?:etc|usr/local|usr/share|opt|var/lib)/[A-Za-z0-9@*_./-]*wgmesh[A-Za-z0-9@*_./-]*`)
	for _, role := range []string{"mesh", "router", "routes"} {
		walk(t, func(file, text string) {
			lines := line.FindAllString(text, -1)
			if _, put, found := strings.Cut(file, "/files/root"); found {
				lines = []string{put}
			} else if strings.HasSuffix(file, ".sh") {
				lines = []string{text}
				for _, u := range unit.FindAllStringSubmatch(text, -1) {
					assert.Contains(t, string(script), u[1]+u[2], "what %s makes", file)
				}
			} else if !strings.HasSuffix(file, ".yml") || strings.Contains(file, "/meta/") {
				return
			}
			for _, l := range lines {
				for _, p := range path.FindAllString(l, -1) {
					look(file, strings.TrimRight(p, "/."))
				}
			}
		}, "../roles/"+role)
	}
	assert.Greater(t, seen, 30)
	seen = 0
	literal := regexp.MustCompile(`"(/[^" %]*wgmesh[^" %]*)"`)
	for _, folder := range []string{"../pkg", "../modules"} {
		walk(t, func(file, text string) {
			if strings.HasSuffix(file, ".go") && !strings.HasSuffix(file, "_test.go") {
				for _, found := range literal.FindAllStringSubmatch(text, -1) {
					look(file, found[1])
				}
			}
		}, folder)
	}
	assert.Greater(t, seen, 10)
}
