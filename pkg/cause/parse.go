package cause

import (
	"errors"
	"regexp"
	"strings"
)

// advice is where, in a line in this project's words, what to do begins.
var advice = regexp.MustCompile(`(?:[:;] |, so )((?:` + strings.Join([]string{
	"add", "admit", "allow", "apply", "ask", "boot", "check", "choose", "chown", "clean", "confirm",
	"correct", "do not", "end", "give", "install", "keep", "leave",
	"list", "look", "lower", "make", "mend", "move", "name", "open", "please", "put", "raise",
	"remove", "rename", "replace", "restart", "restore", "run", "say",
	"see", "set", "settle", "start", "stop", "switch", "take", "try", "use", "wait", "write",
}, "|") + `)\b.*|did you mean .*)$`)

// expected is a line that says what was expected and nothing else.
var expected = regexp.MustCompile(`^(.*?)[:;,]? (expected .*?)(?:, (?:got|found) (.*))?$`)

// Parse makes a cause of a line that somebody else made. Where it says what to do
// is found by its words; a line that does not say it has nothing to do.
func Parse(text string) Cause {
	text = line(text)
	c := Cause{Found: text}
	if at := advice.FindStringSubmatchIndex(text); at != nil {
		c = Cause{Found: text[:at[0]], Do: text[at[2]:]}
	} else if m := expected.FindStringSubmatch(text); m != nil {
		c = Cause{Found: m[1], Do: m[2]}
		if m[3] != "" {
			c.Found += separator + m[3]
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
	return Parse(err.Error())
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
