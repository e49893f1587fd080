//go:build integration

package guard

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/internal/must"
)

const immutableFlag = 0x10 // FS_IMMUTABLE_FL of linux/fs.h

// immutable has a file as chattr(1) makes it, or no more.
func immutable(t *testing.T, path string, is bool) {
	t.Helper()
	f := must.Get(os.Open(path))(t)
	defer func() { _ = f.Close() }()
	flags := must.Get(unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS))(t) &^ immutableFlag
	if is {
		flags |= immutableFlag
	}
	require.NoError(t, unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags))
}

// Who freezes a router with chattr is told so before anything is changed. A change of a file that
// was not touched is taken back, too.
func TestImmutableFile(t *testing.T) {
	r := newRig(t)
	path := r.file("bird.conf")
	must.Write(t, path, "old", 0o600)
	immutable(t, path, true)
	defer immutable(t, path, false)
	err := r.Arm(t.Context(), 60, Change{Files: []string{path}})
	require.ErrorContains(t, err, path+" is immutable")
	assert.Nil(t, must.Get(r.Read())(t))

	immutable(t, path, false)
	r.arm(t, 60, path)
	immutable(t, path, true)
	r.restore(t)
	require.NoError(t, r.Close())
	require.NoError(t, <-r.ended)
}
