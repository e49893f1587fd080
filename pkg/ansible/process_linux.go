package ansible

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"syscall"
	"time"
)

// lockPath is the one lock of a router. Modules that change the router hold it
// from observing to applying.
const lockPath = "/run/lock/wgmesh.lock"

// lockWait bounds the wait for another module on the same router. A guarded
// BIRD change takes two minutes; ten mean that something hangs.
const lockWait = 10 * time.Minute

// harden keeps the memory of the process, which may hold keys, out of core
// dumps, debuggers and crash reports.
func harden() error {
	debug.SetTraceback("none")
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_DUMPABLE, 0, 0); errno != 0 {
		return fmt.Errorf("forbid core dumps: %w", errno)
	}
	return nil
}

// lock takes the router's lock and returns what releases it. It waits while
// another process has it.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := openLock(path)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	// Asked again and again, since a flock that blocks cannot be cancelled.
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return func() { _ = f.Close() }, nil
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: another module is changing this router; try again when it is done: %w", path, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// openLock opens or makes the lock file. Its folder may be writable by all, so
// links are refused, and O_CREATE is only used to make a new file: with it the
// kernel would refuse root a file that another user made (protected_regular).
func openLock(path string) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
		if errors.Is(err, fs.ErrNotExist) {
			f, err = os.OpenFile(path, os.O_RDONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if errors.Is(err, fs.ErrExist) {
				continue
			}
		}
		if errors.Is(err, fs.ErrPermission) {
			return nil, fmt.Errorf("lock: %w; this module runs as root (become: true)", err)
		}
		return f, err
	}
}
