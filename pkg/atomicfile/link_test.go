package atomicfile_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/atomicfile"
)

func TestLink(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	path := filepath.Join(dir, "link")
	for _, target := range []string{"/one", "/other"} {
		require.NoError(t, atomicfile.Link(target, path))
		assert.Equal(t, target, must.Get(os.Readlink(path))(t))
		assert.Equal(t, []string{"link"}, list(t, dir))
	}
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Mkdir(path, 0o755))
	require.Error(t, atomicfile.Link("/one", path), "a folder is refused")
	assert.Equal(t, []string{"link"}, list(t, dir), "and nothing is left")
}
