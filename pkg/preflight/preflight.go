// Package preflight compares a host with what is planned for it, before the first
// write: ports, addresses, networks, interfaces and programs that the plan needs and
// that the host does not have, or has given to somebody else.
//
// Each question is one file with one pure function, and one line in questions.
package preflight

import (
	"slices"

	"github.com/wgmesh/router/pkg/mesh"
)

// A Finding is one thing of a host that is in the way of its plan.
type Finding struct {
	Cause string `json:"cause"` // what was found, with its owner
	Do    string `json:"do"`    // what to do about it
	// Harmless says that the router works all the same.
	Harmless bool `json:"-"`
}

// Text is the finding on one line.
func (f Finding) Text() string { return f.Cause + ": " + f.Do }

// A Want is what is planned for a host.
type Want struct {
	Plan mesh.Plan
	// Accept are the questions whose findings are known to the user: they warn.
	Accept []string
	// Bound says that the keys belong to this machine, by its id.
	Bound bool
	// Socket is where our BIRD listens for commands.
	Socket string
}

// A question is one thing to look for.
type question struct {
	name string
	ask  func(Want, Have) []Finding
}

// questions are all of them, in the order in which their answers are told.
func questions() []question {
	return []question{
		{"programs", programs},
		{"files", files},
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
func Compare(w Want, h Have) (refusals, warnings []Finding) {
	refusals, warnings = []Finding{}, []Finding{}
	for _, q := range questions() {
		for _, f := range q.ask(w, h) {
			if f.Harmless || slices.Contains(w.Accept, q.name) {
				warnings = append(warnings, f)
			} else {
				refusals = append(refusals, f)
			}
		}
	}
	return refusals, warnings
}
