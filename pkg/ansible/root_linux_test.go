package ansible_test

import (
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/pkg/ansible"
)

func TestByRoot(t *testing.T) {
	require.Zero(t, os.Geteuid(), "this test needs root, to be somebody else")
	require.NoError(t, ansible.ByRoot())
	// The thread alone, and for this moment (setresuid(2)): Go would do it to all of the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const keep, nobody = ^uintptr(0), 65534
	_, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, keep, nobody, keep)
	err := ansible.ByRoot()
	_, _, back := unix.RawSyscall(unix.SYS_SETRESUID, keep, 0, keep)
	require.Zero(t, errno)
	require.Zero(t, back)
	require.EqualError(t, err, "this runs as user 65534, and a router is set up by root: set ansible_become to true")
}
