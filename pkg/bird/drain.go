package bird

import (
	"bytes"
	"errors"
	"strings"

	"github.com/wgmesh/router/pkg/plan"
)

// defined is what a line of our text defines a constant as, if it does. That of the drain
// reports whether the router is drained; what the text does about it does not depend on it.
func defined(line []byte, name string) (value string, ok bool) {
	value, ok = strings.CutPrefix(string(line), "define "+name+` = "`)
	value, end := strings.CutSuffix(value, `";`)
	if name == plan.BirdStamp {
		end = end && len(value) == len(noStamp) && plan.Only(value, "0123456789abcdef")
	}
	return value, ok && end && !strings.Contains(value, `"`)
}

// find is the first value of a constant in a text.
func find(text []byte, name string) (value string, ok bool) {
	for line := range bytes.SplitSeq(text, []byte("\n")) {
		if value, ok := defined(line, name); ok {
			return value, true
		}
	}
	return "", false
}

// redefine is a text with another value of a constant.
func redefine(text []byte, name, value string) []byte {
	lines := bytes.Split(text, []byte("\n"))
	for i, line := range lines {
		if _, ok := defined(line, name); ok {
			lines[i] = []byte("define " + name + ` = "` + value + `";`)
		}
	}
	return bytes.Join(lines, []byte("\n"))
}

// ErrNoDrain reports a text that cannot say that its router is drained.
var ErrNoDrain = errors.New(
	"it is not a bird.conf of this version of wgmesh.router: run the mesh play on this router first")

// Drained is the drain that a text of ours has in it.
func Drained(text []byte) plan.Drain {
	value, ok := find(text, plan.BirdDrain)
	if !ok || StampOf(text) == "" {
		return plan.Drain{}
	}
	return plan.ParseDrain(value)
}

// Redrained is a text with another drain, and otherwise as it is.
func Redrained(text []byte, d plan.Drain) ([]byte, error) {
	if _, ok := find(text, plan.BirdDrain); !ok || StampOf(text) == "" {
		return nil, ErrNoDrain
	}
	return []byte(stamped(unstamped(redefine(text, plan.BirdDrain, d.String())))), nil
}

// Present is the text that counts on a host as it is: what BIRD tries, else bird.conf,
// else, where that one was damaged or is gone, its copy.
func (s Have) Present() []byte {
	switch {
	case s.Daemon.Pending && s.tries() && s.Trial != nil:
		return s.Trial
	case StampOf(s.Text) != "":
		return bytes.TrimSuffix(s.Text, []byte(closedMark))
	}
	return s.Good
}
