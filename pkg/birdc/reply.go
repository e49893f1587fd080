package birdc

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A Line is one line of a reply: its four-digit code and its text. A line
// that BIRD sent without a code of its own carries the code of the line
// before it.
type Line struct {
	Code int
	Text string
}

// A Reply is what BIRD answered to one command, in order, without the
// asynchronous lines of "echo". The last line is the one that ended the reply;
// for a list it is often code 0 with no text.
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
	for _, l := range r.Lines {
		if slices.Contains(codes, l.Code) {
			return true
		}
	}
	return false
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
