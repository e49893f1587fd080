package gate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/wgmesh/router/pkg/atomicfile"
)

// fileMode lets everybody read: sshd reads AuthorizedKeysFile as the user that
// logs in, and nothing in the files is secret.
const (
	fileMode fs.FileMode = 0o644
	dirMode  fs.FileMode = 0o755
)

// A File is one of the files of the door, with its text.
type File struct {
	Path string
	Text string
	Mode fs.FileMode // of what is there; 0: nothing is
}

// files returns the files as they should be. The state comes first: who is let
// in must find it.
func (w Want) files() ([]File, error) {
	state, err := w.state()
	if err != nil {
		return nil, err
	}
	return []File{
		{filepath.Join(w.Directory, StateFile), state, fileMode},
		{filepath.Join(w.Directory, KnownHosts), w.knownHosts(), fileMode},
		{filepath.Join(w.Directory, AuthorizedKeys), w.authorizedKeys(), fileMode},
	}, nil
}

// Observe reads the files that there are.
func Observe(w Want) ([]File, error) {
	want, err := w.files()
	if err != nil {
		return nil, err
	}
	var have []File
	for _, f := range want {
		text, err := os.ReadFile(f.Path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		info, err := os.Lstat(f.Path)
		if err != nil {
			return nil, err
		}
		have = append(have, File{f.Path, string(text), info.Mode().Perm()})
	}
	return have, nil
}

// Diff returns the files that have to be written.
func Diff(w Want, have []File) ([]File, error) {
	want, err := w.files()
	if err != nil {
		return nil, err
	}
	there := map[string]File{}
	for _, f := range have {
		there[f.Path] = f
	}
	var delta []File
	for _, f := range want {
		if there[f.Path] != f {
			delta = append(delta, f)
		}
	}
	return delta, nil
}

// Apply writes the files of a delta and returns what it did, in words.
func Apply(delta []File) (done []string, err error) {
	for _, f := range delta {
		if err := os.MkdirAll(filepath.Dir(f.Path), dirMode); err != nil {
			return done, err
		}
		if err := atomicfile.Write(f.Path, []byte(f.Text), f.Mode); err != nil {
			return done, fmt.Errorf("%s: %w", f.Path, err)
		}
		done = append(done, "wrote "+f.Path)
	}
	return done, nil
}

// Views returns the files as they are and as Apply leaves them, for people.
func Views(w Want, have []File) (before, after map[string]string, err error) {
	want, err := w.files()
	before, after = map[string]string{}, map[string]string{}
	for _, f := range have {
		before[f.Path] = f.Text
	}
	for _, f := range want {
		after[f.Path] = f.Text
	}
	return before, after, err
}
