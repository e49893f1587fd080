package guard

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
)

// A rig is a guard in folders of its own. What waits is a goroutine.
type rig struct {
	Guard
	dir    string
	undone atomic.Int32
	ended  chan error
}

func newRig(t *testing.T) *rig {
	t.Helper()
	dir := t.TempDir()
	r := &rig{dir: dir, ended: make(chan error, 8)}
	r.Guard = Guard{Folder: dir + "/wireguard/undo", Run: dir + "/run", Units: dir + "/units"}
	require.NoError(t, os.Mkdir(r.Units, 0o755))
	r.Launch = func(_ context.Context, id string) error {
		go func() {
			r.ended <- r.Wait(t.Context(), id, func(context.Context) error {
				r.undone.Add(1)
				return r.Close()
			}, func(string) {})
		}()
		return nil
	}
	return r
}

func (r *rig) file(name string) string { return filepath.Join(r.dir, name) }

func (r *rig) arm(t *testing.T, seconds int, files ...string) {
	t.Helper()
	c := Change{Files: files}
	c.Note("kind", "name", len(files))
	require.NoError(t, r.Arm(t.Context(), seconds, c))
}

func (r *rig) restore(t *testing.T) {
	t.Helper()
	j := must.Get(r.Read())(t)
	require.NotNil(t, j)
	for range 2 {
		for _, f := range j.Files {
			must.Get(r.Restore(f))(t, f.Path)
		}
	}
}

// What was at a path is there again: content, mode, time, a link, or nothing.
func TestRestore(t *testing.T) {
	r := newRig(t)
	old := time.Date(2020, 1, 2, 3, 4, 5, 6, time.UTC)
	files := []string{r.file("plain"), r.file("key"), r.file("link"), r.file("absent"), r.file("gone/below")}
	require.NoError(t, os.WriteFile(files[0], []byte("one"), 0o640))
	require.NoError(t, os.WriteFile(files[1], []byte("two"), 0o600))
	require.NoError(t, os.Chtimes(files[0], old, old))
	require.NoError(t, os.Symlink("plain", files[2]))
	require.NoError(t, os.Mkdir(r.file("gone"), 0o755))
	require.NoError(t, os.WriteFile(files[4], []byte("four"), 0o644))
	r.arm(t, 60, files...)
	info := must.Get(os.Stat(r.Folder))(t)
	assert.Equal(t, os.FileMode(0o700), info.Mode().Perm())

	for name, change := range map[string]func(){
		"nothing": func() {},
		"all": func() {
			require.NoError(t, os.WriteFile(files[0], []byte("another"), 0o640))
			require.NoError(t, os.Chmod(files[1], 0o644))
			require.NoError(t, os.Remove(files[2]))
			require.NoError(t, os.WriteFile(files[2], []byte("a file"), 0o644))
			require.NoError(t, os.WriteFile(files[3], []byte("new"), 0o644))
			require.NoError(t, os.RemoveAll(r.file("gone")))
		},
		"a link in place of a file": func() {
			require.NoError(t, os.Remove(files[0]))
			require.NoError(t, os.Symlink(files[1], files[0]))
		},
	} {
		t.Run(name, func(t *testing.T) {
			change()
			r.restore(t)
			for path, want := range map[string]string{
				files[0]: "one", files[1]: "two", files[2]: "one", files[4]: "four",
			} {
				assert.Equal(t, want, string(must.Get(os.ReadFile(path))(t)), path)
			}
			for path, mode := range map[string]os.FileMode{
				files[0]: 0o640, files[1]: 0o600, files[2]: os.ModeSymlink | 0o777, files[4]: 0o644,
			} {
				assert.Equal(t, mode, must.Get(os.Lstat(path))(t).Mode(), path)
			}
			info := must.Get(os.Stat(files[0]))(t)
			assert.True(t, old.Equal(info.ModTime()), info.ModTime())
			assert.NoFileExists(t, files[3])
		})
	}
}

// The first that was known stays, and later ones are added.
func TestFirstIsKept(t *testing.T) {
	r := newRig(t)
	a, b := r.file("a"), r.file("b")
	require.NoError(t, os.WriteFile(a, []byte("good"), 0o600))
	r.arm(t, 60, a)
	require.NoError(t, os.WriteFile(a, []byte("bad"), 0o600))
	r.arm(t, 60, a, b)
	require.NoError(t, os.WriteFile(b, []byte("bad"), 0o600))
	r.restore(t)
	assert.Equal(t, "good", string(must.Get(os.ReadFile(a))(t)))
	assert.NoFileExists(t, b)
	j := must.Get(r.Read())(t)
	assert.Equal(t, map[string]int{"name": 1}, must.Get(Note[int](*j, "kind"))(t))
}

func TestConfirmedInTime(t *testing.T) {
	r := newRig(t)
	r.arm(t, 60)
	assert.FileExists(t, r.Units+"/wgmesh-undo.service")
	time.Sleep(2 * look / 10) // it has seen the journal
	require.NoError(t, r.Close())
	require.NoError(t, <-r.ended)
	assert.Zero(t, r.undone.Load())
	assert.NoDirExists(t, r.Folder)
	left := must.Get(filepath.Glob(r.Units + "/*/*"))(t)
	assert.Empty(t, left)
	left = must.Get(filepath.Glob(r.Run + "/undo-*"))(t)
	assert.Empty(t, left)
}

func TestTakenBackWhenDue(t *testing.T) {
	r := newRig(t)
	r.arm(t, 60)
	due := func() time.Duration {
		return must.Get(r.Read())(t).Due
	}
	first := due()
	require.NoError(t, r.Renew(t.Context(), 600))
	assert.Greater(t, due()-first, 500*time.Second, "the deadline was not moved")
	began := time.Now()
	require.NoError(t, r.Renew(t.Context(), 1)) // also to sooner
	require.NoError(t, <-r.ended)
	assert.GreaterOrEqual(t, time.Since(began), 900*time.Millisecond, "it was not due")
	assert.EqualValues(t, 1, r.undone.Load())
	assert.NoDirExists(t, r.Folder)
}

// What is overdue is neither added to nor renewed, also when it is another boot's, and
// somebody takes it back.
func TestOverdue(t *testing.T) {
	for name, change := range map[string]func(*Journal){
		"in time":      func(j *Journal) { j.Due = sinceBoot() - 1 },
		"of last boot": func(j *Journal) { j.Boot = "another" },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			j := Journal{ID: "abc", Notes: map[string]map[string]json.RawMessage{}}
			j.renew(60)
			change(&j)
			require.NoError(t, os.MkdirAll(r.Folder, 0o700))
			require.NoError(t, r.write(j))
			launch := r.Launch
			r.Launch = func(ctx context.Context, id string) error {
				assert.Equal(t, "abc", id)
				return launch(ctx, id)
			}
			require.ErrorIs(t, r.Arm(t.Context(), 60, Change{Files: []string{r.file("x")}}), ErrOverdue)
			require.NoError(t, <-r.ended)
			assert.EqualValues(t, 1, r.undone.Load())
			r.Launch = launch
			require.NoError(t, r.Arm(t.Context(), 60, Change{}))
		})
	}
}

// Whoever cannot arm does not change anything.
func TestCannotArm(t *testing.T) {
	r := newRig(t)
	r.Launch = func(context.Context, string) error { return errors.New("no such program") }
	err := r.Arm(t.Context(), 60, Change{})
	require.ErrorContains(t, err, "guard: nothing was changed, because it could not be taken back: no such program")
	assert.Nil(t, must.Get(r.Read())(t))
}

// Trying again until it works is for the process that waits.
func TestUndoIsTriedAgain(t *testing.T) {
	r := newRig(t)
	r.again = time.Millisecond
	tries := 0
	var said []string
	r.Launch = func(_ context.Context, id string) error {
		go func() {
			r.ended <- r.Wait(t.Context(), id, func(context.Context) error {
				if tries++; tries == 1 {
					return errors.New("BIRD hangs\nand more")
				}
				if tries == 2 { // the disk is at fault for a moment
					assert.Equal(t, "BIRD hangs; and more", string(must.Get(os.ReadFile(r.Waiter(id)))(t)))
					assert.NoError(t, os.Rename(r.journal(), r.file("journal")))
					assert.NoError(t, os.Mkdir(r.journal(), 0o700))
					return errors.New("it is read again")
				}
				return r.Close()
			}, func(line string) {
				if said = append(said, line); len(said) == 3 {
					assert.NoError(t, os.Remove(r.journal()))
					assert.NoError(t, os.Rename(r.file("journal"), r.journal()))
				}
			})
		}()
		return nil
	}
	r.arm(t, 0)
	require.NoError(t, <-r.ended)
	const again = "; trying again until it works"
	assert.Equal(t, []string{
		"BIRD hangs; and more" + again, "it is read again" + again, "read " + r.journal() + ": is a directory" + again,
	}, said)
	assert.Equal(t, 3, tries)
}

// Who arms looks again and again whether the waiting process is there. To look must
// not keep it from being there.
func TestLookersDoNotKeepItFromWaiting(t *testing.T) {
	r := newRig(t)
	require.NoError(t, os.MkdirAll(r.Run, 0o700))
	looker := must.Get(r.open("undo-abc"))(t)
	require.NoError(t, syscall.Flock(int(looker.Fd()), syscall.LOCK_SH))
	time.AfterFunc(50*time.Millisecond, func() { _ = looker.Close() })
	require.NoError(t, r.Launch(t.Context(), "abc"))
	require.Eventually(t, func() bool { return r.Watched("abc") }, 2*time.Minute, time.Millisecond)
	require.NoError(t, os.MkdirAll(r.Folder, 0o700))
	require.NoError(t, r.write(Journal{ID: "another"}))
	require.NoError(t, <-r.ended)
}
