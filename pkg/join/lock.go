package join

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

var errBusy = errors.New("another join is at work")

// lock keeps two joins apart. It is in the state directory, which is root's alone: in /run/lock
// anyone could take it first. Programs that are started meanwhile do not inherit it.
func lock(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "join.lock"), os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, unwritten(err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return func() { _ = f.Close() }, nil
	}
	_ = f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, errBusy
	}
	return nil, wrong("%s: %v", f.Name(), err)
}
