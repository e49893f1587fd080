package meshstatus

import (
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
