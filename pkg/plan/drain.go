package plan

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// BirdDrain is the constant of bird.conf that says since when and why a router is drained, and is
// empty when it is not. It is the one place where that is kept: it outlives a reboot, is tried,
// kept and taken back with what follows from it, and who asks BIRD hears what BIRD does.
const BirdDrain = "wgmesh_drained"

// longestWhy bounds the reason of a drain, in bytes.
const longestWhy = 100

// A Drain is the state of a router that has asked everyone to use another one. The zero
// Drain is that of a router that has not.
type Drain struct {
	Since time.Time // in UTC, to the second
	Why   string
}

// On reports whether the router is drained.
func (d Drain) On() bool { return !d.Since.IsZero() }

// Validate refuses a reason that BIRD cannot have in a string or a person in a line.
func (d Drain) Validate() error {
	bad := func(r rune) bool { return r == '"' || r == '\\' || !unicode.IsPrint(r) }
	if i := strings.IndexFunc(d.Why, bad); i >= 0 || len(d.Why) > longestWhy {
		return fmt.Errorf("drain_why: %.40q: expected one line of at most %d bytes, without \" and \\",
			d.Why, longestWhy)
	}
	return nil
}

// String is the text that ParseDrain reads.
func (d Drain) String() string {
	if !d.On() {
		return ""
	}
	return strings.TrimSpace(d.Since.UTC().Format(time.RFC3339) + " " + d.Why)
}

// ParseDrain reads what BIRD says of the constant. Whatever that is, somebody has drained
// the router: what has no date is a drain since the first day.
func ParseDrain(text string) Drain {
	if strings.TrimSpace(text) == "" {
		return Drain{}
	}
	date, why, _ := strings.Cut(strings.TrimSpace(text), " ")
	since, err := time.Parse(time.RFC3339, date)
	if err != nil || since.IsZero() {
		return Drain{Since: time.Unix(0, 0).UTC()}
	}
	return Drain{Since: since.UTC(), Why: why}
}
