package sysctl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

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
