// Package atomicfile replaces, creates and removes files so that a reader, or the machine after a
// power cut, finds either the old file or the new one and never a part of it, and never finds
// content under a wider mode or another owner than it was meant to have.
//
// It never follows a symbolic link in the last element of a path. It does not make folders and
// keeps no backups. What a writer leaves that is killed, the next writer of the same file removes.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Write puts data into the file path with mode perm, whatever the umask says.
// An existing file is replaced and keeps its owner and group. Anything at path
// that is not a regular file, a symbolic link too, is refused, and a mount point.
func Write(path string, data []byte, perm fs.FileMode) error { return WriteGroup(path, data, perm, -1) }

// WriteGroup is Write for a file of group gid, -1 for the one that Write gives. The group
// is that of the open file before it has a name that others know: whoever may write in the
// folder cannot put a link there instead.
func WriteGroup(path string, data []byte, perm fs.FileMode, gid int) error {
	have, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case !have.Mode().IsRegular():
		return fmt.Errorf("write %s: expected a regular file, found %s; name the file itself or remove what is there",
			path, kind(have.Mode()))
	}
	if err := Replaceable(path); err != nil {
		return err
	}
	uid := -1
	if have != nil {
		if st, ok := have.Sys().(*syscall.Stat_t); ok {
			uid = int(st.Uid)
			if gid < 0 {
				gid = int(st.Gid)
			}
		}
	}
	return place(path, data, perm, uid, gid, os.Rename)
}

// Create is Write for a file that must not be there yet. When anything is at
// path, a dangling link too, the error is os.ErrExist and nothing is touched.
// Of several processes that create the same path exactly one succeeds.
func Create(path string, data []byte, perm fs.FileMode) error {
	return place(path, data, perm, -1, -1, os.Link)
}

// Remove unlinks the file path and makes that last. A path that is not there is not an error. A
// symbolic link is removed, not what it points to; a folder is refused.
func Remove(path string) error {
	err := syscall.Unlink(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return &fs.PathError{Op: "remove", Path: path, Err: err}
	}
	return SyncDir(filepath.Dir(path))
}

// place writes a temporary file beside path and lets move bring it there:
// rename replaces, link refuses to.
func place(path string, data []byte, perm fs.FileMode, uid, gid int, move func(from, to string) error) (err error) {
	defer func() { err = about(path, err) }()
	dir := filepath.Dir(path)
	sweep(path)
	f, err := temporary(path)
	if err != nil {
		return err
	}
	// After a rename the name is gone, and this ends the lock alone.
	defer func() { _, _ = os.Remove(f.Name()), f.Close() }()

	if err := fill(f, data, perm, uid, gid); err != nil {
		return err
	}
	if err := move(f.Name(), path); err != nil {
		return err
	}
	return SyncDir(dir)
}

// mark ends the name of a temporary file. Without it one could be somebody's, who keeps
// copies with a date.
const mark = ".wgmesh"

// Leftovers returns the temporary files that killed writers left beside path, sorted:
// ".<base>.<digits>.wgmesh". They may hold a secret, or be a second name of the file itself.
func Leftovers(path string) ([]string, error) {
	dir, base := filepath.Split(path)
	entries, err := os.ReadDir(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var out []string
	for _, e := range entries {
		number, ours := strings.CutPrefix(e.Name(), "."+base+".")
		number, marked := strings.CutSuffix(number, mark)
		if _, odd := strconv.ParseUint(number, 10, 32); ours && marked && odd == nil && e.Type().IsRegular() {
			out = append(out, dir+e.Name())
		}
	}
	return out, err
}

// temporary is a new file beside path. Its lock says that its writer lives.
func temporary(path string) (*os.File, error) {
	for {
		f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*"+mark)
		if err != nil {
			return nil, err
		}
		_ = syscall.Flock(int(f.Fd()), syscall.LOCK_EX) // where there are no locks, sweep gets none either
		if _, err := os.Lstat(f.Name()); !errors.Is(err, fs.ErrNotExist) {
			return f, nil
		}
		_ = f.Close() // another writer swept it before it had its lock
	}
}

// sweep removes what writers of path left that were killed.
func sweep(path string) {
	left, _ := Leftovers(path)
	for _, name := range left {
		f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.Remove(name)
		}
		_ = f.Close()
	}
}

// about names the file in an error, and not the temporary one, which is gone: a full
// disk is about the file that somebody knows.
func about(path string, err error) error {
	if p := new(fs.PathError); errors.As(err, &p) {
		return &fs.PathError{Op: p.Op, Path: path, Err: p.Err}
	}
	return err
}

// fill gives the file its owner and mode before its content, so that a secret
// is never readable by anyone else. CreateTemp made it 0600. The owner comes
// first because a change of owner clears bits of the mode.
func fill(f *os.File, data []byte, perm fs.FileMode, uid, gid int) error {
	if uid >= 0 || gid >= 0 {
		if err := f.Chown(uid, gid); err != nil {
			return err
		}
	}
	if err := f.Chmod(perm); err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}

// SyncDir makes a rename, link or unlink in dir survive a power cut.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func kind(m fs.FileMode) string {
	switch {
	case m&fs.ModeSymlink != 0:
		return "a symbolic link"
	case m.IsDir():
		return "a folder"
	default:
		return "a special file"
	}
}

// Link makes path a symbolic link to target, and its folder where there is none, and makes that
// last. A link or file that is there is replaced.
func Link(target, path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := temporary(path) // for a name that nobody else has
	if err != nil {
		return err
	}
	defer func() { _, _ = os.Remove(f.Name()), f.Close() }()
	if err := os.Remove(f.Name()); err != nil {
		return err
	}
	if err := os.Symlink(target, f.Name()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return errors.Join(SyncDir(dir), SyncDir(filepath.Dir(dir)))
}

// Replaceable refuses a path at which something is mounted, as a container's volume of one
// file is, and a file that somebody has made immutable: rename(2) does not replace these. Who
// changes something before it writes asks this before.
func Replaceable(path string) error {
	if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() &&
		errors.Is(syscall.Access(path, 2), syscall.EPERM) { // W_OK
		return fmt.Errorf("%s is immutable: chattr -i %[1]s, or leave the router out of the run", path)
	}
	folder, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err == nil {
		folder, err = filepath.Abs(folder)
	}
	if err == nil && slices.Contains(Mounts(), filepath.Join(folder, filepath.Base(path))) {
		return fmt.Errorf("%s is a mount point, which cannot be replaced; use a mount of its folder instead", path)
	}
	return nil // what is wrong otherwise, the write says
}

// mountEscapes are those of proc_pid_mountinfo(5).
var mountEscapes = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// Mounts returns where something is mounted, as this process sees it.
func Mounts() (points []string) {
	text, _ := os.ReadFile("/proc/thread-self/mountinfo")
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 4 {
			points = append(points, mountEscapes.Replace(f[4]))
		}
	}
	return points
}
