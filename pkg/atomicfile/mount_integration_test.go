//go:build integration

package atomicfile_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
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

	nettest.Mount(t, path, "", "")

	for _, name := range []string{path, filepath.Join(link, "bird.conf")} {
		assert.EqualError(t, atomicfile.Write(name, []byte("new"), 0o600),
			name+" is a mount point, which cannot be replaced; use a mount of its folder instead")
	}
	assert.NoError(t, atomicfile.Write(filepath.Join(link, "beside"), nil, 0o600))
	assert.Equal(t, "old", read(t, path))
	assert.Empty(t, must.Get(atomicfile.Leftovers(path))(t))
}
