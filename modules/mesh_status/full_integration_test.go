//go:build integration

package meshstatus

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/internal/nettest"
	"github.com/wgmesh/router/pkg/status"
)

// A full disk keeps nothing from working, until somebody changes something.
func TestFullDisk(t *testing.T) {
	root := t.TempDir()
	etc, run := filepath.Join(root, "etc"), filepath.Join(root, "run")
	require.NoError(t, os.Mkdir(etc, 0o755))
	require.NoError(t, os.Mkdir(run, 0o755))
	notes := func(on, size string) []string {
		nettest.Mount(t, on, "tmpfs", size)
		var seen status.Observation
		look(root, &seen)
		return status.Notes(status.Request{}, seen)
	}
	const no, full = "no change can be made here, ", ": no space left on device: make room and make it writable"
	assert.Equal(t, []string{no + etc + full}, notes(etc, "512k"))
	assert.Empty(t, notes(etc, "16m"))
	// Without room there no undo can be armed, and every change is refused.
	assert.Equal(t, []string{no + run + full}, notes(run, "512k"))
	assert.Empty(t, notes(run, "16m"))
	require.NoError(t, os.Mkdir(filepath.Join(etc, "bird"), 0o755))
	require.NoError(t, unix.Mount("", etc, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	var seen status.Observation
	look(root, &seen)
	assert.Equal(t, []string{no + etc + ": read-only file system: make room and make it writable"},
		status.Notes(status.Request{}, seen), "one note for all folders")
}
