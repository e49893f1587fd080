// Package keyfile reads files that hold one secret, and mends their mode and
// owner. It knows nothing about what is in them; pkg/atomicfile writes them.
//
// Nothing here follows a symbolic link in the last part of a path, and content
// is read through the same descriptor that was examined.
package keyfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Mode is what a key file has to have: readable by its owner alone.
const Mode fs.FileMode = 0o600

// DirMode is what a folder of keys is made with.
const DirMode fs.FileMode = 0o700

// maxSize is far above any key file; a bigger file is something else.
const maxSize = 64 << 10

// Info is what was seen of a key file. It holds no secret.
type Info struct {
	Path   string
	Exists bool
	Mode   fs.FileMode // permission bits, with setuid and the like
	UID    int
}

// Read examines a key file and returns its content, which the caller wipes. A file that is absent
// is not an error. A symbolic link, or anything else that is not a regular file, is.
func Read(path string) (Info, []byte, error) {
	f, info, err := open(path)
	if err != nil || f == nil {
		return info, nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return info, nil, err
	}
	if st.Size() > maxSize {
		return info, nil, fmt.Errorf("%s has %d bytes and is not a key file: move it away", path, st.Size())
	}
	data := make([]byte, st.Size())
	n, err := io.ReadFull(f, data)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		clear(data)
		return info, nil, fmt.Errorf("read %s: %w", path, err)
	}
	return info, data[:n], nil
}

func open(path string) (*os.File, Info, error) {
	info := Info{Path: path}
	// O_NONBLOCK: a fifo under this name must not hang the module.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, info, nil
	case errors.Is(err, syscall.ELOOP):
		return nil, info, fmt.Errorf("%s is a symbolic link, expected a regular file: "+
			"remove the link; keys are never read or written through one", path)
	case err != nil:
		return nil, info, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file (%s): move it away", path, st.Mode())
	}
	if err != nil {
		f.Close()
		return nil, info, err
	}
	info.Exists = true
	info.Mode = st.Mode() &^ fs.ModeType
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		info.UID = int(sys.Uid)
	}
	return f, info, nil
}

// Faults says in words what is wrong with the file's mode and owner. The owner
// has to be the user that runs this program: root, on a router.
func (i Info) Faults() []string {
	var out []string
	if !i.Exists {
		return nil
	}
	if i.Mode != Mode {
		out = append(out, fmt.Sprintf("mode %#o, expected %#o", uint32(i.Mode.Perm()), uint32(Mode)))
	}
	if uid := os.Geteuid(); i.UID != uid {
		out = append(out, fmt.Sprintf("owner %d, expected %d", i.UID, uid))
	}
	return out
}

// Exposed reports that somebody other than the owner could read or change it.
func (i Info) Exposed() bool { return i.Exists && (i.Mode.Perm()&0o077 != 0 || i.UID != os.Geteuid()) }

// Mend gives the file the right owner and mode, in this order: the old owner
// could otherwise open the mode again.
func Mend(path string) error {
	f, info, err := open(path)
	if err != nil {
		return err
	}
	if f == nil {
		return fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	}
	defer f.Close()
	if uid := os.Geteuid(); info.UID != uid {
		if err := f.Chown(uid, os.Getegid()); err != nil {
			return err
		}
	}
	return f.Chmod(Mode)
}

// CheckDir refuses a folder in which another user could put a key of their own making: one that
// belongs to somebody else, or that group or others may write to. An absent folder is fine.
func CheckDir(path string) (exists bool, err error) {
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !st.IsDir():
		return false, fmt.Errorf("%s is not a folder: move it away", path)
	}
	if owner := st.Sys().(*syscall.Stat_t).Uid; owner != 0 && int(owner) != os.Geteuid() {
		return true, fmt.Errorf("folder %s belongs to user %d, who can replace keys in it: run chown root %s", path,
			owner, path)
	}
	if st.Mode().Perm()&0o022 != 0 {
		return true, fmt.Errorf("folder %s has mode %#o and other users can replace keys in it: run chmod 0700 %s",
			path, uint32(st.Mode().Perm()), path)
	}
	return true, nil
}

// MakeDir makes a folder and its missing parents with DirMode and reports
// whether it made one. A folder that exists keeps its mode.
func MakeDir(path string) (made bool, err error) {
	if exists, err := CheckDir(path); err != nil || exists {
		return false, err
	}
	if err := os.MkdirAll(path, DirMode); err != nil {
		return false, err
	}
	parent, err := os.Open(filepath.Dir(path))
	if err != nil {
		return true, err
	}
	defer parent.Close()
	return true, parent.Sync()
}
