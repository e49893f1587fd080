package cause

import (
	"fmt"
	"strings"
)

// least is the length down to which an argument is shortened.
const least = 12

// A List is names of which the first are enough when there is no room for all.
type List []string

// String is the whole list.
func (l List) String() string { return strings.Join(l, ", ") }

// upTo is as much of the list as fits, and how many more there are. Of a first name that is too long a part stays,
// if that is long enough to know it by.
func (l List) upTo(length int) string {
	if len(l) == 1 {
		return cut(l[0], length)
	}
	out := cut(fmt.Sprintf("%d of them", len(l)), length)
	more := fmt.Sprintf(" and %d more", len(l)-1)
	if room := length - len(more); room >= least {
		out = cut(l[0], room) + more
	}
	for n := 1; n < len(l); n++ { // it may be a million
		text := fmt.Sprintf("%s and %d more", l[:n], len(l)-n)
		if len([]rune(text)) > length {
			break
		}
		out = text
	}
	return out
}

// A piece is a part of a text: fixed words, or an argument.
type piece struct {
	text string
	list List // when the argument is one
	soft bool // may be shortened
}

type text []piece

func (t text) String() string {
	var b strings.Builder
	for _, p := range t {
		b.WriteString(p.text)
	}
	return b.String()
}

func (t text) length() int { return len([]rune(t.String())) }

// verb finds the first one of a format, and returns what stands before and behind it.
func verb(format string) (before, verb, after string) {
	for start := range len(format) {
		if format[start] != '%' {
			continue
		}
		rest := strings.TrimLeft(strings.TrimLeft(format[start+1:], "-+# 0"), "0123456789.")
		if rest != "" && (rest[0] == '%' || letter(rest[0])) {
			end := len(format) - len(rest) + 1
			return format[:start], format[start:end], format[end:]
		}
	}
	return format, "", ""
}

// parse fills arguments into a format, each in a piece of its own. The arguments
// that are left over are those of the next part.
func parse(format string, args []any) (text, []any) {
	var t text
	for format != "" {
		before, name, after := verb(format)
		t = append(t, piece{text: before})
		switch {
		case name == "%%":
			t = append(t, piece{text: "%"})
		case name != "" && len(args) > 0:
			p := piece{text: line(fmt.Sprintf(strings.ReplaceAll(name, "w", "v"), args[0])), soft: !number(args[0])}
			p.list, _ = args[0].(List)
			t, args = append(t, p), args[1:]
		}
		format = after
	}
	return t, args
}

func number(v any) bool {
	switch v.(type) {
	case int, int32, int64, uint16, uint32, uint64:
		return true
	}
	return false
}

// shorten makes the parts fit into a length, those that come first before the others.
func shorten(length int, parts ...text) {
	over := -length
	for _, t := range parts {
		over += t.length()
	}
	for _, t := range parts {
		for over > 0 {
			longest := -1
			for i, p := range t {
				if n := len([]rune(p.text)); p.soft && n > least && (longest < 0 || n > len([]rune(t[longest].text))) {
					longest = i
				}
			}
			if longest < 0 {
				break
			}
			p := &t[longest]
			before := len([]rune(p.text))
			to := max(least, before-over, next(t, longest))
			if p.list != nil {
				p.text = p.list.upTo(to)
			} else {
				p.text = cut(p.text, to)
			}
			over -= before - len([]rune(p.text))
		}
	}
}

// next is one less than the longest argument beside the longest one, down to which that
// one alone is shortened.
func next(t text, longest int) int {
	second := 0
	for i, p := range t {
		if i != longest && p.soft {
			second = max(second, len([]rune(p.text)))
		}
	}
	return min(second, len([]rune(t[longest].text))-1)
}

// cut takes the middle out of a text that is longer than length.
func cut(s string, length int) string {
	runes := []rune(s)
	if len(runes) <= length {
		return s
	}
	const dots = "..."
	head := (length - len(dots) + 1) / 2
	return string(runes[:head]) + dots + string(runes[len(runes)-(length-len(dots)-head):])
}

func line(s string) string {
	if !strings.ContainsAny(s, "\n\t\r") {
		return s
	}
	return strings.Join(strings.Fields(s), " ")
}
