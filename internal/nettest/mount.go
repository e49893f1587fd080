package nettest

import (
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Mount mounts something at a path, for the test's thread alone: "tmpfs" with a size in bytes, or the path itself ("").
func Mount(t testing.TB, path, kind, size string) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread ends with the test, and what it mounts with it
	require.NoError(t, unix.Unshare(unix.CLONE_NEWNS))
	require.NoError(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	if kind == "" {
		require.NoError(t, unix.Mount(path, path, "", unix.MS_BIND, ""))
	} else {
		require.NoError(t, unix.Mount(kind, path, kind, 0, "size="+size))
	}
	t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) }) // before the folder is removed
}

// Fill leaves no room in the file system of a folder.
func Fill(t testing.TB, folder string) {
	t.Helper()
	f, err := os.CreateTemp(folder, "full")
	for err == nil {
		_, err = f.Write(make([]byte, os.Getpagesize()))
	}
	require.ErrorIs(t, err, unix.ENOSPC)
	require.NoError(t, f.Close())
}
