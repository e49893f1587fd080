package route

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/cloud"
)

// Ensure reads, makes the tables as w wants them and reads until they are. It
// returns what it did in words, also when it fails. What can be done is done,
// also where a prefix is refused or another one fails: errors may be joined.
func Ensure(ctx context.Context, pace cloud.Pace, t Tables, w Want) (done []string, err error) {
	w.Via = cmp.Or(w.Via, t.Via())
	have, err := t.Observe(ctx, w)
	if err != nil {
		return nil, err
	}
	delta, refused := Diff(w, have)
	done, err = Apply(ctx, pace, t, w, delta)
	return done, errors.Join(refused, err)
}

// Apply makes the changes and, unless w yields, reads until the tables agree. Where a table
// is no longer as it was read, it is read again and decided again.
func Apply(ctx context.Context, pace cloud.Pace, t Tables, w Want, delta []Change) (done []string, err error) {
	if len(delta) == 0 {
		return nil, nil
	}
	a := applier{tables: t, want: w, failed: map[slot]error{}}
	for _, c := range delta {
		if !slices.Contains(a.slots, c.slot()) {
			a.slots = append(a.slots, c.slot())
		}
	}
	err = pace.Race(ctx, func(ctx context.Context) (err error) {
		if delta == nil { // not the first time
			if delta, err = a.left(ctx); err != nil {
				return fmt.Errorf("%w", err) // the others are not written either, so it is not about some
			}
		}
		err = a.write(ctx, delta)
		delta = nil
		return err
	})
	if err == nil && !w.Yields {
		err = pace.Until(ctx, func(ctx context.Context) (bool, string, error) {
			left, err := a.left(ctx)
			if err != nil || len(left) == 0 {
				return err == nil, "", err
			}
			return false, left[0].slot().String() + ": was set and does not read so: " +
				a.reads(left[0]) + "; find what else sets it", nil
		})
	}
	return a.done, errors.Join(a.failures(), err)
}

// An applier remembers what became of each prefix.
type applier struct {
	tables Tables
	want   Want
	slots  []slot
	failed map[slot]error
	done   []string
}

// write makes the changes. One that fails for good does not stop the others, for
// a router that takes over should take as many routes as it can. Where a permission
// is missing, the same change of the table's other prefixes is not tried.
func (a *applier) write(ctx context.Context, delta []Change) (race error) {
	denied := map[action]error{}
	for _, c := range delta {
		if err := denied[c.action()]; err != nil {
			a.failed[c.slot()] = err
			continue
		}
		changed, err := a.tables.Write(ctx, a.want, c)
		if changed {
			a.done = append(a.done, c.String())
		}
		var e *cloud.Error
		switch {
		case err == nil:
		case errors.As(err, &e) && e.Kind == cloud.Race:
			race = err
		default:
			a.failed[c.slot()] = err
			if e != nil && e.Denied {
				denied[c.action()] = err
			}
			if ctx.Err() != nil {
				return nil
			}
		}
	}
	return race
}

// left is what is still to be changed, of what has not failed for good.
func (a *applier) left(ctx context.Context) ([]Change, error) {
	slots := slices.DeleteFunc(slices.Clone(a.slots), func(s slot) bool { return a.failed[s] != nil })
	if len(slots) == 0 {
		return nil, nil
	}
	have, err := a.tables.Observe(ctx, a.want)
	if err != nil {
		return nil, err
	}
	return diff(a.want, slots, have)
}

// reads says what is there in place of what a change has made.
func (*applier) reads(c Change) string {
	if c.Old == nil {
		return "there is none"
	}
	return "it goes to " + c.Old.to()
}

// failures are in the order of the changes.
func (a *applier) failures() error {
	var out []failure
	for _, s := range a.slots {
		if err := a.failed[s]; err != nil {
			out = append(out, failure{[]slot{s}, err})
		}
	}
	return together(out)
}

// Rehearse returns, in words, why the changes would be refused. Clouds permit what is done
// to a table, whatever the prefix, so one change of each kind is asked about.
func Rehearse(ctx context.Context, t Tables, w Want, delta []Change) (warnings []string) {
	asked := map[action]bool{}
	for _, c := range delta {
		if asked[c.action()] {
			continue
		}
		asked[c.action()] = true
		if err := t.Rehearse(ctx, w, c); err != nil && !slices.Contains(warnings, err.Error()) {
			warnings = append(warnings, err.Error())
		}
	}
	return warnings
}

// Troubles returns, in words, why routes that go where they shall carry nothing.
func Troubles(w Want, have []Route) (warnings []string) {
	for _, r := range have {
		if r.Trouble != "" && r.Via == w.Via && r.Foreign == "" && !w.Absent {
			warnings = append(warnings,
				slot{r.Table, r.Prefix}.String()+": the route to "+r.to()+" carries nothing: "+r.Trouble)
		}
	}
	return warnings
}

// A failure is why these prefixes of a table are not as they should be, and says nothing
// about others.
type failure struct {
	slots []slot
	error
}

func (f failure) Unwrap() error { return f.error }

// Error is what was said about the first of the prefixes, and how many more there are.
func (f failure) Error() string {
	text := f.error.Error()
	if len(f.slots) == 1 {
		return text
	}
	first := f.slots[0].String()
	return fmt.Sprintf("%s and %d more: %s", first, len(f.slots)-1, strings.TrimPrefix(text, first+": "))
}

// why is what failures of the same cause have in common. What is left out differs from
// one request to the next: the prefix, the request's id, the ports of a connection.
func (f failure) why() [4]string {
	s := f.slots[0]
	code, message, hint := "", f.error.Error(), ""
	if e, ok := errors.AsType[*cloud.Error](f.error); ok {
		code, message, hint = e.Code, e.Message, e.Hint
	}
	return [4]string{s.table, code, strings.ReplaceAll(message, s.prefix.String(), ""), hint}
}

// together joins failures, one for each table and cause.
func together(failures []failure) error {
	var out []failure
	for _, f := range failures {
		i := slices.IndexFunc(out, func(o failure) bool { return o.why() == f.why() })
		if i < 0 {
			out = append(out, f)
		} else {
			out[i].slots = append(out[i].slots, f.slots...)
		}
	}
	var errs []error
	for _, f := range out {
		errs = append(errs, f)
	}
	return errors.Join(errs...)
}

// Failed lists the prefixes that an error of Ensure is about. There are none where it is,
// or may be, about all.
func Failed(err error) (prefixes []netip.Prefix) {
	errs := []error{err}
	for len(errs) > 0 {
		err, errs = errs[0], errs[1:]
		switch e := err.(type) { //nolint:errorlint // each by itself, not what it wraps
		case nil:
		case interface{ Unwrap() []error }:
			errs = append(errs, e.Unwrap()...)
		case failure:
			for _, s := range e.slots {
				prefixes = append(prefixes, s.prefix)
			}
		default:
			return nil
		}
	}
	return prefixes
}
