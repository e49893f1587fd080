package venv_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/pkg/venv"
)

func TestDead(t *testing.T) {
	root := t.TempDir()
	system, bin := filepath.Join(root, "usr/bin"), filepath.Join(root, "ansible/bin")
	link := func(to, path string) {
		_ = os.Remove(path)
		require.NoError(t, os.Symlink(to, path))
	}
	for _, folder := range []string{system, bin, filepath.Join(root, "ansible/lib/python3.10")} {
		require.NoError(t, os.MkdirAll(folder, 0o755))
	}
	for _, name := range []string{"python3.10", "python3.12", "python"} {
		require.NoError(t, os.WriteFile(filepath.Join(system, name), nil, 0o755))
	}
	link("python3.10", filepath.Join(system, "python3"))
	link(filepath.Join(system, "python3"), filepath.Join(bin, "python3"))
	assert.False(t, venv.Dead(filepath.Join(root, "missing/bin")))
	assert.False(t, venv.Dead(bin), "a folder of programs, and no environment")
	require.NoError(t, os.WriteFile(filepath.Join(root, "ansible/pyvenv.cfg"), nil, 0o644))
	assert.False(t, venv.Dead(bin))
	link("python3.12", filepath.Join(system, "python3"))
	assert.True(t, venv.Dead(bin), "another version")
	link("python", filepath.Join(system, "python3"))
	assert.False(t, venv.Dead(bin), "nobody knows which")
	require.NoError(t, os.Remove(filepath.Join(system, "python3")))
	assert.True(t, venv.Dead(bin), "gone")
}
