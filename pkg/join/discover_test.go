package join_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
)

// list is what ansible-inventory prints about three routers; azure-2 has an
// address of this machine's loopback only, which counts for nobody.
const list = `{"_meta": {"hostvars": {
  "azure-1": {"mesh_endpoint": "203.0.113.11"}, "azure-2": {"ansible_host": "127.0.0.1"}, "office-1": {}, "web": {}}},
  "all": {"children": ["ungrouped", "routers"]},
  "routers": {"children": ["cloud"], "hosts": ["office-1"]},
  "cloud": {"hosts": ["azure-1", "azure-2"]}, "ungrouped": {"hosts": ["web"]}}`

// accepted is a play whose mesh_plan has accepted the inventory.
const accepted = `echo '{"peered": ["azure-2", "office-1"], "missing": [], ` +
	`"changed": 0, "planned": true}' >"$WGMESH_JOIN_REPORT"`

// A lone is a router with programs of Ansible that a test wrote.
type lone struct {
	t           *testing.T
	dir, config string
}

// alone makes a router of which nothing but its programs of Ansible is known.
func alone(t *testing.T, more string) lone {
	t.Helper()
	l := lone{t: t, dir: t.TempDir()}
	l.config = file(t, l.path("join.yml"), fmt.Sprintf(
		"inventory: %s\nidentity_file: %s\nansible_bin_dir: %s\nstate_dir: %s\n%s",
		file(t, l.path("inventory.yml"), "", 0o600), file(t, l.path("id"), "", 0o600),
		l.path("bin"), l.path("state"), more), 0o600)
	t.Setenv("PATH", "/usr/bin:/bin")
	l.program("ansible-inventory", "cat <<'END'\n"+list+"\nEND")
	l.program("ansible-playbook", accepted)
	return l
}

func (l lone) path(name string) string { return filepath.Join(l.dir, name) }

func (l lone) program(name, script string) {
	l.t.Helper()
	file(l.t, l.path("bin/"+name), "#!/bin/sh\n"+script+"\n", 0o700)
}

// join runs the command and returns its lines without the time it took.
func (l lone) join(args ...string) (int, string) {
	l.t.Helper()
	status, said := command(l.t, append([]string{"--config", l.config}, args...)...)
	return status, strings.ReplaceAll(took.ReplaceAllString(said, "\n"), l.dir, "DIR")
}

// ends joins, which ends with the status, and returns its lines.
func (l lone) ends(status int) string {
	l.t.Helper()
	have, said := l.join()
	assert.Equal(l.t, status, have, said)
	return said
}

func TestJoin(t *testing.T) {
	l := alone(t, "router: azure-1\n")
	assert.Equal(t, "wgmesh join: azure-1 is in the mesh: 2 of 2 peers, nothing changed\n", l.ends(0))

	info := must.Get(os.Stat(l.path("state/inventory.json")))(t)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

// A join that was killed leaves its temporary files, and its timer starts the next one.
func TestTheNextJoinCleansUp(t *testing.T) {
	l := alone(t, "router: azure-1\n")
	left := file(t, l.path("state/ansible/tmp/ansible-local-1x/y"), "", 0o600)
	kept := file(t, l.path("state/ansible/galaxy_token"), "", 0o600)
	l.ends(0)
	assert.NoFileExists(t, left)
	assert.FileExists(t, kept)
}

func TestHowThePlayIsRun(t *testing.T) {
	l := alone(t, "router: azure-1\ngroup: cloud\n")
	t.Setenv("HOME", "")
	t.Setenv("ANSIBLE_STDOUT_CALLBACK", "minimal")
	l.program("ansible-playbook", `{ pwd; printf '%s\n' "$@"; env; } >`+l.path("seen")+`
echo '{"peered": ["azure-2"], "missing": [], "changed": 42}' >"$WGMESH_JOIN_REPORT"`)
	assert.Equal(t, "wgmesh join: azure-1 is in the mesh: 1 of 1 peers, 42 things changed\n", l.ends(0))

	content := must.Get(os.ReadFile(l.path("seen")))(t)
	seen := strings.Split(strings.ReplaceAll(string(content), l.dir, "DIR"), "\n")
	assert.Equal(t, []string{
		"DIR/state/ansible",
		"-i", "DIR/state/inventory.found.json", "wgmesh.router.join",
		"-e", `{"mesh_group":"cloud","wgmesh_identity_file":"DIR/id","wgmesh_self":"azure-1"}`,
	}, seen[:6])
	for _, want := range []string{
		"ANSIBLE_STDOUT_CALLBACK=wgmesh.router.join", "ANSIBLE_HOST_KEY_CHECKING=1", "HOME=DIR/state/ansible",
		"ANSIBLE_HOME=DIR/state/ansible", "LC_ALL=C.UTF-8",
	} {
		assert.Contains(t, seen, want)
	}
}

func TestOutcomes(t *testing.T) {
	tests := map[string]struct {
		program, script string
		status          int
		said            string
	}{
		"some are missing": {
			"ansible-playbook",
			`echo 'office-1: cannot be reached: why'; echo '{"peered": ["azure-2"], "missing": ["office-1"], ` +
				`"changed": 1}' >"$WGMESH_JOIN_REPORT"; exit 4`, 75,
			"office-1: cannot be reached: why\n" +
				"wgmesh join: azure-1: peered with 1 of 2 routers; not with office-1; 1 thing changed\n",
		},
		"the play fails": {
			"ansible-playbook",
			`echo 'azure-1: wg8: why'; echo '{"peered": ["azure-2", "office-1"], "missing": [], ` +
				`"changed": 1}' >"$WGMESH_JOIN_REPORT"; exit 2`, 75,
			"azure-1: wg8: why\nwgmesh join: azure-1: peered with 2 of 2 routers, but the play failed: " +
				"the lines above say why\n",
		},
		"the play fails at once": {
			"ansible-playbook",
			`echo 'azure-1: why'; echo '{"peered": [], "missing": [], "changed": 0}' >"$WGMESH_JOIN_REPORT"; exit 2`,
			75,
			"azure-1: why\nwgmesh join: azure-1: the play failed before it had asked another router: " +
				"the lines above say why\n",
		},
		"nobody else": {
			"ansible-playbook",
			`echo '{"peered": [], "missing": [], "changed": 0, "planned": true}' >"$WGMESH_JOIN_REPORT"`, 0,
			"wgmesh join: azure-1 is in the mesh: it is the only router there, nothing changed\n",
		},
		"nobody at all": { // ansible-playbook ends well where no host is in the play
			"ansible-playbook",
			`echo 'no host is in the play'; echo '{"peered": [], "missing": [], "changed": 0}' >"$WGMESH_JOIN_REPORT"`,
			75,
			"no host is in the play\nwgmesh join: azure-1: the play has planned nothing: the lines above say why\n",
		},
		"the play does not start": {
			"ansible-playbook", `echo 'ERROR! the playbook: wgmesh.router.join could not be found' >&2; exit 1`, 75,
			"wgmesh join: azure-1: the play did not start: the playbook: wgmesh.router.join could not be found\n",
		},
		"no discovery": {
			"ansible-inventory",
			`echo '[ERROR]: Completely failed to parse inventory source DIR/inventory.yml' >&2; exit 1`, 75,
			"wgmesh join: discovery failed: DIR/inventory.yml: Ansible cannot read it\n",
		},
		"an empty answer": {
			"ansible-inventory", `echo '{}'`, 75,
			"wgmesh join: discovery failed: DIR/inventory.yml: there is no router in the group routers\n",
		},
		"no answer": {
			"ansible-inventory", `echo 'Traceback'`, 75,
			"wgmesh join: discovery failed: ansible-inventory printed no JSON: " +
				"invalid character 'T' looking for beginning of value\n",
		},
		"an answer without this router": {
			"ansible-inventory", `echo '{"routers": {"hosts": ["aws-1", "aws-2"]}}'`, 75,
			"wgmesh join: discovery failed: router azure-1 is not in the group routers of the inventory, " +
				"which has aws-1, aws-2; correct router in DIR/join.yml, or the inventory\n",
		},
		"a router whose name Ansible would read as a pattern": {
			"ansible-inventory", `echo '{"routers": {"hosts": ["azure-1", "azure-1:22"]}}'`, 75,
			"wgmesh join: discovery failed: router \"azure-1:22\": the name is not plain: " +
				"use letters, digits, '.', '-' and '_', 56 at most\n",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l := alone(t, "router: azure-1\n")
			l.program(tt.program, strings.ReplaceAll(tt.script, "DIR", l.dir))
			assert.Equal(t, tt.said, l.ends(tt.status))
		})
	}
}

func TestKeptAnswer(t *testing.T) {
	l := alone(t, "router: azure-1\n")
	l.ends(0)
	kept := l.path("state/inventory.json")
	old := time.Now().Add(-4 * 24 * time.Hour)
	on := old.UTC().Format("2006-01-02 15:04 UTC")
	require.NoError(t, os.Chtimes(kept, old, old))
	before := must.Get(os.ReadFile(kept))(t)

	l.program("ansible-inventory", "echo 'ERROR! no credentials' >&2; exit 1")
	assert.Equal(t, "wgmesh join: discovery failed: no credentials; using the routers known on "+on+"\n"+
		"wgmesh join: azure-1 is in the mesh: 2 of 2 peers, nothing changed\n", l.ends(0))

	// An answer that lost this router must not become the one that is kept.
	l.program("ansible-inventory", `echo '{"routers": {"hosts": ["aws-1"]}}'`)
	assert.Contains(t, l.ends(0), "using the routers known on "+on)
	assert.Equal(t, string(before), string(must.Get(os.ReadFile(kept))(t)))

	// A power cut cannot leave half of it, but a disk can.
	require.NoError(t, os.WriteFile(kept, before[:len(before)/2], 0o600))
	assert.Contains(t, l.ends(75), "and DIR/state/inventory.json is damaged: unexpected end of JSON input")
}

// An answer that makes this router absent is one: as in an older answer it would go on as a member.
func TestAbsentByItsAddress(t *testing.T) {
	l := alone(t, "")
	answer := "cat <<'END'\n" + `{"_meta": {"hostvars": {"a": {"ansible_host": %q, "mesh_state": %q}}}, ` +
		`"routers": {"hosts": ["a", "b"]}}` + "\nEND"
	var mine string
	for _, a := range must.Get(net.InterfaceAddrs())(t) {
		if prefix := netip.MustParsePrefix(a.String()); !prefix.Addr().IsLoopback() {
			mine = prefix.Addr().String()
		}
	}
	require.NotEmpty(t, mine, "this machine has no address but those of its loopback")
	l.program("ansible-inventory", fmt.Sprintf(answer, mine, "present"))
	l.ends(0)
	before := must.Get(os.ReadFile(l.path("state/inventory.json")))(t)

	l.program("ansible-inventory", fmt.Sprintf(answer, mine, "absent"))
	l.program("ansible-playbook", `printf '%s\n' "$@" >`+l.path("seen")+"\n"+
		`echo 'a: router: "a" is absent, so it has no plan'; echo '{"peered": [], "missing": [], `+
		`"changed": 0, "planned": false}' >"$WGMESH_JOIN_REPORT"; exit 2`)
	said := l.ends(75)
	assert.NotContains(t, said, "using the routers known on")
	assert.Contains(t, said, "is absent, so it has no plan")
	assert.NotContains(t, string(must.Get(os.ReadFile(l.path("seen")))(t)), l.path("state/inventory.json"))
	assert.Equal(t, string(before), string(must.Get(os.ReadFile(l.path("state/inventory.json")))(t)))
}

// What mesh_plan refuses does not become the last good answer.
func TestOnlyWhatIsAcceptedIsKept(t *testing.T) {
	l := alone(t, "router: azure-1\n")
	kept := l.path("state/inventory.json")
	refused := `echo 'azure-1: router web: id is missing'; echo '{"peered": [], "missing": [], ` +
		`"changed": 0, "planned": false}' >"$WGMESH_JOIN_REPORT"; exit 2`
	l.program("ansible-playbook", refused)
	assert.Contains(t, l.ends(75), "id is missing")
	assert.NoFileExists(t, kept)

	l.program("ansible-playbook", accepted)
	l.ends(0)
	before := must.Get(os.ReadFile(kept))(t)
	l.program("ansible-inventory", `echo '{"routers": {"hosts": ["azure-1", "web"]}}'`)
	l.program("ansible-playbook", refused)
	l.ends(75)
	after := must.Get(os.ReadFile(kept))(t)
	assert.Equal(t, string(before), string(after))

	// A play that goes wrong later has an inventory that is good.
	l.program("ansible-playbook",
		`echo '{"peered": ["web"], "missing": [], "changed": 0, "planned": true}' >"$WGMESH_JOIN_REPORT"; exit 2`)
	l.ends(75)
	after = must.Get(os.ReadFile(kept))(t)
	assert.Contains(t, string(after), "web")
}

// An answer that is too old serves for what is there, and for nothing new. It does
// not get younger by being used.
func TestKeptAnswerIsTooOld(t *testing.T) {
	for more, test := range map[string]struct {
		age time.Duration
		old bool
	}{
		"":                          {6 * 24 * time.Hour, false},
		"inventory_max_age: 168h\n": {8 * 24 * time.Hour, true},
		"inventory_max_age: 1h\n":   {2 * time.Hour, true},
		"inventory_max_age: 3h\n":   {2 * time.Hour, false},
		"group: routers\n":          {-time.Hour, false},           // the clock is behind
		"mode: router\n":            {-365 * 24 * time.Hour, true}, // it was ahead, or is far behind
	} {
		l := alone(t, "router: azure-1\n"+more)
		l.ends(0)
		then := time.Now().Add(-test.age)
		require.NoError(t, os.Chtimes(l.path("state/inventory.json"), then, then))
		l.program("ansible-inventory", "echo 'ERROR! no credentials' >&2; exit 1")
		l.program("ansible-playbook", `printf '%s\n' "$@" >`+l.path("seen")+"\n"+accepted)
		for range 2 {
			said := l.ends(0)
			seen := must.Get(os.ReadFile(l.path("seen")))(t)
			assert.Equal(t, test.old, strings.Contains(string(seen), `"wgmesh_known_only":true`),
				"%s%v: %s", more, test.age, seen)
			assert.Equal(t, test.old,
				strings.Contains(said, "WARNING: that is longer ago than inventory_max_age"),
				"%s%v: %s", more, test.age, said)
		}
	}
}

func TestWhoAmI(t *testing.T) {
	hostname := must.Get(os.Hostname())(t)
	tests := map[string]struct {
		hosts, said string
		status      int
	}{
		"the host's name": {
			fmt.Sprintf(`{%q: {}, "b": {}}`, hostname),
			"wgmesh join: " + hostname + " is in the mesh: 2 of 2 peers, nothing changed\n", 0,
		},
		"nobody": {
			`{"a": {"ansible_host": "127.0.0.1"}, "b": {"ansible_host": "{{ x }}"}}`,
			"wgmesh join: discovery failed: which router is this? The group routers has a, b, none with the name " +
				hostname +
				" or an address of this machine; set router in DIR/join.yml\n", 75,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l := alone(t, "")
			l.program("ansible-inventory",
				"cat <<'END'\n"+`{"_meta": {"hostvars": `+tt.hosts+`}, "routers": {"hosts": [`+
					names(tt.hosts)+"]}}\nEND")
			assert.Equal(t, tt.said, l.ends(tt.status))
		})
	}
}

// What is missing on the machine.
func TestMissing(t *testing.T) {
	for what, tt := range map[string]struct {
		remove, said string
		code         int
	}{
		"Ansible": {
			"bin", "ansible-inventory is neither in DIR/bin nor in PATH; " +
				"install ansible-core, or name its folder as ansible_bin_dir", 78,
		},
		"Python": {
			"", "DIR has lost its Python, as by an upgrade of the distribution; " +
				"run wgmesh.router.image for this router", 78,
		},
		"identity": {
			"id", "identity_file DIR/id: no such file; " +
				"user-data (cloud-init, ssh_keys) brings it or the first boot makes it", 75,
		},
		"inventory": {"inventory.yml", "discovery failed: DIR/inventory.yml: no such file or directory", 75},
	} {
		t.Run(what, func(t *testing.T) {
			l := alone(t, "router: azure-1\n")
			if tt.remove != "" {
				require.NoError(t, os.RemoveAll(l.path(tt.remove)))
			} else {
				file(t, l.path("pyvenv.cfg"), "", 0o600)
				require.NoError(t, os.Symlink("/usr/bin/python3.0", l.path("bin/python3")))
			}
			assert.Equal(t, "wgmesh join: "+tt.said+"\n", l.ends(tt.code))
		})
	}
}

// What takes too long is ended, with everything that it started.
func TestTimeout(t *testing.T) {
	for program, test := range map[string]struct{ limit, want string }{
		"ansible-inventory": {
			"discovery_timeout",
			"wgmesh join: discovery failed: no answer from DIR/inventory.yml within discovery_timeout, 1s\n",
		},
		"ansible-playbook": {
			"play_timeout",
			"wgmesh join: azure-1: the play did not end within play_timeout, 1s; " +
				"`wgmesh join --verbose` shows where it waits\n",
		},
	} {
		t.Run(program, func(t *testing.T) {
			l := alone(t, "router: azure-1\n"+test.limit+": 1s\n")
			l.program(program, "sleep 60 & echo $! >"+l.path("child")+"; wait")
			began := time.Now()
			assert.Equal(t, test.want, l.ends(75))
			assert.Less(t, time.Since(began), 30*time.Second, "the program would have taken 60")

			child := must.Get(os.ReadFile(l.path("child")))(t)
			assert.Eventually(t, func() bool {
				return ended(strings.TrimSpace(string(child)))
			}, 2*time.Minute, 10*time.Millisecond)
		})
	}
}

// So does asking for the version of Ansible, which a source that runs programs needs first.
func TestTimeoutOfVersion(t *testing.T) {
	l := alone(t, "router: azure-1\ndiscovery_timeout: 1s\n")
	require.NoError(t, os.Chmod(l.path("inventory.yml"), 0o700))
	l.program("ansible-inventory", "[ \"$1\" != --version ] || exec sleep 60")
	began := time.Now()
	assert.Equal(t,
		"wgmesh join: discovery failed: no answer from DIR/inventory.yml within discovery_timeout, 1s\n", l.ends(75))
	assert.Less(t, time.Since(began), 30*time.Second, "the program would have taken 60")
}

// Routers that are missing for long are no reason to ask all others every half a minute.
func TestMissingForLong(t *testing.T) {
	l := alone(t, "router: azure-1\n")
	missing := func(names string) {
		l.program("ansible-playbook",
			`echo '{"peered": ["gcp-1"], "missing": [`+names+`], "changed": 0, "planned": true}' `+
				`>"$WGMESH_JOIN_REPORT"; exit 2`)
	}
	missing(`"office-1", "azure-2"`)
	const said = "wgmesh join: azure-1: peered with 1 of 3 routers; not with azure-2, office-1; nothing changed\n"
	for range 2 {
		assert.Equal(t, said, l.ends(75))
	}
	long := time.Now().Add(-11 * time.Minute)
	require.NoError(t, os.Chtimes(l.path("state/missing"), long, long))
	missing(`"azure-2", "office-1"`) // in another order
	assert.Equal(t, said, l.ends(69))

	years := time.Now().AddDate(4, 0, 0) // the clock was ahead
	require.NoError(t, os.Chtimes(l.path("state/missing"), years, years))
	assert.Equal(t, said, l.ends(75))
	assert.True(t, must.Get(os.Stat(l.path("state/missing")))(t).ModTime().Before(years), "it waits for years")

	nobody := `echo '{"peered": [], "missing": ["azure-2", "office-1"], "changed": 0}' >"$WGMESH_JOIN_REPORT"; exit 2`
	l.program("ansible-playbook", nobody) // nobody is bothered, and this router has no tunnel
	l.ends(75)

	missing(`"office-1"`) // one is back: perhaps the other is soon
	l.ends(75)
	l.program("ansible-playbook", accepted)
	l.ends(0)
	require.NoError(t, os.Chtimes(l.path("state/missing"), long, long))
	missing(`"office-1"`) // and lost again
	l.ends(75)
}

// A second join leaves it to the first.
func TestTwoJoins(t *testing.T) {
	l := alone(t, "router: azure-1\n")
	l.program("ansible-playbook", `echo '{"peered": ["office-1"], "missing": [], "changed": 0}' >"$WGMESH_JOIN_REPORT"
touch `+l.path("started")+`; while ! [ -e `+l.path("go")+` ]; do sleep 0.05; done`)
	first := make(chan int)
	go func() {
		status, _ := l.join()
		first <- status
	}()
	require.Eventually(t, func() bool {
		_, err := os.Stat(l.path("started"))
		return err == nil
	}, time.Minute, 10*time.Millisecond)
	assert.Equal(t,
		"wgmesh join: another wgmesh join is at work, this one leaves it to that; "+
			"`journalctl -u wgmesh-join` shows how it ends\n", l.ends(0))
	file(t, l.path("go"), "", 0o600)
	assert.Zero(t, <-first)
}

// names lists the keys of an object of JSON, quoted.
func names(object string) string {
	var found []string
	for _, part := range strings.Split(strings.Trim(object, "{}"), "}, ") {
		name, _, _ := strings.Cut(part, ":")
		found = append(found, name)
	}
	return strings.Join(found, ", ")
}

// ended reports whether a process is gone, or waits only for its parent.
func ended(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	return err != nil || strings.Contains(string(stat), ") Z ")
}
