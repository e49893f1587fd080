package meshstatus

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/status"
	"github.com/wgmesh/router/pkg/version"
)

func TestLook(t *testing.T) {
	root, then := t.TempDir(), time.Unix(1_700_000_000, 0)
	var none, seen status.Observation
	look(root, &none)
	assert.Empty(t, none.Made)
	assert.Empty(t, none.Reboot)
	assert.False(t, none.FailoverRuns)
	assert.Empty(t, none.Watched)
	for path, text := range map[string]string{
		"etc/wireguard/wgmesh.key": "secret", "etc/wgmesh/image": "", "run/reboot-required": "",
		"run/wgmesh-failover/pid":  "",
		"etc/wgmesh/failover.json": `{"tables":["rtb-a"],"mesh":"m","of a later version":{}}`,
		"etc/wireguard/wgmesh-psk/3.json": `{"made_by":"wgmesh.router","tunnel":3,"peer":"gcp-1",` +
			`"generation":1700000000000}`,
		"etc/wireguard/wgmesh-psk/4.json":          `{"tunnel":4,"peer":"mine","generation":1700000000000}`,
		"etc/wireguard/wgmesh-undo/journal.json":   "damaged",
		"etc/wireguard/wgmesh-psk/not-a-record.js": "",
	} {
		path = filepath.Join(root, path)
		must.Write(t, path, text, 0o600)
		require.NoError(t, os.Chtimes(path, then, then))
	}
	look(root, &seen)
	assert.Contains(t, seen.UndoFails, "journal.json: invalid character")
	assert.Equal(t, "/run/reboot-required", seen.Reboot)
	assert.True(t, seen.FailoverRuns)
	assert.Equal(t, plan.Failover{Tables: []string{"rtb-a"}}, seen.Watched)
	for i := range seen.Made {
		assert.True(t, seen.Made[i].At.Equal(then), "%v", seen.Made[i])
		seen.Made[i].At = time.Time{}
	}
	assert.Equal(t,
		[]status.Made{
			{What: status.PrivateKey},
			{What: status.Image},
			{What: status.PresharedKey, Peer: "gcp-1"},
			{What: status.WaitingChange},
		}, seen.Made)
}

// Programs that no run of the mesh play brings are known by their commit.
func TestLookAtPrograms(t *testing.T) {
	root, commit := t.TempDir(), version.Commit
	t.Cleanup(func() { version.Commit = commit })
	write := func(path, text string) {
		path = filepath.Join(root, path)
		must.Write(t, path, text, 0o755)
	}
	look := func() []string {
		var seen status.Observation
		look(root, &seen)
		return seen.OtherBuild
	}
	const head = "\x7fELF\x05\x00\x00\x00\x04\x00\x00\x00Go\x00\x00"
	write(plan.JoinProgram, head+"12345")
	write(plan.FailoverProgram, head+"12346")
	version.Commit = "12345"
	assert.Equal(t, []string{plan.FailoverProgram}, look())
	version.Commit = "1234" // the beginning of another one
	assert.Equal(t, []string{plan.JoinProgram, plan.FailoverProgram}, look())
	write(plan.JoinCloud, "of the time before there was a note")
	assert.Equal(t, []string{plan.JoinProgram, plan.JoinCloud, plan.FailoverProgram}, look())
	version.Commit = version.Unknown
	assert.Empty(t, look(), "it does not know itself")
}

// What stands against an undo is the word of the process that tries it, for this change alone.
func TestUndoFails(t *testing.T) {
	root := t.TempDir()
	for path, text := range map[string]string{
		"etc/wireguard/wgmesh-undo/journal.json": `{"id":"abc"}`,
		"run/wgmesh/undo-abc":                    "put back /x: no space left", "run/wgmesh/undo-other": "another",
	} {
		path = filepath.Join(root, path)
		must.Write(t, path, text, 0o600)
	}
	var seen status.Observation
	look(root, &seen)
	assert.Equal(t, "put back /x: no space left", seen.UndoFails)
}

// The daemon's account is not root, and could have root read what it may not.
func TestFailure(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "fails")
	assert.Empty(t, said(path, 200))
	require.NoError(t, os.WriteFile(path, []byte("rtb-a:\x1b denied\n"+strings.Repeat("x", 300)), 0o644))
	assert.Equal(t, "rtb-a: denied "+strings.Repeat("x", 185), said(path, 200))
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("secret"), 0o600))
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Symlink(secret, path))
	assert.Empty(t, said(path, 200), "a link")
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Link(secret, path))
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chown(folder, 12345, 12345))
		assert.Empty(t, said(path, 200), "another name of somebody else's file")
	}
	require.NoError(t, os.Remove(path))
	require.NoError(t, syscall.Mkfifo(path, 0o600))
	assert.Empty(t, said(path, 200), "it would wait for ever")
}

func TestNotEnabled(t *testing.T) {
	const state = "UnitFileState="
	units := []string{"a", "b", "c"}
	for text, want := range map[string][]string{
		state + "enabled\n\n" + state + "static\n\n" + state + "alias\n":             nil,
		state + "disabled\n\n" + state + "\n\n" + state + "masked\n":                 units,
		state + "enabled\n\n" + state + "enabled-runtime\n\n" + state + "indirect\n": {"b"},
		state + "disabled\n": nil, "": nil,
	} {
		off, err := notEnabled(units, text)
		assert.Equal(t, want, off, text)
		assert.Equal(t, strings.Count(text, state) != len(units), err != nil, text)
	}
}

// All that the next boot lacks is one note, and all that undoes it is one more.
func TestNotesOfTheNextBoot(t *testing.T) {
	seen := status.Observation{
		Unready: map[string][]string{
			"the mesh play":        {"bird is not enabled", "/etc/bird is closed to BIRD"},
			"wgmesh.router.routes": {"wgmesh-failover is not enabled"},
		},
		Defeated: []string{"net.ipv4.ip_forward=0 in /etc/sysctl.d/zz.conf"},
		BootErr:  errors.New("systemctl show: it hangs"),
	}
	assert.Equal(t, []string{
		"after the next boot it will not be as it is now (bird is not enabled, /etc/bird is closed to BIRD): " +
			"run the mesh play",
		"after the next boot it will not be as it is now (wgmesh-failover is not enabled): run wgmesh.router.routes",
		"files of others undo the mesh's kernel settings (net.ipv4.ip_forward=0 in " +
			"/etc/sysctl.d/zz.conf): mend those lines",
		"what the next boot starts is not known (systemctl show: it hangs): " +
			"run it again, and look at systemctl is-system-running",
	}, status.Notes(status.Request{}, seen))
}

// What other plays than the mesh play set up is looked at where it is: the daemon of failover where it runs, and
// what joins where it is told how.
func TestOthersAtBoot(t *testing.T) {
	root := t.TempDir()
	put := func(path string, text ...byte) {
		require.NoError(t, os.MkdirAll(filepath.Dir(root+path), 0o755))
		require.NoError(t, os.WriteFile(root+path, text, 0o755))
	}
	// As the plays bring them: who changes one, changes its digest.
	for _, files := range unitFiles {
		for name := range files {
			from := strings.ReplaceAll(filepath.Base(name), "60-wgmesh-join", "wg-quick-join")
			at := must.Get(filepath.Glob("../../roles/*/files/" + from))(t)
			require.Len(t, at, 1, name)
			put("/etc/systemd/system/"+name, must.Get(os.ReadFile(at[0]))(t)...)
		}
	}
	var seen status.Observation
	assert.Empty(t, others(root, seen))
	seen.FailoverRuns = true
	put(plan.JoinFile)
	lacking := func() (units, programs []string) {
		for _, o := range others(root, seen) {
			units, programs = append(units, o.play+" "+strings.Join(o.units, " ")), append(programs, o.missing...)
		}
		return units, programs
	}
	units, programs := lacking()
	assert.Equal(t, []string{
		"wgmesh.router.routes wgmesh-failover.service",
		"wgmesh.router.image wgmesh-host-key.service wgmesh-join.timer",
	}, units)
	assert.Equal(t, []string{plan.FailoverProgram, plan.JoinProgram, plan.JoinCloud}, programs)
	for _, program := range programs {
		put(program)
	}
	_, programs = lacking()
	assert.Empty(t, programs)
	const timer, unit = "/etc/systemd/system/wgmesh-join.timer", "/etc/systemd/system/wgmesh-failover.service"
	for _, o := range others(root, seen) {
		assert.Empty(t, o.differs)
	}
	put(timer, '#')
	require.NoError(t, os.Remove(root+unit))
	found := others(root, seen)
	assert.Equal(t, []string{unit}, found[0].missing)
	assert.Equal(t, []string{timer}, found[1].differs)
}
