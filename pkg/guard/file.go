package guard

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/wgmesh/router/pkg/atomicfile"
)

// A File is what was at a path: nothing, a regular file, or a symbolic link.
type File struct {
	Path string      `json:"path"`
	Copy string      `json:"copy,omitempty"` // name of its content in the folder of the journal
	Link string      `json:"link,omitempty"`
	Mode fs.FileMode `json:"mode,omitempty"`
	UID  int         `json:"uid,omitempty"`
	GID  int         `json:"gid,omitempty"`
	Time time.Time   `json:"time,omitzero"` // of its last change
}

// Absent reports whether there was nothing.
func (f File) Absent() bool { return f.Copy == "" && f.Link == "" }

func (g Guard) keep(path string) (File, error) {
	f := File{Path: path}
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return f, nil
	}
	if err != nil {
		return f, err
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		f.Link, err = os.Readlink(path)
		return f, err
	case !info.Mode().IsRegular():
		return f, fmt.Errorf("%s: expected a regular file, found %s", path, info.Mode().Type())
	}
	text, err := read(path)
	defer clear(text) // it may be a key
	if err != nil {
		return f, err
	}
	owner := info.Sys().(*syscall.Stat_t)
	f.Mode, f.UID, f.GID, f.Time = info.Mode().Perm(), int(owner.Uid), int(owner.Gid), info.ModTime()
	f.Copy = strings.ToLower(rand.Text()[:16])
	return f, atomicfile.Create(filepath.Join(g.Folder, f.Copy), text, 0o600)
}

// Text is the content that a file had, nil when there was none.
func (g Guard) Text(f File) ([]byte, error) {
	if f.Copy == "" {
		return nil, nil
	}
	return read(filepath.Join(g.Folder, f.Copy))
}

// Restore puts a file back as it was and reports whether it had to.
func (g Guard) Restore(f File) (changed bool, err error) {
	switch {
	case f.Absent():
		if _, err := os.Lstat(f.Path); errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return true, atomicfile.Remove(f.Path)
	case f.Link != "":
		return g.restoreLink(f)
	}
	want, err := g.Text(f)
	defer clear(want)
	if err != nil {
		return false, err
	}
	if info := same(f, want); info != nil {
		if info.ModTime().Equal(f.Time) {
			return false, nil
		}
		return false, os.Chtimes(f.Path, time.Time{}, f.Time) // what wrote it again gave it its own
	}
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o700); err != nil {
		return false, err
	}
	// A link or a wrong owner is replaced: Write would refuse the one and keep the other.
	if info, err := os.Lstat(f.Path); err == nil && !info.Mode().IsRegular() {
		if err := atomicfile.Remove(f.Path); err != nil {
			return false, err
		}
	}
	if err := atomicfile.Write(f.Path, want, f.Mode); err != nil {
		return false, err
	}
	return true, errors.Join(os.Lchown(f.Path, f.UID, f.GID), chmod(f.Path, f.Mode),
		os.Chtimes(f.Path, time.Time{}, f.Time))
}

// chmod is for after the change of owner, which takes bits away.
func chmod(path string, mode fs.FileMode) error {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	return errors.Join(file.Chmod(mode), file.Close())
}

func (g Guard) restoreLink(f File) (bool, error) {
	if to, err := os.Readlink(f.Path); err == nil && to == f.Link {
		return false, nil
	}
	return true, atomicfile.Link(f.Link, f.Path)
}

// same is the file where it is there as it was, but for its time.
func same(f File, want []byte) fs.FileInfo {
	info, err := os.Lstat(f.Path)
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm() != f.Mode {
		return nil
	}
	owner := info.Sys().(*syscall.Stat_t)
	if int(owner.Uid) != f.UID || int(owner.Gid) != f.GID {
		return nil
	}
	have, err := read(f.Path)
	defer clear(have)
	if err != nil || !bytes.Equal(have, want) {
		return nil
	}
	return info
}

// read never follows a link, and never waits for a writer of a pipe.
func read(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(f)
	return text, errors.Join(err, f.Close())
}
