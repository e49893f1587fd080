package sysctl

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"strings"

	"github.com/wgmesh/router/pkg/atomicfile"
)

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
	for _, k := range sortedKeys(w.now) {
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
