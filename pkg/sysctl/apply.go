package sysctl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/wgmesh/router/pkg/atomicfile"
)

// A Writer can change the host whose file system starts at Root.
type Writer struct{ Root string }

// Apply makes the changes of a plan and returns what it did, in words, also
// when it fails half-way. The drop-in comes first: if a value is refused, a
// reboot still finds the rest.
func (w Writer) Apply(ctx context.Context, p Plan) (done []string, err error) {
	if p.File != nil {
		if err := atomicfile.Write(filepath.Join(w.Root, p.Path), p.File, 0o644); err != nil {
			return nil, fmt.Errorf("sysctl drop-in: %w", err)
		}
		done = append(done, "wrote "+p.Path)
	}
	for _, c := range p.Live {
		if err := ctx.Err(); err != nil {
			return done, err
		}
		err := w.set(c)
		if errors.Is(err, fs.ErrNotExist) && isInterface(c.Key) {
			continue // the interface went away meanwhile
		}
		if err != nil {
			return done, fmt.Errorf("set sysctl %s=%s: %w; it was %q", c.Key, c.New, err, c.Old)
		}
		done = append(done, fmt.Sprintf("set %s=%s", c.Key, c.New))
	}
	return done, nil
}

// set writes one parameter. It does not create a file: in /proc it could not.
func (w Writer) set(c Change) error {
	f, err := os.OpenFile(filepath.Join(w.Root, "proc/sys", string(c.Key)), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(c.New + "\n")
	return errors.Join(err, f.Close())
}
