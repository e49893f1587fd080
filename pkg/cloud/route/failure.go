package route

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/cloud"
)

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
