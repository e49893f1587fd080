//go:build integration

package bird_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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
	have, err := g.host.Observe(t.Context())
	require.NoError(t, err)
	require.Len(t, have.Candidates, 1)
	assert.EqualValues(t, group, groupOf(t, have.Candidates[0]), "while it is tried")
	require.NoError(t, g.state(t, bird.Confirmed))
	assert.EqualValues(t, group, groupOf(t, g.conf()), "when it is confirmed")
}

func groupOf(t *testing.T, path string) uint32 {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Sys().(*syscall.Stat_t).Gid
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
		text, err := os.ReadFile(victim)
		require.NoError(t, err)
		assert.Equal(t, "root:secret\n", string(text), when)
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
			var delta bird.Delta
			if delta, err = bird.Diff(bird.Want{State: bird.Applied, Text: number(t, 2+n), Timeout: 60}, have); err == nil {
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
		out, err := exec.CommandContext(t.Context(), "sh", "boot.sh", path).CombinedOutput()
		require.NoError(t, err, "%s", out)
		pristine(name)
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, name != "good", string(text) == string(good), "%s: %s", name, out)
	}
}
