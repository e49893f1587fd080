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

// Touched are the values that the changes of a plan replace, by the key's path, and
// those that the kernel changes along with them.
func (h Host) Touched(d Delta) (map[string]string, error) {
	out := map[string]string{}
	for _, c := range d.Live {
		out[string(c.Key)] = c.Old
		if !isForwarding(c.Key) {
			continue
		}
		family := "net/ipv4/conf/"
		if c.Key == keyForward6 {
			family = "net/ipv6/conf/"
		}
		names, err := os.ReadDir(h.path("proc/sys/" + family))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, n := range names {
			for _, suffix := range []string{"/forwarding", "/accept_redirects"} {
				k := Key(family + n.Name() + suffix)
				now, err := h.read(k)
				if err != nil {
					return nil, err
				}
				if _, known := out[string(k)]; now.present && !known {
					out[string(k)] = now.text
				}
			}
		}
	}
	return out, nil
}

// Restore gives parameters the values that they had, by key. It returns what it
// did, in words.
func (h Host) Restore(ctx context.Context, values map[string]string) (done []string, err error) {
	want, have := Settings{}, Settings{}
	for text, v := range values {
		k := Key(text)
		now, err := h.read(k)
		if err != nil {
			return nil, err
		}
		if !now.present {
			continue // its interface is gone
		}
		want[k], have[k] = v, now.text
	}
	for range 2 { // to change forwarding changes others along with it
		d := Delta{Live: Changes(want, have)}
		did, err := h.Apply(ctx, d)
		done = append(done, did...)
		if err != nil {
			return done, err
		}
		for k := range have {
			now, err := h.read(k)
			if err != nil {
				return done, err
			}
			have[k] = now.text
		}
	}
	if left := Changes(want, have); len(left) > 0 {
		return done, fmt.Errorf("sysctl %s: expected %q, the kernel keeps %q", left[0].Key, left[0].New, left[0].Old)
	}
	return done, nil
}
