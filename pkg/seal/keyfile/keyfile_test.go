package keyfile_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/seal/keyfile"
)

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")

	info, data, err := keyfile.Read(path)
	require.NoError(t, err)
	assert.False(t, info.Exists)
	assert.Nil(t, data)
	assert.False(t, info.Exposed())

	require.NoError(t, os.WriteFile(path, []byte("text"), 0o600))
	info, data, err = keyfile.Read(path)
	require.NoError(t, err)
	assert.True(t, info.Exists)
	assert.Equal(t, "text", string(data))
	assert.Empty(t, info.Faults())
	assert.False(t, info.Exposed())
}

func TestReadRefuses(t *testing.T) {
	tests := []struct {
		name string
		make func(path string) error
		want string
	}{
		{"link to a file", func(p string) error { return os.Symlink("/etc/hostname", p) }, "symbolic link"},
		{"link to nothing", func(p string) error { return os.Symlink("/nowhere", p) }, "symbolic link"},
		{"folder", func(p string) error { return os.Mkdir(p, 0o700) }, "not a regular file"},
		{"fifo", func(p string) error { return syscall.Mkfifo(p, 0o600) }, "not a regular file"},
		{"huge", func(p string) error { return os.WriteFile(p, make([]byte, 1<<20), 0o600) }, "not a key file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key")
			require.NoError(t, tt.make(path))
			_, data, err := keyfile.Read(path)
			require.ErrorContains(t, err, tt.want)
			require.ErrorContains(t, err, path)
			assert.Nil(t, data)
		})
	}
}

func TestMend(t *testing.T) {
	for _, mode := range []os.FileMode{0o644, 0o400, 0o660, 0o700, 0o600 | os.ModeSetuid} {
		path := filepath.Join(t.TempDir(), "key")
		require.NoError(t, os.WriteFile(path, []byte("text"), 0o600))
		require.NoError(t, os.Chmod(path, mode))
		info, _, err := keyfile.Read(path)
		require.NoError(t, err)
		require.Len(t, info.Faults(), 1, "mode %s", mode)

		require.NoError(t, keyfile.Mend(path))
		info, data, err := keyfile.Read(path)
		require.NoError(t, err)
		assert.Empty(t, info.Faults())
		assert.Equal(t, "text", string(data), "content is not touched")
	}
}

func TestMendNeverFollowsALink(t *testing.T) {
	dir := t.TempDir()
	victim, link := filepath.Join(dir, "victim"), filepath.Join(dir, "link")
	require.NoError(t, os.WriteFile(victim, nil, 0o644))
	require.NoError(t, os.Symlink(victim, link))

	require.ErrorContains(t, keyfile.Mend(link), "symbolic link")
	st := must.Get(os.Stat(victim))(t)
	assert.Equal(t, os.FileMode(0o644), st.Mode().Perm())
	require.ErrorIs(t, keyfile.Mend(filepath.Join(dir, "absent")), os.ErrNotExist)
}

func TestDir(t *testing.T) {
	base := t.TempDir()
	path := filepath.Join(base, "a", "b")
	assert.False(t, must.Get(keyfile.CheckDir(path))(t))

	made := must.Get(keyfile.MakeDir(path))(t)
	assert.True(t, made)
	st := must.Get(os.Stat(path))(t)
	assert.Equal(t, os.FileMode(0o700), st.Mode().Perm())

	made = must.Get(keyfile.MakeDir(path))(t)
	assert.False(t, made)

	require.NoError(t, os.Chmod(path, 0o770))
	_, err := keyfile.CheckDir(path)
	require.ErrorContains(t, err, "other users can replace keys")
	require.ErrorContains(t, must.Err(keyfile.MakeDir(path)), path)

	if os.Geteuid() == 0 { // else nobody else's folder can be made
		require.NoError(t, os.Chmod(path, 0o700))
		require.NoError(t, os.Chown(path, 65534, 0))
		_, err = keyfile.CheckDir(path)
		require.ErrorContains(t, err, path+" belongs to user 65534, who can replace keys in it: run chown root "+path)
	}

	file := filepath.Join(base, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.ErrorContains(t, must.Err(keyfile.CheckDir(file)), "not a folder")
}
