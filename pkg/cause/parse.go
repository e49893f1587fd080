package cause

import (
	"errors"
	"slices"
	"strings"
	"syscall"
)

// advising are the words with which, in a line in this project's words, what to do begins.
var advising = []string{
	"add", "admit", "allow", "apply", "ask", "boot", "chattr", "check", "chmod", "choose", "chown", "clean", "confirm",
	"copy", "correct", "do not", "end", "find", "give", "install", "keep", "leave", "let",
	"list", "look", "lower", "make", "mend", "move", "name", "open", "please", "put", "raise",
	"remove", "rename", "replace", "restart", "restore", "run", "save", "say",
	"see", "set", "settle", "start", "stop", "switch", "tag", "take", "try", "use", "wait", "write",
}

// advice parts a line from what it says to do.
func advice(text string) (found, do string, ok bool) {
	for at := range text {
		for _, mark := range []string{": ", "; ", ", so "} {
			if do, ok := strings.CutPrefix(text[at:], mark); ok && advises(do) {
				return text[:at], do, true
			}
		}
	}
	return "", "", false
}

func advises(text string) bool {
	return strings.HasPrefix(text, "did you mean ") || slices.ContainsFunc(advising, func(word string) bool {
		rest, ok := strings.CutPrefix(text, word)
		return ok && (rest == "" || !letter(rest[0]) && !strings.Contains("_0123456789", rest[:1]))
	})
}

func letter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// expected parts a line that says what was expected and nothing else: before it, that, and
// what was there instead.
func expected(text string) (found, do, got string, ok bool) {
	found, want, ok := strings.Cut(text, " expected ")
	if n := len(found) - 1; n >= 0 && strings.Contains(":;,", found[n:]) {
		found = found[:n]
	}
	for at := range want {
		for _, mark := range []string{", got ", ", found "} {
			if got, ok := strings.CutPrefix(want[at:], mark); ok {
				return found, "expected " + want[:at], got, true
			}
		}
	}
	return found, "expected " + want, "", ok
}

// Parse makes a cause of a line that somebody else made. Where it says what to do
// is found by its words; a line that does not say it has nothing to do.
func Parse(text string) Cause { return parsed(text, "") }

// parsed is Parse of a line in which the kernel said so. What to do stands behind that: before it are
// the names of what was tried, such as "open" and "remove".
func parsed(text, kernel string) Cause {
	text = line(text)
	c := Cause{Found: text}
	behind := 0
	if kernel != "" {
		behind = max(0, strings.LastIndex(text, kernel))
	}
	if found, do, ok := advice(text[behind:]); ok {
		c = Cause{Found: text[:behind] + found, Do: do}
	} else if found, do, got, ok := expected(text); ok {
		c = Cause{Found: found, Do: do}
		if got != "" {
			c.Found += separator + got
		}
	}
	if room := Most - len(separator) - len([]rune(c.Found)); len([]rune(c.Do)) > room {
		c.Do = cut(c.Do, max(room, Most/2))
	}
	if room := Most - len(separator) - len([]rune(c.Do)); len([]rune(c.Found)) > room {
		c.Found = cut(c.Found, room)
	}
	return c
}

// Of lists the causes of an error, one for each of those that were joined.
func Of(err error) []Cause {
	where, errs := leaves(err)
	out := make([]Cause, len(errs))
	for i, err := range errs {
		if out[i] = of(err); where != "" {
			out[i] = out[i].Prefixed("%s", where)
		}
	}
	return out
}

func of(err error) Cause {
	var c Cause
	if text := err.Error(); errors.As(err, &c) {
		if where, found := strings.CutSuffix(text, c.String()); found && where == "" {
			return c
		} else if found {
			return c.Prefixed("%s", strings.TrimSuffix(where, separator))
		}
	}
	kernel := syscall.Errno(0)
	if !errors.As(err, &kernel) {
		return Parse(err.Error())
	}
	return parsed(err.Error(), kernel.Error())
}

// leaves lists the errors that were joined, and what stands before all of them.
func leaves(err error) (where string, out []error) {
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return "", []error{err}
	}
	var texts []string
	for _, e := range joined.Unwrap() {
		texts = append(texts, e.Error())
		if inner, more := leaves(e); inner == "" {
			out = append(out, more...)
		} else {
			out = append(out, e)
		}
	}
	where, found := strings.CutSuffix(err.Error(), strings.Join(texts, "\n"))
	if !found {
		return "", []error{err} // several %w of one line
	}
	return strings.TrimSuffix(where, separator), out
}
