package status

import (
	"slices"

	"github.com/wgmesh/router/pkg/cause"
)

// A Problem is one thing that is not as the request has it.
type Problem struct {
	// Cause is what was found and what to do. When another router is at the other end,
	// it is worded for the summary of a whole mesh, as a cause that that router has.
	Cause cause.Cause
	// Here is what this router found out about that one in particular; zero: Cause.
	Here cause.Cause
	// About is the tunnel or address that it is about; empty: this router.
	About string
	// Required says that one of the peers in Request.Require is affected.
	Required bool
	// Peer is the router at the other end; empty: it is about this router alone,
	// or about a network.
	Peer string
	// Alone says that it is the peer's alone, and not the tunnel's.
	Alone bool
	// Cut says that the tunnel has no handshake or no whole session, which a small
	// fault of either router does not explain.
	Cut bool
	// Final says that time cannot mend it.
	Final bool
	// Silent says that pings are not answered, though BGP and BFD prove that
	// packets get through. That does not count against a required peer.
	Silent bool
	// Follows says that Network has no route: a session is missing, or Owners, which
	// have whole sessions with this router, do not bring it.
	Follows bool
	Network string
	Owners  []string
}

// seen is what this router found.
func (p Problem) seen() cause.Cause {
	if p.Here.Found != "" {
		return p.Here
	}
	return p.Cause
}

// Text is the problem in one line: what it is about, what was found, what to do.
func (p Problem) Text() string {
	if p.About == "" {
		return p.seen().String()
	}
	return p.seen().Prefixed("%s", p.About).String()
}

// A Report is what Check makes of an observation.
type Report struct {
	Problems []Problem
	// Warnings are about what does no harm yet.
	Warnings []cause.Cause
	// Transit are those of Warnings that do harm where other sites have lost each other.
	Transit []*Transit
	// Tunnels, Prefixes and Targets say what is healthy, in the order of the request.
	Tunnels, Prefixes, Targets []bool
}

// Healthy reports whether there is no problem.
func (r Report) Healthy() bool { return len(r.Problems) == 0 }

// RequiredHealthy reports whether no problem affects a required peer.
func (r Report) RequiredHealthy() bool {
	return !slices.ContainsFunc(r.Problems, func(p Problem) bool { return p.Required && !p.Silent })
}

// answers reports whether the required peers answer pings, too.
func (r Report) answers() bool {
	return !slices.ContainsFunc(r.Problems, func(p Problem) bool { return p.Required })
}

// hopeless reports whether time can mend nothing of what is required.
func (r Report) hopeless() bool {
	return !slices.ContainsFunc(r.Problems, func(p Problem) bool { return p.Required && !p.Silent && !p.Final })
}

// Texts lists the lines of all problems, those of several peers once; it is never nil.
func (r Report) Texts() []string {
	out := []string{}
	for _, p := range r.Problems {
		if text := p.Text(); !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}

// A Trouble is one problem, as another router's summary needs it.
type Trouble struct {
	Peer string `json:"peer"`
	cause.Cause
	// Here is what this router found itself, and Text the same in one line.
	Here    cause.Cause `json:"here"`
	Text    string      `json:"text"`
	Follows bool        `json:"follows"`
	Network string      `json:"network"`
	Owners  []string    `json:"owners"`
	Alone   bool        `json:"alone"`
	Cut     bool        `json:"cut"`
	Final   bool        `json:"final"`
}

// Troubles lists the problems for a summary; it is never nil.
func (r Report) Troubles() []Trouble {
	out := []Trouble{}
	for _, p := range r.Problems {
		out = append(out, Trouble{
			Peer: p.Peer, Cause: p.Cause, Here: p.seen(), Text: p.Text(), Follows: p.Follows, Alone: p.Alone,
			Cut: p.Cut, Final: p.Final, Network: p.Network, Owners: append([]string{}, p.Owners...),
		})
	}
	return out
}

// Sick lists the causes that keep all sessions of this router down; it is never nil.
func (r Report) Sick() []string {
	out := []string{}
	for _, p := range r.Problems {
		if p.Final && p.Peer == "" && !p.Follows {
			out = append(out, p.Cause.Found)
		}
	}
	return out
}
