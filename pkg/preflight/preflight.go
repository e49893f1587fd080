// Package preflight compares a host with what is planned for it, before the first
// write: ports, addresses, networks, interfaces and programs that the plan needs and
// that the host does not have, or has given to somebody else.
//
// Each question is one file with one pure function, and one line in questions.
package preflight

import (
	"slices"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/mark"
	"github.com/wgmesh/router/pkg/plan"
)

// A Want is what is planned for a host.
type Want struct {
	mark.Owner
	Plan plan.Plan
	// Accept are the questions whose findings are known to the user: they warn.
	Accept []string
	// Bound says that the keys belong to this machine, by its id.
	Bound bool
	// Socket is where our BIRD listens for commands.
	Socket string
}

// A finding is one thing of a host that is in the way of its plan.
type finding struct {
	cause.Cause
	harmless bool // the router works all the same
	sure     bool // a module would refuse it half-way, whatever the user knows
}

// refuse is a finding with which the plan cannot work.
func refuse(c cause.Cause) finding { return finding{Cause: c} }

// never is a finding that a module of the run refuses, too, when keys are written.
func never(c cause.Cause) finding { return finding{Cause: c, sure: true} }

// warn is a finding with which it can.
func warn(c cause.Cause) finding { return finding{Cause: c, harmless: true} }

type question struct {
	name string
	ask  func(Want, Have) []finding
}

// questions are all of them, in the order in which their answers are told.
func questions() []question {
	return []question{
		{"programs", programs},
		{"files", files},
		{"bird", bird},
		{"interfaces", interfaces},
		{"machine", machine},
		{"ports", ports},
		{"addresses", addresses},
		{"networks", networks},
		{"ipv6", ipv6},
		{"ping", ping},
	}
}

// Names are the names of all questions.
func Names() []string {
	var out []string
	for _, q := range questions() {
		out = append(out, q.name)
	}
	return out
}

// Compare asks all questions. What it refuses cannot work; the rest is a warning.
func Compare(w Want, h Have) (refusals, warnings []cause.Cause) {
	refusals, warnings = []cause.Cause{}, []cause.Cause{}
	if err := w.Refuse(h.Claims); err != nil { // whatever else there is, is the other mesh's
		return cause.Of(err), warnings
	}
	for _, q := range questions() {
		for _, f := range q.ask(w, h) {
			if f.harmless || !f.sure && slices.Contains(w.Accept, q.name) {
				warnings = append(warnings, f.Cause)
			} else {
				refusals = append(refusals, f.Cause)
			}
		}
	}
	return refusals, warnings
}
