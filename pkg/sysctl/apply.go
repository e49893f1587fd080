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

// Apply makes the changes of a delta and returns what it did, in words, also
// when it fails half-way. The drop-in comes first: if a value is refused, a
// reboot still finds the rest.
func (h Host) Apply(ctx context.Context, d Delta) (done []string, err error) {
	if d.File != nil {
		if err := atomicfile.Write(filepath.Join(h.Root, d.Path), d.File, 0o644); err != nil {
			return nil, fmt.Errorf("sysctl drop-in: %w", err)
		}
		done = append(done, "wrote "+d.Path)
	}
	if d.Remove {
		return h.remove(ctx, d)
	}
	for _, c := range d.Live {
		if err := ctx.Err(); err != nil {
			return done, err
		}
		err := h.set(c)
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
func (h Host) set(c Change) error {
	f, err := os.OpenFile(filepath.Join(h.Root, "proc/sys", string(c.Key)), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(c.New + "\n")
	return errors.Join(err, f.Close())
}
