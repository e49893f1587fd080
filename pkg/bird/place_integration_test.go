//go:build integration

package bird_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
	"github.com/wgmesh/router/pkg/bird"
	"github.com/wgmesh/router/pkg/birdc"
)

// EL keeps bird.conf in /etc itself, whose group is not BIRD's: what BIRD is to
// read there has the group of the file that was there.
func TestGroupOfTheFileStays(t *testing.T) {
	const group = 4242
	g := newGuarded(t)
	require.NoError(t, os.Chown(g.conf(), -1, group))
	g.try(t, number(t, 2), 60)
	have := must.Get(g.host.Observe(t.Context()))(t)
	require.Len(t, have.Candidates, 1)
	assert.EqualValues(t, group, groupOf(t, have.Candidates[0]), "while it is tried")
	require.NoError(t, g.state(t, bird.Confirmed))
	assert.EqualValues(t, group, groupOf(t, g.conf()), "when it is confirmed")
}

// BIRD reads its files when it is not root any more. A bird.conf that came by mv, scp or
// cloud-init is of root, with any mode.
func TestFilesAreOfBirdsGroup(t *testing.T) {
	group := 4242
	g := &guarded{namespace: newNamespace(t, "group")}
	require.NoError(t, os.Chmod(filepath.Dir(g.dir), 0o755))
	require.NoError(t, os.Chmod(g.dir, 0o777)) // BIRD makes its socket there
	g.host = bird.Host{
		Path: g.conf(), Socket: g.socket(), Run: filepath.Join(g.dir, "run"),
		Service: "bird", Units: g.dir, Systemd: true,
		Command: func(context.Context, string, ...string) (string, error) { return "", nil },
	}
	fresh := func(n int, mode os.FileMode) {
		t.Helper()
		_ = os.Remove(g.conf())
		require.NoError(t, os.WriteFile(g.conf(), number(t, n), 0o600))
		require.NoError(t, os.Chmod(g.conf(), mode))
	}
	right := func(when string) {
		t.Helper()
		for _, path := range []string{g.conf(), g.conf() + ".good"} {
			info := must.Get(os.Stat(path))(t)
			assert.EqualValues(t, group, groupOf(t, path), "%s: %s", when, path)
			assert.Equal(t, os.FileMode(0o640), info.Mode(), "%s: %s", when, path)
		}
	}
	mends := func(when string, n int) {
		t.Helper()
		want := bird.Want{State: bird.Applied, Text: number(t, n), Unit: g.host.Unit()}
		have := must.Get(g.host.Observe(t.Context()))(t)
		d := must.Get(bird.Diff(want, have))(t)
		if bytes.HasPrefix(have.Text, want.Text) {
			assert.Equal(t, want.Text, have.Present(), "%s: what drain would write again", when)
		}
		before, after := bird.Views(have, d)
		assert.NotEqual(t, before, after, "%s: --check shows nothing", when)
		g.does(t, want)
		right(when)
		assert.Empty(t, g.does(t, want), when)
	}

	fresh(1, 0o644)
	g.cmd = g.Command("bird", "-f", "-c", g.conf(), "-s", g.socket(), "-u", "4242", "-g", "4242")
	nettest.WaitForBird(t, g.cmd, g.socket(), filepath.Join(g.dir, "bird.out"))
	g.does(t, bird.Want{State: bird.Applied, Text: number(t, 2), Timeout: 60, Unit: g.host.Unit()})
	require.NoError(t, g.state(t, bird.Confirmed))
	g.want(t, 2, 2)
	mends("first", 3)
	fresh(1, 0o640)
	mends("another file, never loaded", 3)
	fresh(3, 0o600)
	mends("the same text, closed", 3)
	require.NoError(t, os.Chown(g.conf()+".good", 0, 0))
	mends("the copy", 3)
	for _, folder := range []struct {
		group           int
		closed, through os.FileMode
	}{{0, 0o700, 0o750}, {group, 0o700, 0o750}, {4243, 0o750, 0o751}} {
		require.NoError(t, os.Chown(g.dir, -1, folder.group))
		require.NoError(t, os.Chmod(g.dir, folder.closed))
		wrong, shut, _ := g.host.AtBoot(t.Context())
		assert.Empty(t, wrong)
		assert.Equal(t, g.dir, shut)
		mends("the folder", 3)
		assert.Equal(t, folder.through, must.Get(os.Stat(g.dir))(t).Mode().Perm())
		_, shut, ours := g.host.AtBoot(t.Context())
		assert.Empty(t, shut)
		assert.True(t, ours)
	}

	g.signal(t, syscall.SIGKILL)
	_ = g.cmd.Wait()
	require.NoError(t, os.Remove(g.socket()))
	require.NoError(t, os.Chown(g.dir, -1, group))
	if named, err := user.LookupGroup("bird"); err == nil {
		group, _ = strconv.Atoi(named.Gid)
	}
	fresh(1, 0o644)
	mends("BIRD does not run", 3)
	fresh(3, 0o600)
	mends("nor with the same text", 3)
}

func groupOf(t *testing.T, path string) uint32 {
	t.Helper()
	return must.Get(os.Stat(path))(t).Sys().(*syscall.Stat_t).Gid
}

// BIRD owns /etc/bird. What root writes there goes through no link that BIRD put
// there, not even one that is swapped in the moment after a file was made.
func TestNoLinkIsFollowed(t *testing.T) {
	g := newGuarded(t)
	require.NoError(t, os.Chown(g.conf(), -1, 4242))
	victim := filepath.Join(t.TempDir(), "shadow")
	require.NoError(t, os.WriteFile(victim, []byte("root:secret\n"), 0o600))
	pristine := func(when string) {
		t.Helper()
		assert.Equal(t, "root:secret\n", string(must.Get(os.ReadFile(victim))(t)), when)
		assert.Zero(t, groupOf(t, victim), "%s: the group of another file was changed", when)
	}

	stop, swapped := make(chan struct{}), 0
	var swapper sync.WaitGroup
	swapper.Go(func() {
		for link := filepath.Join(g.dir, "link"); ; {
			select {
			case <-stop:
				return
			default:
			}
			_ = os.Symlink(victim, link)
			names, _ := filepath.Glob(g.conf() + ".cand-*")
			for _, name := range names {
				if os.Rename(link, name) == nil {
					swapped++
				}
			}
		}
	})
	for n := range 40 {
		have, err := g.host.Observe(t.Context())
		if err == nil { // or a link is still there, which is said
			want := bird.Want{State: bird.Applied, Text: number(t, 2+n), Timeout: 60}
			var delta bird.Delta
			if delta, err = bird.Diff(want, have); err == nil {
				_, _ = g.host.Apply(t.Context(), delta)
			}
		}
		names, _ := filepath.Glob(g.conf() + ".cand-*")
		for _, name := range names {
			_ = os.Remove(name)
		}
		_, _ = birdc.Do(t.Context(), g.socket(), "configure undo")
	}
	close(stop)
	swapper.Wait()
	require.Positive(t, swapped)
	pristine("candidates")

	// The same for the start of the service.
	good := number(t, 1)
	for _, name := range []string{"good", "good.new", "damaged"} {
		path := filepath.Join(t.TempDir(), "bird.conf")
		require.NoError(t, os.WriteFile(path, good[:40], 0o640))
		require.NoError(t, os.WriteFile(path+".good", good, 0o640))
		_ = os.Remove(path + "." + name)
		require.NoError(t, os.Symlink(victim, path+"."+name))
		out := must.Run(t, exec.CommandContext(t.Context(), "sh", "boot.sh", path))
		pristine(name)
		text := must.Get(os.ReadFile(path))(t)
		assert.Equal(t, name != "good", string(text) == string(good), "%s: %s", name, out)
	}
}

// The rename of the candidate is the last step, after BIRD has confirmed it. Where it cannot
// be, nothing begins.
func TestMountedConfigurationIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bird.conf")
	must.Write(t, path, "", 0o600)
	nettest.Mount(t, path, "", "")
	_, err := bird.Host{Path: path, Socket: filepath.Join(t.TempDir(), "ctl")}.Observe(t.Context())
	assert.EqualError(t, err,
		path+" is a mount point, which cannot be replaced; use a mount of its folder instead")
}

// boot runs boot.sh on a bird.conf with a copy, and returns what it said. It
// must never keep BIRD from starting.
func boot(t *testing.T, conf, good []byte) (path, said string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "bird.conf")
	if conf != nil {
		require.NoError(t, os.WriteFile(path, conf, 0o640))
	}
	if good != nil {
		require.NoError(t, os.WriteFile(path+".good", good, 0o640))
	}
	out := must.Run(t, exec.CommandContext(t.Context(), "sh", "boot.sh", path))
	return path, out
}

// Wherever a power cut broke our text off, the last good one is put back and
// the broken one is kept.
func TestBootPutsBack(t *testing.T) {
	good := number(t, 1)
	cuts := map[string][]byte{
		"missing": nil, "zeros": make([]byte, len(good)), "last line lost": good[:len(good)-len("# end\n")],
	}
	for _, percent := range []int{0, 1, 10, 50, 90, 99} {
		cuts[fmt.Sprintf("%d percent", percent)] = good[:len(good)*percent/100]
	}
	for name, cut := range cuts {
		t.Run(name, func(t *testing.T) {
			path, said := boot(t, cut, good)
			assert.True(t, bytes.Equal(good, must.Get(os.ReadFile(path))(t)), "not put back: %s", said)
			assert.Equal(t, 1, strings.Count(said, "\n"), said)
			assert.Contains(t, said, path+" cannot be used (")
			if cut != nil {
				kept := must.Get(os.ReadFile(path + ".damaged"))(t)
				assert.True(t, bytes.Equal(cut, kept), "the damaged file was changed")
				assert.Contains(t, said, path+".damaged")
			}
		})
	}
}

func TestBootLeavesAlone(t *testing.T) {
	good := number(t, 1)
	ours := append([]byte("# by hand\n"), good...)
	own := []byte("router id 9.9.9.9;\nprotocol device {}\n")
	for name, tt := range map[string]struct {
		conf, good []byte
		says       string
	}{
		"whole":                {good, number(t, 2), ""},
		"edited by hand":       {ours, good, ""},
		"written by hand":      {own, good, ""},
		"never ours":           {[]byte("nonsense {\n"), nil, ""},
		"the copy is damaged":  {good, good[:40], ""},
		"both are damaged":     {good[:40], good[:50], "neither can"},
		"the copy breaks off":  {good[:40], good[:len(good)-6], "neither can"},
		"refused, by hand too": {[]byte("nonsense {\n"), []byte("nonsense"), "run the mesh play"},
	} {
		t.Run(name, func(t *testing.T) {
			path, said := boot(t, tt.conf, tt.good)
			assert.Equal(t, string(tt.conf), string(must.Get(os.ReadFile(path))(t)))
			assert.NoFileExists(t, path+".damaged")
			assert.Equal(t, tt.says == "", said == "", said)
			assert.Contains(t, said, tt.says)
		})
	}
}
