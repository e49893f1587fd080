// Package cause is what people are told about what is wrong: what was found, and
// what to do about it. Everything that a failed run shows in its table is made here.
package cause

import (
	"fmt"
	"strings"
	"unicode"
)

// Most is how many characters a cause and what to do about it have together.
const Most = 160

// A Cause is one thing that is wrong, in one line of at most Most characters.
type Cause struct {
	// Found says what is wrong. It names no router: whoever shows it knows whose it is.
	Found string `json:"cause"`
	// Do says what to do about it.
	Do string `json:"do"`
}

// New makes a cause of a format as fmt has it. Its last ": " stands between what was
// found and what to do:
//
//	cause.New("TCP 179 is held by %s: stop that program, and run the mesh play again", owner)
//
// When the line is longer than Most, the arguments are shortened and the words
// are not: those of what was found first, the longest first. Numbers stay. Of a List as
// many names are left as there is room for, and the rest is counted.
func New(format string, args ...any) Cause {
	whole := fmt.Sprintf(format, args...) // and go vet knows the function for what it is
	at := strings.LastIndex(format, separator)
	if at < 0 {
		return Cause{Found: cut(line(whole), Most)}
	}
	found, rest := parse(format[:at], args)
	do, _ := parse(format[at+len(separator):], rest)
	shorten(Most-len(separator), found, do)
	return Cause{Found: found.String(), Do: do.String()}
}

const separator = ": "

// Error is the cause as a module alone reports it.
func (c Cause) Error() string { return c.String() }

// String is the cause in one line.
func (c Cause) String() string {
	if c.Do == "" {
		return c.Found
	}
	return c.Found + separator + c.Do
}

// Prefixed is the same cause of a part of what it is about, such as a tunnel.
func (c Cause) Prefixed(format string, args ...any) Cause {
	room := Most - len([]rune(c.String())) - len(separator)
	if where := fmt.Sprintf(format, args...); len([]rune(where)) <= room {
		c.Found = where + separator + c.Found
	} else if room > least {
		c.Found = cut(where, room) + separator + c.Found
	}
	return c
}

// Line makes one line of at most that many letters of a text that others wrote. What a terminal
// would not print but obey becomes a space.
func Line(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most-3]) + "..."
	}
	return text
}
