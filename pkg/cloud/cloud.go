// Package cloud is what the packages of the clouds, below this one, have in common: what forwarding
// is, errors in the provider's words, waiting out what passes, a client for HTTP that takes no
// proxy to a metadata service, and by which cloud this machine is run. It knows no cloud's API.
package cloud

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/order"
)

// The clouds, as the option `cloud` names them.
const (
	AWS   = "aws"
	Azure = "azure"
	GCP   = "gcp"
)

// An Interface is what may forward or may not: a network interface on AWS and
// Azure, the whole instance on GCP.
type Interface struct {
	ID         string `json:"id"`
	Primary    bool   `json:"primary"`
	Forwarding bool   `json:"forwarding"` // may carry packets that are not the instance's own
}

// A Reader reads one instance. It writes nothing.
type Reader interface {
	// Instance names the instance for results and errors.
	Instance() string
	// Observe returns those of its interfaces that are ours to set.
	Observe(ctx context.Context) ([]Interface, error)
}

// A Writer sets one instance.
type Writer interface {
	// Rehearse asks whether Set would be allowed, where the cloud can be asked.
	Rehearse(ctx context.Context, id string, forwarding bool) error
	// Set returns when a read has shown the new setting. It reports whether it may
	// have changed anything, also when it fails.
	Set(ctx context.Context, id string, forwarding bool) (changed bool, err error)
}

// Select returns the interfaces that words name: all, primary, ids or, where ids
// are paths, their last parts.
func Select(have []Interface, words []string, instance string) ([]Interface, error) {
	var out []Interface
	for _, word := range words {
		found := false
		for _, i := range have {
			if word == "all" || word == "primary" && i.Primary || strings.EqualFold(word, i.ID) ||
				strings.EqualFold(word, path.Base(i.ID)) {
				found = true
				if !slices.Contains(out, i) {
					out = append(out, i)
				}
			}
		}
		if !found {
			return nil, fmt.Errorf("interfaces: %s is none of %s, which has %s", word, instance, names(have))
		}
	}
	order.By(out, func(a, b Interface) int { return strings.Compare(a.ID, b.ID) })
	return out, nil
}

func names(have []Interface) string {
	var ids []string
	for _, i := range have {
		ids = append(ids, i.ID)
	}
	if len(ids) == 0 {
		return "none that can be set"
	}
	slices.Sort(ids)
	return strings.Join(ids, ", ")
}

// A Change gives one interface its setting.
type Change struct {
	ID         string
	Forwarding bool
}

// Diff returns the changes after which all interfaces have the setting.
func Diff(want bool, have []Interface) []Change {
	var delta []Change
	for _, i := range have {
		if i.Forwarding != want {
			delta = append(delta, Change{i.ID, want})
		}
	}
	return delta
}

// After returns have as it is after the changes.
func After(have []Interface, delta []Change) []Interface {
	out := slices.Clone(have)
	for i := range out {
		for _, c := range delta {
			if c.ID == out[i].ID {
				out[i].Forwarding = c.Forwarding
			}
		}
	}
	return out
}

// Apply makes the changes, one after the other, and stops at the first failure.
func Apply(ctx context.Context, w Writer, delta []Change) (done []string, err error) {
	for _, c := range delta {
		changed, err := w.Set(ctx, c.ID, c.Forwarding)
		if changed {
			done = append(done, fmt.Sprintf("%s: %s forwarding", c.ID,
				map[bool]string{true: "enabled", false: "disabled"}[c.Forwarding]))
		}
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// Rehearse returns, in words, why the changes would be refused.
func Rehearse(ctx context.Context, w Writer, delta []Change) (warnings []string) {
	for _, c := range delta {
		if err := w.Rehearse(ctx, c.ID, c.Forwarding); err != nil {
			warnings = append(warnings, err.Error())
		}
	}
	return warnings
}
