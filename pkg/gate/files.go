package gate

import (
	"context"
	"encoding/json"
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

// files are the files of a settled want. The state comes first: who is let in must find it.
func (w Want) files(removed []Removed) ([]File, error) {
	state, err := w.state(removed)
	return []File{
		{filepath.Join(w.Directory, StateFile), state, fileMode},
		{filepath.Join(w.Directory, KnownHosts), w.knownHosts(), fileMode},
		{filepath.Join(w.Directory, AuthorizedKeys), w.authorizedKeys(), fileMode},
	}, err
}

// A Door has the shape of a domain. All that it knows is in the Want.
type Door struct{}

// Observe reads the files that there are.
func (Door) Observe(_ context.Context, w Want) ([]File, error) {
	var have []File
	for _, name := range []string{StateFile, KnownHosts, AuthorizedKeys} {
		path := filepath.Join(w.Directory, name)
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return nil, err
		}
		have = append(have, File{path, string(text), info.Mode().Perm()})
	}
	return have, nil
}

// A Delta is what has to be written, and who is out when it is.
type Delta struct {
	Files   []File
	Removed []Removed // by name

	warnings   []string
	have, want []File
}

// Empty reports whether nothing has to be written.
func (d Delta) Empty() bool { return len(d.Files) == 0 }

// Warnings are about what others say and the plan does not.
func (d Delta) Warnings() []string { return d.warnings }

// Diff works out which files have to be written.
func (Door) Diff(w Want, have []File) (Delta, error) {
	if w.OnlyUpdate && len(have) == 0 {
		return Delta{}, nil
	}
	var old State
	there := map[string]File{}
	for _, f := range have {
		there[f.Path] = f
		if filepath.Base(f.Path) == StateFile {
			// A state that is damaged, or not ours, is written again.
			_ = json.Unmarshal([]byte(f.Text), &old)
		}
	}
	if old.MadeBy == madeBy && old.Mesh != "" && !w.Owns(old.Mesh) {
		return Delta{}, fmt.Errorf("%s is of the mesh %s: take the host out there first (docs/leave.md)",
			filepath.Join(w.Directory, StateFile), old.Mesh)
	}
	d := Delta{have: have}
	var err error
	w, d.Removed, d.warnings = w.settle(old)
	if d.want, err = w.files(d.Removed); err != nil {
		return d, err
	}
	for _, f := range d.want {
		if there[f.Path] != f {
			d.Files = append(d.Files, f)
		}
	}
	return d, nil
}

// Apply writes the files of a delta and returns what it did, in words.
func (Door) Apply(ctx context.Context, d Delta) (done []string, err error) {
	for _, f := range d.Files {
		if err := ctx.Err(); err != nil {
			return done, err
		}
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
func (d Delta) Views() (before, after map[string]string) {
	before, after = map[string]string{}, map[string]string{}
	for _, f := range d.have {
		before[f.Path] = f.Text
	}
	for _, f := range d.want {
		after[f.Path] = f.Text
	}
	return before, after
}
