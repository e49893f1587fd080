package bird

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"

	"github.com/wgmesh/router/pkg/plan"
)

// drainLine is the line of our text that says whether the router is drained. What the
// text does about it does not depend on it.
var drainLine = regexp.MustCompile(`(?m)^define ` + plan.BirdDrain + ` = "([^"\n]*)";$`)

// ErrNoDrain reports a text that cannot say that its router is drained.
var ErrNoDrain = errors.New(
	"it is not a bird.conf of this version of wgmesh.router: run the mesh play on this router first")

// Drained is the drain that a text of ours has in it.
func Drained(text []byte) plan.Drain {
	m := drainLine.FindSubmatch(text)
	if m == nil || StampOf(text) == "" {
		return plan.Drain{}
	}
	return plan.ParseDrain(string(m[1]))
}

// Redrained is a text with another drain, and otherwise as it is.
func Redrained(text []byte, d plan.Drain) ([]byte, error) {
	if StampOf(text) == "" || !drainLine.Match(text) {
		return nil, ErrNoDrain
	}
	text = drainLine.ReplaceAllLiteral(text, fmt.Appendf(nil, `define %s = "%s";`, plan.BirdDrain, d))
	stamp := regexp.MustCompile(`(?m)^(define ` + plan.BirdStamp + ` = ")[0-9a-f]{16}";$`)
	return []byte(stamped(string(stamp.ReplaceAll(text, []byte("${1}"+noStamp+`";`))))), nil
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
