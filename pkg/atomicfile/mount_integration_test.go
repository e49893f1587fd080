//go:build integration

package atomicfile_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/atomicfile"
)

// A file that a container got as a volume is refused before anything is written.
func TestMountPointIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a folder", "bird.conf")
	require.NoError(t, os.Mkdir(filepath.Dir(path), 0o700))
	must.Write(t, path, "old", 0o600)
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(filepath.Dir(path), link))
	require.NoError(t, atomicfile.Replaceable(path))

	runtime.LockOSThread() // this thread, with its mounts, ends with the test
	require.NoError(t, unix.Unshare(unix.CLONE_NEWNS))
	require.NoError(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	require.NoError(t, unix.Mount(path, path, "", unix.MS_BIND, ""))
	defer func() { assert.NoError(t, unix.Unmount(path, 0)) }()

	for _, name := range []string{path, filepath.Join(link, "bird.conf")} {
		assert.EqualError(t, atomicfile.Write(name, []byte("new"), 0o600),
			name+" is a mount point, which cannot be replaced; use a mount of its folder instead")
	}
	assert.NoError(t, atomicfile.Write(filepath.Join(link, "beside"), nil, 0o600))
	assert.Equal(t, "old", read(t, path))
	assert.Empty(t, must.Get(atomicfile.Leftovers(path))(t))
}
