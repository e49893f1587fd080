//go:build integration

package guarded

import (
	"context"
	"errors"
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/internal/must"
)

// systemd says of a full /run that it does not find the unit that it was to write there.
func TestFullRun(t *testing.T) {
	r := newRouter(t)
	r.Launch = func(context.Context, string) error { return errors.New("systemd-run: Unit x.service not found") }
	require.NoError(t, os.MkdirAll(r.Run, 0o700))
	runtime.LockOSThread() // never unlocked: the thread ends with the test, and what it mounts with it
	require.NoError(t, unix.Unshare(unix.CLONE_NEWNS))
	require.NoError(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	require.NoError(t, unix.Mount("tmpfs", r.Run, "tmpfs", 0, "size=512k"))
	t.Cleanup(func() { _ = unix.Unmount(r.Run, unix.MNT_DETACH) }) // before the folder is removed
	_, err := must.Get(r.plan(t, 60, "after"))(t).Apply(t.Context())
	require.EqualError(t, err, "guard: nothing was changed, because it could not be taken back: "+
		r.Run+": no space left on device: make room and make it writable")
}
