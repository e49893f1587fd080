package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/wgmesh/router/internal/must"
)

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
