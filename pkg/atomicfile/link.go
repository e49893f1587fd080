package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
)

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
