package sysctl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

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

// Restore gives parameters the values that they had, by key. It returns what it did, in words.
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

// former is what the parameters were before we set them, for the record in the drop-in.
// What a drop-in sets that says nothing about it is not known: the value is ours.
func (w *work) former() Settings {
	out := maps.Clone(w.own.former)
	if out == nil {
		out = Settings{}
	}
	for k, v := range w.live {
		_, known := out[k]
		_, set := w.own.sets[k]
		if was := w.had[k]; k != keyPorts && !known && !set && was != v {
			out[k] = was
		}
	}
	return out
}

// absent gives every parameter that still has our value the one from before it. Without
// a record that is what the other files say, and otherwise it stays as it is.
func (w *work) absent(path string) Delta {
	had, want := Settings{}, Settings{}
	var left []string
	for _, k := range slices.Sorted(maps.Keys(w.now)) {
		ours, set := w.own.sets[k]
		if !set {
			ours = once(k)
		}
		was, known := w.own.former[k]
		if other := w.others.value(k); !known && set && other != "" {
			was, known = other, true
		}
		now := w.now[k]
		switch {
		case !now.present || k == keyPorts:
		case !known && set && now.text == ours && !isInterface(k):
			left = append(left, k.String())
		case known && now.text == ours && was != ours && now.writable:
			had[k], want[k] = now.text, was
		}
	}
	if now := w.now[keyPorts]; now.present && now.writable && len(w.own.text) > 0 {
		had[keyPorts], want[keyPorts] = now.text, w.live[keyPorts]
	}
	d := Delta{
		Live: Changes(want, had), Path: path, Remove: len(w.own.text) > 0, ReservedPorts: w.live[keyPorts],
		before: View{Live: dotted(had), File: lines(w.own.text)}, after: View{Live: dotted(want), File: []string{}},
	}
	if !d.Remove { // what has no file of ours is not ours
		d.Live, d.before = nil, d.after
	}
	if len(left) > 0 {
		d.warnings = append(d.warnings, fmt.Sprintf("what these were before is not known, "+
			"so they stay until the next boot: %s", strings.Join(left, ", ")))
	}
	return d
}

// once returns the value of a parameter that no line of the drop-in names: by a pattern, or as it was
// before a profile that forwards less, or has other interfaces.
func once(k Key) string {
	if strings.HasSuffix(string(k), suffixAccept) {
		return "2"
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(string(k), prefixConf4), "/")
	return Profile{IPv6: new(true), Interfaces: []string{name}}.Settings()[k]
}

// remove gives the former values back. The drop-in, which knows them, goes last.
func (h Host) remove(ctx context.Context, d Delta) ([]string, error) {
	values := map[string]string{}
	for _, c := range d.Live {
		values[string(c.Key)] = c.New
	}
	done, err := h.Restore(ctx, values)
	if err != nil {
		return done, err
	}
	return append(done, "removed "+d.Path), atomicfile.Remove(filepath.Join(h.Root, d.Path))
}
