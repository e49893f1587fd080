package birdc

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wgmesh/router/pkg/plan"
)

// A Line is one line of a reply: its four-digit code and its text. A line that BIRD sent without a
// code of its own carries the code of the line before it.
type Line struct {
	Code int
	Text string
}

// A Reply is what BIRD answered to one command, in order, without the asynchronous lines of "echo".
// The last line is the one that ended the reply; for a list it is often code 0 with no text.
type Reply struct{ Lines []Line }

// Code is the code of the line that ended the reply, 0 for an empty reply.
func (r Reply) Code() int {
	if len(r.Lines) == 0 {
		return 0
	}
	return r.Lines[len(r.Lines)-1].Code
}

// Text is the text of all lines, joined by line feeds.
func (r Reply) Text() string {
	text := make([]string, len(r.Lines))
	for i, l := range r.Lines {
		text[i] = l.Text
	}
	return strings.TrimRight(strings.Join(text, "\n"), "\n")
}

// Has reports whether any line has one of the codes. A command such as
// "configure" says what happened in one line and what comes next in another.
func (r Reply) Has(codes ...int) bool {
	return slices.ContainsFunc(r.Lines, func(l Line) bool { return slices.Contains(codes, l.Code) })
}

// An Error is a refusal by BIRD: 8xxx for a command it could not carry out,
// 9xxx for one it did not understand.
type Error struct {
	Command string
	Code    int
	Text    string
}

// Error returns one line with the command, the code and BIRD's own words.
func (e *Error) Error() string {
	return fmt.Sprintf("bird refused %q: %04d %s", e.Command, e.Code, strings.ReplaceAll(e.Text, "\n", "; "))
}

// ReadReply reads one reply of BIRD's control protocol (doc/reply_codes and
// nest/cli.c in BIRD's source). "1234 text" ends a reply, "1234-text" goes on,
// a line that starts with a space goes on with the code before it, and one
// that starts with "+" is asynchronous output and no part of the reply.
func ReadReply(r *bufio.Reader) (Reply, error) {
	var reply Reply
	size, code := 0, -1
	for {
		text, err := r.ReadString('\n')
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = fmt.Errorf("bird closed the connection in the middle of a reply: %w", io.ErrUnexpectedEOF)
			}
			return reply, err
		}
		if size += len(text); size > maxReply {
			return reply, fmt.Errorf("reply is longer than %d bytes", maxReply)
		}
		text = strings.TrimSuffix(text, "\n")
		switch {
		case strings.HasPrefix(text, "+"):
			continue
		case strings.HasPrefix(text, " ") && code >= 0:
			reply.Lines = append(reply.Lines, Line{Code: code, Text: text[1:]})
			continue
		}
		var last bool
		if code, last, err = parseCode(text); err != nil {
			return reply, err
		}
		reply.Lines = append(reply.Lines, Line{Code: code, Text: text[5:]})
		if last {
			return reply, nil
		}
	}
}

// parseCode reads the "1234 " or "1234-" in front of a line.
func parseCode(text string) (code int, last bool, err error) {
	bad := fmt.Errorf("not a BIRD reply line: %.60q", text)
	if len(text) < 5 || (text[4] != ' ' && text[4] != '-') {
		return 0, false, bad
	}
	for _, c := range []byte(text[:4]) {
		if c < '0' || c > '9' {
			return 0, false, bad
		}
		code = code*10 + int(c-'0')
	}
	return code, text[4] == ' ', nil
}

// A BFDSession is one line of "show bfd sessions".
type BFDSession struct {
	plan.BFDSession
	State string // Up, Down, Init, AdminDown
}

// ParseBFD reads BIRD's "show bfd sessions" (proto/bfd/bfd.c, bfd_show_sessions).
func ParseBFD(text string) []BFDSession {
	var out []BFDSession
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 3 {
			continue
		}
		if address, err := netip.ParseAddr(f[0]); err == nil { // no heading
			at := plan.BFDSession{Interface: f[1], Address: address.WithZone("")}
			out = append(out, BFDSession{at, f[2]})
		}
	}
	return out
}

// Deaf lists the protocols of the own site that hear of no interface any more, by what "show status"
// and "show protocols" say: BIRD 3 (3.1 to 3.4) forgets what hangs on which interface where it keeps
// a static protocol through a configure. So their names end in the stamp of the text, and it keeps
// none but through a text that it runs already. BIRD 2 does not forget, and has no stamp there.
func Deaf(status, protocols string) (names []string) {
	at := func(of string) time.Time {
		_, text, _ := strings.Cut(status, of)
		text, _, _ = strings.Cut(text, "\n")
		at, _ := time.Parse(time.DateTime, strings.TrimSpace(text))
		return at
	}
	now, read := at("Current server time is "), at("Last reconfiguration on ")
	for line := range strings.Lines(protocols) {
		// Name Proto Table State Since
		f := strings.Fields(line)
		if len(f) > 4 && f[1] == "Static" && f[3] == "up" && strings.HasPrefix(f[0], "site") &&
			strings.Contains(f[0], "_") && before(f[4], read, now) {
			names = append(names, f[0])
		}
	}
	slices.Sort(names)
	return names
}

// before reports whether BIRD's time of a protocol is before another one for sure: of what is older
// than 20 hours it has the date alone. It computes times anew whenever it says them.
func before(since string, read, now time.Time) bool {
	const inexact = 500 * time.Millisecond
	if day, err := time.Parse(time.DateOnly, since); err == nil {
		return !read.Before(day.AddDate(0, 0, 1))
	}
	at, err := time.Parse(time.DateTime, now.Format(time.DateOnly)+" "+since)
	if at.After(now.Add(inexact)) {
		at = at.AddDate(0, 0, -1)
	}
	return err == nil && at.Add(inexact).Before(read)
}

// Numbers returns the numbers that a version starts with: 2, 17 and 6 of "2.17.6+branch".
// fmt.Sscanf would make the program 32 kB larger.
func Numbers(version string) (n []int) {
	for part := range strings.SplitSeq(version, ".") {
		digits := part[:len(part)-len(strings.TrimLeft(part, "0123456789"))]
		number, err := strconv.Atoi(digits)
		if err != nil {
			return n
		}
		if n = append(n, number); digits != part {
			return n
		}
	}
	return n
}
