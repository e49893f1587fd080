package cloud

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/wgmesh/router/pkg/cause"
)

// A Kind says what to do about an Error.
type Kind int

// The kinds.
const (
	Final     Kind = iota // it will be the same next time
	Throttled             // wait as long as there is time
	Broken                // the service or the way to it: try a few times
	Expired               // get new credentials, once
	Race                  // somebody else wrote: read again, a few times
)

// An Error is what a provider answered, in its own words.
type Error struct {
	Do        string // what was asked for, such as ec2:DescribeNetworkInterfaces
	Code      string // the provider's
	Message   string // the provider's
	RequestID string // by which the provider's support finds it
	Hint      string // what to do next
	Kind      Kind
	After     time.Duration // how long the provider asked to wait
	Err       error         // why there was no answer at all
	Unsure    bool          // it may have been done all the same
	Denied    bool          // a permission is missing
	Busy      bool          // of a Race: nobody wrote, the cloud had other things to do
}

// Unsure reports whether what failed may have been done all the same: nobody heard
// what became of it.
func Unsure(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Unsure
}

// Unheard reports whether the request may have arrived although its connection failed.
// It cannot have arrived when there was no connection.
func Unheard(err error) bool {
	var e *net.OpError
	return !errors.As(err, &e) || e.Op != "dial" && e.Op != "proxyconnect"
}

// Ended is e as the end of an operation. Nobody can send that one again: what was
// throttled has to be read and decided again.
func (e *Error) Ended() *Error {
	if e.Kind == Throttled {
		e.Kind, e.Busy = Race, true
	}
	return e
}

// mostMessage bounds what is shown of a provider's message: some carry pages.
const mostMessage = 400

// Error puts all of it on one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Do)
	if e.Err != nil {
		b.WriteString(": " + Line(e.Err.Error()))
	}
	for _, part := range []string{e.Code, e.Message} {
		if part = Line(part); part != "" {
			b.WriteString(": " + part)
		}
	}
	if id := Line(e.RequestID); id != "" {
		fmt.Fprintf(&b, " (request %s)", id)
	}
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

// Unwrap returns why there was no answer.
func (e *Error) Unwrap() error { return e.Err }

// Line makes one short line of a text that came over the network.
func Line(s string) string { return strings.TrimRight(cause.Line(s, mostMessage), ".") }
