package atomicfile_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/atomicfile"
)

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, want := range []struct {
		data string
		perm fs.FileMode
	}{{"new", 0o600}, {"replaced", 0o644}, {"", 0o660}} {
		require.NoError(t, atomicfile.Write(path, []byte(want.data), want.perm))
		assert.Equal(t, want.data, read(t, path))
		assert.Equal(t, want.perm, stat(t, path).Mode(), "the umask must not matter")
	}
	assert.Equal(t, []string{"file"}, list(t, filepath.Dir(path)))
}

func TestWriteKeepsOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o600))
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 { // only root can make a file another's
		uid, gid = 4321, 1234
		require.NoError(t, os.Chown(path, uid, gid))
	}
	require.NoError(t, atomicfile.Write(path, []byte("new"), 0o640))

	st := stat(t, path).Sys().(*syscall.Stat_t)
	assert.Equal(t, []int{uid, gid}, []int{int(st.Uid), int(st.Gid)})
	assert.Equal(t, "new", read(t, path))
}

func TestWriteRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		make func(path string) error
		err  string
	}{
		"link to a file":   {func(p string) error { return os.Symlink("target", p) }, "found a symbolic link"},
		"link to nothing":  {func(p string) error { return os.Symlink("nowhere", p) }, "found a symbolic link"},
		"folder":           {func(p string) error { return os.Mkdir(p, 0o755) }, "found a folder"},
		"named pipe":       {func(p string) error { return syscall.Mkfifo(p, 0o600) }, "found a special file"},
		"folder not there": {func(p string) error { return os.Remove(filepath.Dir(p)) }, "no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			outer := t.TempDir()
			dir := filepath.Join(outer, "dir")
			require.NoError(t, os.Mkdir(dir, 0o755))
			path := filepath.Join(dir, "file")
			require.NoError(t, tt.make(path))
			before := list(t, dir)

			require.ErrorContains(t, atomicfile.Write(path, []byte("x"), 0o600), tt.err)
			assert.Equal(t, before, list(t, dir), "nothing may be left behind")
		})
	}
}

// A file is never there with content and without its final mode. The content
// is large, so that the watcher sees it grow.
func TestModeComesBeforeContent(t *testing.T) {
	dir := t.TempDir()
	done, seen := make(chan struct{}), map[fs.FileMode]int{}
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			entries, _ := os.ReadDir(dir)
			for _, e := range entries {
				if info, err := e.Info(); err == nil && info.Size() > 0 {
					seen[info.Mode()]++
				}
			}
		}
	})
	require.NoError(t, atomicfile.Write(filepath.Join(dir, "file"), make([]byte, 64<<20), 0o640))
	close(done)
	watch.Wait()

	assert.Len(t, seen, 1)
	assert.Positive(t, seen[0o640])
}

func TestCreate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, atomicfile.Create(path, []byte("first"), 0o600))
	assert.Equal(t, fs.FileMode(0o600), stat(t, path).Mode())

	require.ErrorIs(t, atomicfile.Create(path, []byte("second"), 0o644), os.ErrExist)
	assert.Equal(t, "first", read(t, path))
	assert.Equal(t, fs.FileMode(0o600), stat(t, path).Mode())
	assert.Equal(t, []string{"file"}, list(t, filepath.Dir(path)))
}

func TestCreateDoesNotFollowALink(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	require.NoError(t, os.Symlink("nowhere", path))

	require.ErrorIs(t, atomicfile.Create(path, []byte("x"), 0o600), os.ErrExist)
	assert.Equal(t, []string{"file"}, list(t, dir))
}

// Of many that create one path, one wins and its content is what is there.
func TestCreateIsExclusive(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	errs := make([]error, 20)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = atomicfile.Create(path, []byte{byte('a' + i)}, 0o600) })
	}
	all.Wait()

	winner := ""
	for i, err := range errs {
		if err == nil {
			winner += string(rune('a' + i))
		} else {
			require.ErrorIs(t, err, os.ErrExist)
		}
	}
	assert.Equal(t, winner, read(t, path))
	assert.Equal(t, []string{"file"}, list(t, dir))
}

// A writer that was killed leaves a part of the file, or all of a secret. The next one of the same
// file removes it, and nothing else: not what a writer that lives has locked.
func TestWriteRemovesWhatKilledOnesLeft(t *testing.T) {
	for name, write := range map[string]func(string, []byte, fs.FileMode) error{
		"write": atomicfile.Write, "create": atomicfile.Create,
	} {
		dir := t.TempDir()
		stay := []string{
			".file.wgmesh", ".file..wgmesh", ".file.12.wgmesh", ".file.99999999999.wgmesh", ".file.5x.wgmesh",
			".file.conf.6.wgmesh", ".file.conf.good", ".other.7.wgmesh", "file.8", ".file.20261129",
		}
		for _, left := range append(stay, ".file.1.wgmesh", ".file.4294967295.wgmesh") {
			require.NoError(t, os.WriteFile(filepath.Join(dir, left), []byte("secret"), 0o600))
		}
		lives := must.Get(os.Open(filepath.Join(dir, ".file.12.wgmesh")))(t)
		require.NoError(t, syscall.Flock(int(lives.Fd()), syscall.LOCK_EX))
		require.NoError(t, os.Symlink("file.8", filepath.Join(dir, ".file.2.wgmesh")))
		require.NoError(t, os.Mkdir(filepath.Join(dir, ".file.3.wgmesh"), 0o700))
		require.NoError(t, syscall.Mkfifo(filepath.Join(dir, ".file.4.wgmesh"), 0o600))

		require.NoError(t, write(filepath.Join(dir, "file"), []byte("new"), 0o600), name)
		assert.ElementsMatch(t, append(stay, ".file.2.wgmesh", ".file.3.wgmesh", ".file.4.wgmesh", "file"),
			list(t, dir), name)
		require.NoError(t, lives.Close())
	}
}

// What is a leftover, and what only looks like one.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "20.psk")
	for _, name := range []string{
		".20.psk.123", ".20.psk.9", ".20.psk.x", ".120.psk.1", "20.psk.1", ".20xpsk.1",
		".20.psk.", ".20.psk.1x", ".20.psk.+1", ".20.psk.1\n", ".20.psk.1.2", ".20.psk.\u0661",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".wgmesh"), nil, 0o600))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".20.psk.20261129"), nil, 0o600)) // somebody's copy
	require.NoError(t, os.Symlink("/etc/hostname", filepath.Join(dir, ".20.psk.7.wgmesh")))
	got := must.Get(atomicfile.Leftovers(path))(t)
	assert.Equal(t, []string{filepath.Join(dir, ".20.psk.123.wgmesh"), filepath.Join(dir, ".20.psk.9.wgmesh")}, got)

	require.NoError(t, atomicfile.Write(path, nil, 0o600))
	assert.Empty(t, must.Get(atomicfile.Leftovers(path))(t), "a write takes the same for its own")

	assert.Empty(t, must.Get(atomicfile.Leftovers(filepath.Join(dir, "absent", "key")))(t))
}

// Writers of one file do not take each other's part away.
func TestWritersTogether(t *testing.T) {
	dir := t.TempDir()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				assert.NoError(t, atomicfile.Write(filepath.Join(dir, "file"), []byte("x"), 0o600))
			}
		})
	}
	all.Wait()
	assert.Equal(t, []string{"file"}, list(t, dir))
}

func TestRemove(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	require.NoError(t, atomicfile.Remove(path), "nothing there is no error")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.NoError(t, atomicfile.Remove(path))
	assert.Empty(t, list(t, dir))
	require.NoError(t, atomicfile.Remove(filepath.Join(dir, "no", "folder")))

	target := filepath.Join(dir, "target")
	require.NoError(t, os.WriteFile(target, nil, 0o600))
	require.NoError(t, os.Symlink(target, path))
	require.NoError(t, atomicfile.Remove(path))
	assert.Equal(t, []string{"target"}, list(t, dir), "a link goes, its target stays")

	var pathErr *fs.PathError
	require.True(t, errors.As(atomicfile.Remove(dir), &pathErr), "a folder is refused")
	assert.Equal(t, dir, pathErr.Path)
	assert.DirExists(t, dir)
}

func read(t *testing.T, path string) string {
	t.Helper()
	return string(must.Get(os.ReadFile(path))(t))
}

func stat(t *testing.T, path string) fs.FileInfo {
	t.Helper()
	return must.Get(os.Lstat(path))(t)
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// An error is about the file that somebody knows, not about the temporary one.
func TestErrorsNameTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gone", "file")
	for _, err := range []error{
		atomicfile.Write(path, []byte("x"), 0o600), atomicfile.Create(path, []byte("x"), 0o600),
	} {
		require.EqualError(t, err, "open "+path+": no such file or directory")
		require.ErrorIs(t, err, fs.ErrNotExist)
	}
}

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

// Write replaces a file as a whole. A reader, or a power cut, finds the old content or
// the new one, and never a part.
func ExampleWrite() {
	folder, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "bird.conf")
	for _, text := range []string{"router id 0.0.0.1;\n", "router id 0.0.0.2;\n"} {
		if err := atomicfile.Write(path, []byte(text), 0o640); err != nil {
			fmt.Println(err)
			return
		}
	}
	text, err := os.ReadFile(path)
	fmt.Print(string(text), err)
	// Output:
	// router id 0.0.0.2;
	// <nil>
}

// Create refuses a path where a file is already.
func ExampleCreate() {
	folder, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "wgmesh.key")
	fmt.Println(atomicfile.Create(path, []byte("first"), 0o600))
	fmt.Println(errors.Is(atomicfile.Create(path, []byte("second"), 0o600), os.ErrExist))
	// Output:
	// <nil>
	// true
}
