//go:build integration

package bird_test

import (
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/bird"
)

// The rename of the candidate is the last step, after BIRD has confirmed it. Where it cannot
// be, nothing begins.
func TestMountedConfigurationIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bird.conf")
	must.Write(t, path, "", 0o600)
	runtime.LockOSThread() // this thread, with its mounts, ends with the test
	require.NoError(t, unix.Unshare(unix.CLONE_NEWNS))
	require.NoError(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	require.NoError(t, unix.Mount(path, path, "", unix.MS_BIND, ""))
	defer func() { assert.NoError(t, unix.Unmount(path, 0)) }()
	_, err := bird.Host{Path: path, Socket: filepath.Join(t.TempDir(), "ctl")}.Observe(t.Context())
	assert.EqualError(t, err,
		path+" is a mount point, which cannot be replaced; use a mount of its folder instead")
}
