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
// reboot still finds the rest. What it alone knows to be ours is given back before.
func (h Host) Apply(ctx context.Context, d Delta) (done []string, err error) {
	if done, err = h.setAll(ctx, d.Live[:d.back]); err != nil {
		return done, err
	}
	if d.File != nil {
		if err := atomicfile.Write(filepath.Join(h.Root, d.Path), d.File, 0o644); err != nil {
			return done, fmt.Errorf("sysctl drop-in: %w", err)
		}
		done = append(done, "wrote "+d.Path)
	}
	if d.Remove {
		return h.remove(ctx, d)
	}
	did, err := h.setAll(ctx, d.Live[d.back:])
	return append(done, did...), err
}

func (h Host) setAll(ctx context.Context, changes []Change) (done []string, err error) {
	for _, c := range changes {
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
