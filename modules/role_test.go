package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/wgmesh/router/internal/must"
)

const roleFiles = "../roles/router/files/"

// fake puts a program into a folder that notes its name and last argument in a log,
// and then is the real one.
func fake(t *testing.T, dir, log string, names ...string) {
	t.Helper()
	for _, name := range names {
		real := must.Get(exec.LookPath(name))(t)
		text := "#!/bin/sh\nfor last; do :; done\necho " + name + " \"$last\" >>" + log + "\nexec " + real + " \"$@\"\n"
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755))
	}
}

// What is renamed into its place is on the disk before, and its name after, so that
// a power cut leaves no empty program or unit.
func TestRoleSyncsBeforeItRenames(t *testing.T) {
	dir := t.TempDir()
	bin, log := filepath.Join(dir, "bin"), filepath.Join(dir, "log")
	require.NoError(t, os.Mkdir(bin, 0o755))
	fake(t, bin, log, "sync", "mv", "install", "tar")
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	run := func(args ...string) []string {
		_ = os.Remove(log)
		must.Run(t, exec.Command("sh", args...))
		return strings.Split(strings.TrimSpace(string(must.Get(os.ReadFile(log))(t))), "\n")
	}

	path := filepath.Join(dir, "etc", "a.conf")
	did := run(roleFiles+"put.sh", "False", path, "text")
	require.Len(t, did, 3)
	assert.Regexp(t, "^sync "+path+"\\.wgmesh-.{6}$", did[0])
	assert.Equal(t, []string{"mv " + path, "sync " + filepath.Dir(path)}, did[1:])

	collection := filepath.Join(dir, "collection")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "src/plugins/plugin_utils/bin"), 0o755))
	require.NoError(t, os.Mkdir(collection, 0o755))
	for _, arch := range []string{"amd64", "arm64"} {
		for _, name := range []string{"wgmesh", "wgmesh-cloud"} {
			must.Write(t, filepath.Join(dir, "src/plugins/plugin_utils/bin/"+name+"_linux_"+arch), "program", 0o755)
		}
	}
	tarball := filepath.Join(dir, "c.tar.gz")
	require.NoError(t, exec.Command("tar", "-czf", tarball, "-C", filepath.Join(dir, "src"), ".").Run())
	program, cloud := filepath.Join(dir, "wgmesh"), filepath.Join(dir, "wgmesh-cloud")
	assert.Equal(t, []string{
		"tar " + collection + ".wgmesh-new", "sync " + collection + ".wgmesh-new",
		"mv " + collection + ".wgmesh-old", "mv " + collection,
		"install " + cloud + ".new", "sync " + cloud + ".new", "mv " + cloud, "sync " + dir,
		"install " + program + ".new", "sync " + program + ".new", "mv " + program, "sync " + dir,
	}, run(roleFiles+"unpack.sh", tarball, collection, program, cloud))
	assert.Positive(t, must.Get(os.Stat(filepath.Join(collection, ".unpacked")))(t).Size())
}

// A source of an inventory that others write into needs an Ansible that takes it for
// data: the distribution's, or one that is brought, or the image is refused.
func TestRoleAnsible(t *testing.T) {
	for name, tt := range map[string]struct {
		have, oldest, pip string // what is here, what is wanted, what PyPI gives
		want              string
	}{
		"new enough for a list": {"2.14.18", "2.14", "", ""},
		"new enough for tags":   {"2.19.0", "2.19", "", ""},
		"newer":                 {"2.20.1", "2.19", "", ""},
		"too old for tags":      {"2.14.18", "2.19", "2.19.3", "installed\n"},
		"too old for a list":    {"2.12.0", "2.14", "2.17.9", "installed\n"},
		"too old, and PyPI as well": {
			"2.14.18", "2.19", "",
			"ansible-core 2.19 or newer is neither here nor to be had from PyPI for Python 3.10",
		},
		"nobody said what is wanted": {"2.19.0", "", "2.19.3", "the oldest version that will do"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			program := func(name, script string) {
				require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755))
			}
			program("ansible", "echo 'ansible [core "+tt.have+"]'")
			program("apt-get", "exit 0")
			program("python3", `[ "$1" != --version ] || { echo Python 3.10; exit; }
mkdir -p "$3/bin" &&
	printf '#!/bin/sh\n[ "$3" = "ansible-core>=`+tt.oldest+`" ] && [ -n "`+tt.pip+`" ]\n' >"$3/bin/pip" &&
	chmod +x "$3/bin/pip"`)
			t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
			out, err := exec.Command("sh", roleFiles+"ansible.sh", filepath.Join(dir, "venv"),
				tt.oldest).CombinedOutput()
			if tt.pip == "" && tt.want != "" || tt.oldest == "" {
				assert.Error(t, err)
				assert.Contains(t, string(out), tt.want)
				assert.NoDirExists(t, filepath.Join(dir, "venv"), "nothing half done is left")
				return
			}
			require.NoError(t, err, string(out))
			assert.Equal(t, tt.want, string(out))
		})
	}
}

// The shell of the account wgmesh runs the command of a key, and nothing else,
// whoever let the caller in.
func TestRoleShell(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "sudo"), []byte("#!/bin/sh\necho ran: \"$@\"\n"), 0o755))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	out := must.Get(exec.Command("sh", roleFiles+"wgmesh-shell.sh", "-c",
		"sudo -n /usr/local/bin/wgmesh gate azure-1").Output())(t)
	assert.Equal(t, "ran: -n /usr/local/libexec/wgmesh-gate azure-1\n", string(out))
	const gate = "sudo -n /usr/local/bin/wgmesh gate "
	for _, args := range [][]string{
		{},
		{"-i"},
		{"-l"},
		{"-c"},
		{"-c", ""},
		{"-c", "id"},
		{"-c", gate},
		{"-c", "sudo -n /bin/sh"},
		{"-c", gate + "azure-1; id"},
		{"-c", gate + "$(id)"},
		{"-c", gate + "a\nid"},
		{"-c", gate + "*"},
		{"-c", "/usr/lib/openssh/sftp-server"},
		{"-c", gate + "azure-1", "x"},
	} {
		out, err := exec.Command("sh", append([]string{roleFiles + "wgmesh-shell.sh"}, args...)...).Output()
		require.Error(t, err, "%q", args)
		assert.Empty(t, string(out), "%q", args)
	}
}

// sudo-rs refuses patterns for arguments and settings that it does not know, so the rule
// has neither, and takes any arguments.
func TestRoleSudo(t *testing.T) {
	text := string(must.Get(os.ReadFile(roleFiles + "sudoers-wgmesh"))(t))
	_, rules, found := strings.Cut(text, "\nDefaults:")
	require.True(t, found)
	assert.Equal(t, "wgmesh env_reset, !lecture\n"+
		"wgmesh ALL=(root) NOPASSWD: /usr/local/libexec/wgmesh-gate\n", rules)
}

// So what sudo runs looks at them: one name goes on.
func TestRoleGate(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "wgmesh")
	require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\necho ran: \"$#\" \"$@\"\n"), 0o755))
	script := strings.ReplaceAll(string(must.Get(os.ReadFile(roleFiles+"wgmesh-gate.sh"))(t)),
		"/usr/local/bin/wgmesh", program)
	run := func(args ...string) (string, error) {
		out, err := exec.Command("sh", append([]string{"-c", script, "gate"}, args...)...).Output()
		return string(out), err
	}
	for _, name := range []string{"azure-1", "9", "a_b.c"} {
		assert.Equal(t, "ran: 2 gate "+name+"\n", must.Get(run(name))(t))
	}
	for _, args := range [][]string{
		{},
		{""},
		{"azure-1", "x"},
		{"azure-1", ""},
		{"--help"},
		{"-c"},
		{".."},
		{"azure-1 x"},
		{"a\nb"},
		{"a/b"},
		{"$(id)"},
		{"*"},
	} {
		out, err := run(args...)
		require.Error(t, err, "%q", args)
		assert.Empty(t, out, "%q", args)
	}
}

// sshd takes keys for that account from one file.
func TestRoleSSHD(t *testing.T) {
	text := must.Get(os.ReadFile(roleFiles + "sshd-wgmesh.conf"))(t)
	for _, line := range []string{
		"AuthorizedKeysCommand none", "AuthorizedPrincipalsFile none",
		"AuthorizedPrincipalsCommand none", "TrustedUserCAKeys none", "MaxSessions 1",
	} {
		assert.Contains(t, string(text), "\n    "+line+"\n")
	}
}

// ansible-core before 2.19 renders a fact again each time it is used. What a router told
// could have the controller run a lookup that way, unless the fact is made of a registered
// variable by its name, which Ansible knows not to trust. Through hostvars it does not.
func TestNoFactIsMadeThroughHostvars(t *testing.T) {
	facts := regexp.MustCompile(`(?m)^( *)(?:ansible\.builtin\.)?set_fact:\n`)
	// Nothing gets through these filters but addresses, numbers, keys and names of one form.
	checked := []string{"wgmesh.router.adopted(hostvars)", "wgmesh.router.forged(hostvars)"}
	found := 0
	for _, pattern := range []string{"../roles/*/tasks/*.yml", "../collection/playbooks/*.yml"} {
		files := must.Get(filepath.Glob(pattern))(t)
		for _, file := range files {
			text := must.Get(os.ReadFile(file))(t)
			for _, m := range facts.FindAllSubmatchIndex(text, -1) {
				found++
				for line := range strings.Lines(string(text[m[1]:])) {
					if len(line)-len(strings.TrimLeft(line, " ")) <= m[3]-m[2] {
						break // the next key of the task
					}
					made := strings.Contains(line, "hostvars") &&
						!slices.ContainsFunc(checked, func(c string) bool { return strings.Contains(line, c) })
					assert.False(t, made, "%s: a fact is made of hostvars: %s", file, strings.TrimSpace(line))
				}
			}
		}
	}
	assert.Greater(t, found, 10, "the facts of the roles are not found")
}

// What a task registers or notes outlives its playbook when Ansible runs several. So the first play of each
// sets all of it to nothing. No variable of the role has such a name: the fact would stand above it from then on.
func TestEachPlaybookForgetsTheOneBefore(t *testing.T) {
	vars := must.Get(os.ReadFile("../roles/mesh/vars/main.yml"))(t)
	forgotten := must.Get(os.ReadFile("../collection/playbooks/tasks/forget.yml"))(t)
	step := regexp.MustCompile(`module: \w+\n +register: .*\n`) // is in what its task registers
	noted := regexp.MustCompile(
		`(?m)^ *(?:register: (__mesh_\w+)$|(?:ansible\.builtin\.)?set_fact:\n((?: +__mesh_\w+:.*\n)+))`)
	fact := regexp.MustCompile(`(?m)^ *(__mesh_\w+):`)
	found := 0
	walk(t, func(path, text string) {
		for _, m := range noted.FindAllStringSubmatch(step.ReplaceAllString(text, ""), -1) {
			names := append(fact.FindAllStringSubmatch(m[2], -1), []string{"", m[1]})
			for _, name := range names {
				if name[1] == "" {
					continue
				}
				found++
				assert.Contains(t, string(forgotten), "\n    "+name[1]+": {}\n", path)
				assert.NotContains(t, string(vars), "\n"+name[1]+":", path)
			}
		}
		assert.NotContains(t, text, "group_by:",
			"%s: a group stays, too: note a fact, and read it by wgmesh.router.noted", path)
	}, "../roles/mesh/tasks")
	assert.Greater(t, found, 50, "what is registered is not found")
}

// A unit that calls a cloud knows the proxy that the plays know on the same host, whose tasks
// come by a login.
func TestUnitsThatCallACloudKnowTheProxy(t *testing.T) {
	seen := 0
	walk(t, func(file, text string) {
		if filepath.Ext(file) == ".service" && strings.Contains(text, "\nExecStart=") &&
			strings.Contains(text, "/wgmesh-cloud ") {
			seen++
			_, service, _ := strings.Cut(text, "\n[Service]\n")
			service, _, _ = strings.Cut(service, "\n[Install]\n")
			assert.Contains(t, "\n"+service, "\nEnvironmentFile=-/etc/environment\n", file)
		}
	}, "../roles")
	assert.Equal(t, 2, seen)
}

// What a load balancer is told: a drained router refuses while another one of its site is
// there, and is the last way out otherwise.
func TestHealthTellsTheBalancer(t *testing.T) {
	session := func(neighbor, state string) string {
		return "x BGP --- up 11:21:44.295 " + state + "\n  BGP state:          " + state +
			"\n    Neighbor AS:      " + neighbor + "\n    Local AS:         65010\n"
	}
	const not, old, hangs = "echo", "echo syntax error; exit 1", "exit 124"
	const drained = "echo 2026-11-27T15:30:00Z a new kernel"
	const told = "drained since 2026-11-27T15:30:00Z a new kernel"
	const alone = told + "; no other router of the site is in reach; "
	far, near := session("65020", "Established"), session("65010", "Established")
	gone := session("65010", "Active")
	for name, tt := range map[string]struct{ says, drain, status, body string }{
		"well":         {near + far, not, "200", "1 of 1 BGP sessions to other sites are up"},
		"older":        {near + far, old, "200", "1 of 1 BGP sessions to other sites are up"},
		"cut off":      {near + session("65020", "Active"), not, "503", "0 of 1 BGP sessions to other sites are up"},
		"drained":      {far + near, drained, "503", told},
		"one of two":   {gone + near + far, drained, "503", told},
		"the only one": {far, drained, "503", told},
		"who knows":    {near + far, hangs, "503", "whether it is drained is not known"},
		"no BIRD":      {"", old, "503", "0 of 0 BGP sessions to other sites are up"},
		"nobody's way": {
			gone + session("65020", "Down"), drained, "503",
			alone + "0 of 1 BGP sessions to other sites are up",
		},
		"last way out": {gone + far, drained, "200", alone + "1 of 1 BGP sessions to other sites are up"},
		"last of three": {
			far + gone + gone + far, drained, "200",
			alone + "2 of 2 BGP sessions to other sites are up",
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			must.Write(t, dir+"/says", tt.says, 0o600)
			birdc := "#!/bin/sh\ncase $* in *eval*) " + tt.drain + " ;; *) cat " + dir + "/says ;; esac\n"
			must.Write(t, dir+"/birdc", birdc, 0o755)
			t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
			run := func(name string) string {
				script := string(must.Get(os.ReadFile(roleFiles + "root/usr/local/libexec/" + name))(t))
				cmd := exec.Command("sh", "-c", strings.ReplaceAll(script, "/run/wgmesh-health", dir))
				cmd.Stdin = strings.NewReader("GET / HTTP/1.1\r\nHost: router\r\n\r\n")
				return string(must.Get(cmd.Output())(t))
			}
			run("wgmesh-sessions.sh")
			head, body, _ := strings.Cut(run("wgmesh-health.sh"), "\r\n\r\n")
			assert.Equal(t, tt.status, strings.Fields(head)[1])
			assert.Equal(t, tt.body+"\n", body)
		})
	}
}

// A run that is cut off before the end has made nobody a router: the mesh play says so.
func TestImageIsNotedAtTheEnd(t *testing.T) {
	tasks := must.Get(os.ReadFile("../roles/router/tasks/main.yml"))(t)
	noted := strings.Index(string(tasks), "touch /etc/wgmesh/image")
	joins := strings.Index(string(tasks), "import_tasks: join.yml")
	assert.Positive(t, joins)
	assert.Greater(t, noted, joins)
}

// The role installs what is absent and upgrades nothing, so a run of it makes no image newer.
func TestOnlyABuildMakesTheImageNew(t *testing.T) {
	tasks := must.Get(os.ReadFile("../roles/router/tasks/main.yml"))(t)
	found := regexp.MustCompile(`mkdir -p /etc/wgmesh &&[^\n]*`).FindString(string(tasks))
	require.NotEmpty(t, found)
	dir := filepath.Join(t.TempDir(), "wgmesh")
	image, old := filepath.Join(dir, "image"), time.Unix(1_500_000_000, 0)
	run := func(build string) time.Time {
		command := regexp.MustCompile(`{{[^}]*}}`).ReplaceAllString(found, build)
		must.Run(t, exec.Command("sh", "-c", strings.ReplaceAll(command, "/etc/wgmesh", dir)))
		info := must.Get(os.Stat(image))(t)
		return info.ModTime()
	}
	assert.False(t, run("False").Equal(old), "made a router")
	require.NoError(t, os.Chtimes(image, old, old))
	assert.True(t, run("False").Equal(old), "a later run")
	assert.False(t, run("True").Equal(old), "an image build")
}

// unheard runs a command as on a router whose controller is gone: nobody reads what it says,
// and its input ends.
func unheard(t *testing.T, args ...string) {
	t.Helper()
	read, write, err := os.Pipe()
	require.NoError(t, err)
	require.NoError(t, read.Close())
	defer write.Close()
	cmd := exec.Command("sh", args...)
	cmd.Stdout, cmd.Stderr, cmd.Stdin = write, write, strings.NewReader("half a prog")
	_ = cmd.Run() // how it ends is for nobody
}

// A file is used by whoever reads it, or is not in its place: a run after one that was cut
// off finds it there and does nothing.
func TestRoleHasFilesRead(t *testing.T) {
	dir := t.TempDir()
	path, log := filepath.Join(dir, "a.conf"), filepath.Join(dir, "log")
	then := `cat "` + path + `" >>"` + log + `"`
	put := func(text, valid string) []string {
		return []string{roleFiles + "put.sh", "False", path, text, valid, then}
	}
	unheard(t, put("one", "")...)
	said := must.Run(t, exec.Command("sh", put("one", "")...))
	assert.Empty(t, said)
	require.Error(t, exec.Command("sh", put("bad", `! grep -q bad "$1"`)...).Run())
	said = must.Run(t, exec.Command("sh", put("two", `! grep -q bad "$1"`)...))
	assert.Equal(t, "changed\n", said)
	// Nobody could be told, as when systemd does not answer: the next run does it.
	broken := filepath.Join(dir, "broken")
	require.NoError(t, os.WriteFile(broken, nil, 0o600))
	then = `[ ! -e "` + broken + `" ] && ` + then
	require.Error(t, exec.Command("sh", put("three", "")...).Run())
	require.NoError(t, os.Remove(broken))
	for _, want := range []string{"changed\n", ""} {
		said = must.Run(t, exec.Command("sh", put("three", "")...))
		assert.Equal(t, want, said)
	}
	assert.Equal(t, "one\ntwo\nthree\n", string(must.Get(os.ReadFile(log))(t)))
	assert.Len(t, must.Get(os.ReadDir(dir))(t), 2, "nothing half made is left")
}

// What a run packs on the controller is taken away by the next one, where it was killed.
func TestPackedCollectionIsTakenAway(t *testing.T) {
	var tasks []struct {
		Block []struct {
			Command struct{ Argv []string } `yaml:"ansible.builtin.command"`
		}
	}
	require.NoError(t, yaml.Unmarshal(must.Get(os.ReadFile("../roles/router/tasks/join.yml"))(t), &tasks))
	var argv []string
	for _, task := range tasks {
		if len(task.Block) > 0 {
			argv = task.Block[0].Command.Argv
		}
	}
	require.NotEmpty(t, argv)
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	run := func() string {
		return strings.TrimSpace(string(must.Get(exec.Command(argv[0], argv[1:]...).Output())(t)))
	}
	left, other := run(), filepath.Join(dir, "mine")
	require.NoError(t, os.WriteFile(filepath.Join(left, "x"), nil, 0o600))
	require.NoError(t, os.Mkdir(other, 0o700))
	ago := time.Now().Add(-2 * time.Hour)
	require.NoError(t, errors.Join(os.Chtimes(left, ago, ago), os.Chtimes(other, ago, ago)))
	first := run()
	second := run()
	assert.NoDirExists(t, left)
	for _, path := range []string{first, second, other} {
		assert.DirExists(t, path, "another run is at work")
	}
}

// Ansible forgets what was notified when a run is cut off.
func TestRolesHaveNoHandlers(t *testing.T) {
	seen := 0
	walk(t, func(file, text string) {
		if strings.HasSuffix(file, ".yml") {
			seen++
			assert.NotContains(t, text, "notify:", "%s: have put.sh do it", file)
		}
	}, "../roles")
	assert.Greater(t, seen, 20)
}

func TestResetGoesOnWhenNobodyListens(t *testing.T) {
	r := newResettable(t, map[string]string{
		"/etc/passwd": accounts, "/etc/sudoers.d/wgmesh": "", "/etc/ssh/sshd_config.d/60-wgmesh.conf": "",
	})
	unheard(t, roleFiles+"reset.sh", "False", "ended", "", r.root)
	log := must.Get(os.ReadFile(r.log))(t)
	for _, did := range []string{
		"nft delete table", "userdel", "systemctl daemon-reload",
		"try-reload-or-restart ssh",
	} {
		assert.Contains(t, string(log), did)
	}
	assert.Equal(t, []string{"/etc/passwd"}, r.files(t))
}

// A program that is on its way to a router when the controller dies leaves nothing there.
func TestUploadThatIsCutOffLeavesNothing(t *testing.T) {
	text := must.Get(os.ReadFile("../collection/plugins/plugin_utils/wgmesh.py"))(t)
	_, script, found := bytes.Cut(text, []byte("UPLOAD = \"\"\"\\\n"))
	require.True(t, found)
	script, _, _ = bytes.Cut(script, []byte(`"""`))
	dir := t.TempDir()
	line := strings.NewReplacer("{root_dir}", dir, "{user_dir}", dir, "{build}", "0123", "{answer}", "wgmesh-target: ",
		"{{", "{", "}}", "}", "\n", " ").Replace(string(script))
	unheard(t, "-c", line)
	assert.Empty(t, must.Get(os.ReadDir(filepath.Join(dir, "0123")))(t))
}
