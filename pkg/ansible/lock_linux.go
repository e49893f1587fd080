package ansible

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/wgmesh/router/pkg/cause"
)

// lockPath is the one lock of a router. Modules that change the router hold it
// from observing to applying. Its folder is root's alone: in /run/lock, where
// everybody may write, anyone could take it first.
const lockPath = "/run/wgmesh/lock"

// A module waits shortWait for another one on the same router. A longer hold is
// one that hangs, and a play waits for its slowest router. When routers join all
// at once they queue at each other's lock, which takes longWait at the most.
const (
	shortWait = 5 * time.Second
	longWait  = 45 * time.Second
)

// lockWaitVariable is the variable of the environment by which `wgmesh join` has
// the modules of its own router wait longer, in seconds.
const lockWaitVariable = "WGMESH_LOCK_WAIT"

func lockWait() time.Duration {
	if n, err := strconv.Atoi(os.Getenv(lockWaitVariable)); err == nil && n >= 0 && n <= 3600 {
		return time.Duration(n) * time.Second
	}
	return shortWait
}

// Hold takes the router's lock for a program that is not a module, and waits for it as
// long as it is told.
func Hold(ctx context.Context, wait time.Duration) (release func(), err error) {
	return lock(ctx, lockPath, wait)
}

// Turn takes a lock beside the router's, by which a caller from outside has one call at a time.
// With any number of them it could keep everybody else from the router's own.
func Turn(ctx context.Context, of string) (release func(), err error) {
	return lock(ctx, filepath.Join(filepath.Dir(lockPath), of), shortWait)
}

// lock takes the router's lock and returns what releases it. It waits while
// another process has it, and names that one when the wait is over.
func lock(ctx context.Context, path string, wait time.Duration) (unlock func(), err error) {
	f, err := openLock(path)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	over := time.After(wait)
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
			return nil, fmt.Errorf("lock %s: told to end while another module was changing this router: %w",
				path, ctx.Err())
		case <-over:
			_ = f.Close()
			return nil, cause.New("lock %s: held by %s, and waited for %v: "+
				"run again when that has ended, or end it if it hangs", path, holder(path), wait)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// openLock opens or makes the lock file, and its folder. It refuses what only an accident or an
// attack can have put there, and waits for none of it: a FIFO would have open(2) wait forever.
func openLock(path string) (*os.File, error) {
	dir := filepath.Dir(path)
	err := os.Mkdir(dir, 0o700)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, needsRoot(err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return nil, needsRoot(err)
	}
	switch {
	case !info.IsDir():
		return nil, fmt.Errorf("%s is a %s, expected a folder of root's: look who made it, and remove it",
			dir, kind(info))
	case owner(info) != os.Geteuid() || info.Mode().Perm()&0o022 != 0:
		return nil, fmt.Errorf(
			"folder %s belongs to user %d with mode %04o, expected one of root's that nobody else can write to: "+
				"look who made it, and remove it", dir, owner(info), info.Mode().Perm())
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if err == nil {
		info, err = f.Stat()
	} else if i, e := os.Lstat(path); e == nil && !i.Mode().IsRegular() {
		info, err = i, nil
	}
	switch {
	case err != nil:
		err = needsRoot(err)
	case !info.Mode().IsRegular():
		err = fmt.Errorf("it is a %s, expected a file of root's: look who made it, and remove it", kind(info))
	case owner(info) != os.Geteuid():
		err = fmt.Errorf("the file belongs to user %d, expected root: look who made it, and remove it", owner(info))
	default:
		return f, nil
	}
	if f != nil {
		_ = f.Close()
	}
	return nil, err
}

func needsRoot(err error) error {
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
		return fmt.Errorf("%w; this module runs as root (become: true)", err)
	}
	return err
}

func owner(info fs.FileInfo) int {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(s.Uid)
	}
	return -1
}

// kind says what something is that should be a file or a folder.
func kind(info fs.FileInfo) string {
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return "file"
	case mode.IsDir():
		return "folder"
	case mode&fs.ModeSymlink != 0:
		return "link"
	case mode&fs.ModeNamedPipe != 0:
		return "FIFO"
	case mode&fs.ModeSocket != 0:
		return "socket"
	default:
		return "device"
	}
}

// holder names the processes that hold a lock on a file, as well as they can be
// found. It looks at open files and not at /proc/locks, where a lock has the
// process that took it, and that one may have left it to its children and ended.
func holder(path string) string {
	want, err := os.Stat(path)
	if err != nil {
		return "a process that cannot be found"
	}
	var names []string
	files, _ := filepath.Glob("/proc/[0-9]*/fd/*") // a pattern of ours is not malformed
	for _, file := range files {
		if have, err := os.Stat(file); err != nil || !os.SameFile(want, have) {
			continue
		}
		proc := filepath.Dir(filepath.Dir(file))
		if info, err := os.ReadFile(filepath.Join(proc, "fdinfo", filepath.Base(file))); err != nil ||
			!bytes.Contains(info, []byte("\nlock:")) {
			continue
		}
		name := fmt.Sprintf("pid %s (%s)", filepath.Base(proc), commandLine(proc))
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "a process that cannot be found"
	}
	return strings.Join(names, ", ")
}

// commandLine is the beginning of what a process was started with. Arguments of
// others may be secret, so it is no more than the program and its first word.
func commandLine(proc string) string {
	raw, _ := os.ReadFile(filepath.Join(proc, "cmdline")) // gone is as good as empty
	words := strings.Split(string(raw), "\x00")
	if words[0] == "" {
		return "which has no name"
	}
	line := filepath.Base(words[0])
	if filepath.Base(words[0]) == "wgmesh" && len(words) > 1 {
		line += " " + words[1]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, line)
}
