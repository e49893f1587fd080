// Package unread remembers that files were written and that who reads them was not yet
// told. They are as they should be then, so that a run after one that was cut off in
// between would find nothing to do.
package unread

import (
	"errors"
	"os"
	"path/filepath"
)

// A Note is the path of a file that is there for as long as the reader is to be told. It
// is below /run: a boot empties that, and everybody reads anew.
type Note string

// At is the note in folder for a reader, a unit of systemd's say.
func At(folder, reader string) Note { return Note(filepath.Join(folder, "unread-"+reader)) }

// Due reports whether the reader is still to be told.
func (n Note) Due() bool {
	_, err := os.Lstat(string(n))
	return err == nil
}

// Around writes, and then tells the reader. Where either fails, or is cut off, the note stays.
func (n Note) Around(write, tell func() error) error {
	if err := os.MkdirAll(filepath.Dir(string(n)), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(string(n), os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err == nil {
		err = write()
	}
	if err == nil {
		err = tell()
	}
	if err != nil {
		return err
	}
	if err := os.Remove(string(n)); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
