//go:build integration

package meshguard

import (
	"bytes"
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/internal/must"
)

// A /run that is full when a change is settled keeps nobody from knowing what became of it.
func TestSettledWithoutRoom(t *testing.T) {
	for state, says := range map[string]string{undone: "taken back at", confirmed: ""} {
		t.Run(state, func(t *testing.T) {
			g, write := newGuard(t)
			require.NoError(t, os.MkdirAll(g.Run, 0o700))
			runtime.LockOSThread() // never unlocked: the thread ends with the test, and what it mounts with it
			require.NoError(t, unix.Unshare(unix.CLONE_NEWNS))
			require.NoError(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
			require.NoError(t, unix.Mount("tmpfs", g.Run, "tmpfs", 0, "size=64k"))
			t.Cleanup(func() { _ = unix.Unmount(g.Run, unix.MNT_DETACH) }) // before the folder is removed
			one := write()
			full := must.Get(os.Create(g.Run + "/full"))(t)
			for page := bytes.Repeat([]byte{1}, 4096); ; {
				if _, err := full.Write(page); err != nil {
					require.ErrorIs(t, err, unix.ENOSPC)
					break
				}
			}
			require.NoError(t, full.Close())
			require.NoError(t, settle(t, g, state, one))
			assert.Nil(t, must.Get(g.Read())(t))
			for _, change := range []string{one, ""} {
				if err := settle(t, g, confirmed, change); says == "" {
					assert.NoError(t, err)
				} else {
					assert.ErrorContains(t, err, says)
				}
			}
		})
	}
}
