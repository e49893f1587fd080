// Package filter reads the filters of a host (nftables and both kinds of iptables)
// and says what they do with a packet: let it through, drop it or rewrite it, and by
// which rule. Where a rule asks for what is not known of the packet, it says so. It is
// a foundation, and changes nothing.
package filter

import (
	"net/netip"
	"slices"

	"github.com/wgmesh/router/pkg/order"
)

// A Packet is one that begins something: an echo request, or the first one of a
// connection. Ports that are not known are 0.
type Packet struct {
	In, Out      string // interfaces; empty: the host itself
	Src, Dst     netip.Prefix
	Proto        string // icmp (of both families), tcp or udp
	SPort, DPort int
	// Invalid says that connection tracking has not seen what it answers, as happens
	// where the way back is another one.
	Invalid bool
	// Detour says that the way back to its source does not lead out of In.
	Detour bool
}

// A Verdict is what becomes of a packet.
type Verdict int

// The verdicts, in the order of what is worse.
const (
	Passes   Verdict = iota
	Partly           // some such packets are dropped: those of certain ports or addresses
	Unsure           // a rule that cannot be judged may drop it
	Rewrites         // its addresses or ports are changed
	Drops
)

// An Outcome is a verdict, and the rule or policy that it is due to.
type Outcome struct {
	Verdict Verdict
	// Where names it as its tool does: "nft inet filter forward: iifname "wg*" drop".
	Where string
}

// A truth is what is known of a packet and a rule: no, of some such packets, not
// known, yes.
type truth int

const (
	no truth = iota
	part
	maybe
	yes
)

func not(t truth) truth {
	switch t {
	case yes:
		return no
	case no:
		return yes
	}
	return t
}

func is(b bool) truth {
	if b {
		return yes
	}
	return no
}

// all is true when each is.
func all(list ...truth) truth {
	out := yes
	for _, t := range list {
		switch {
		case t == no:
			return no
		case t == maybe || t == part && out == yes:
			out = t
		}
	}
	return out
}

// anyOf is true when one is.
func anyOf(list ...truth) truth { return slices.Max(append(list, no)) }

// A match is one condition of a rule.
type match func(Packet) truth

// What a rule does.
const (
	accept   = "accept"
	drop     = "drop"
	rewrite  = "rewrite"
	returns  = "return"
	jump     = "jump"
	goTo     = "goto"
	nothing  = ""
	unknown  = "unknown" // a target that is not known: it may drop
	setsMark = "mark"
)

// A rule is one line of a chain.
type rule struct {
	matches []match
	does    []act
	text    string
}

// An act is one thing that a rule does, under a condition of its own in a verdict map.
type act struct {
	what, target string
	when         match // nil: always
}

// A chain is a list of rules, a base chain when it has a hook.
type chain struct {
	where    string // "nft inet filter forward", "iptables filter FORWARD"
	families []bool // is6, of the packets that come here
	hook     string
	priority int
	devices  []string // of a netdev chain
	policy   string
	rules    []rule
	named    func(string) *chain
}

// A Ruleset is all filters of a host.
type Ruleset struct {
	chains []*chain
	// Unread says why a part could not be read; empty: all was.
	Unread []string
}

// The hooks that a packet passes, in their order.
var (
	Forwarded = []string{"ingress", "prerouting", "forward", "postrouting", "egress"}
	Received  = []string{"ingress", "prerouting", "input"}
	Sent      = []string{"output", "postrouting", "egress"}
)

// Ask says what becomes of a packet at these hooks: the worst of all that is known.
func (r Ruleset) Ask(p Packet, hooks []string) (worst Outcome) {
	for _, hook := range hooks {
		var here []*chain
		for _, c := range r.chains {
			if c.hook == hook && c.takes(p) {
				here = append(here, c)
			}
		}
		order.By(here, func(a, b *chain) int { return a.priority - b.priority })
		for _, c := range here {
			if o := c.ask(p); o.Verdict > worst.Verdict {
				worst = o
			}
			if worst.Verdict == Drops {
				return worst
			}
		}
	}
	return worst
}

func (c *chain) takes(p Packet) bool {
	device := p.In
	if c.hook == "egress" {
		device = p.Out
	}
	return slices.Contains(c.families, p.Dst.Addr().Is6()) && (c.devices == nil || slices.Contains(c.devices, device))
}

// ask is about a base chain.
func (c *chain) ask(p Packet) Outcome {
	w := walk{packet: p}
	end := w.through(c, 0)
	if end == nothing || end == returns {
		end = c.policy
		if end == drop {
			w.dropped(c.where + ": policy drop")
		}
	}
	return w.outcome
}

// A walk is a packet on its way through the chains of one hook.
type walk struct {
	packet  Packet
	outcome Outcome
	escaped truth // whether it may have been accepted before: then no drop is sure
	aside   bool  // in a chain that only some such packets come to, or perhaps none
}

// mostDepth is as deep as nftables lets chains call each other.
const mostDepth = 16

// through goes through a chain and returns what ends it.
func (w *walk) through(c *chain, depth int) string {
	if c == nil || depth > mostDepth {
		w.escaped = maybe
		return nothing
	}
	for _, r := range c.rules {
		met := make([]truth, 0, len(r.matches))
		for _, m := range r.matches {
			met = append(met, m(w.packet))
		}
		hit := all(met...)
		for _, a := range r.does {
			sure := hit
			if a.when != nil {
				sure = all(hit, a.when(w.packet))
			}
			if sure == no {
				continue
			}
			if end := w.does(c, r, a, sure, depth); end != nothing {
				return end
			}
		}
	}
	return nothing
}

// does follows one act of a rule, and returns what ends the chain.
func (w *walk) does(c *chain, r rule, a act, sure truth, depth int) string {
	where := c.where + ": " + r.text
	if sure != yes { // it may end here, or go on
		switch a.what {
		case drop:
			w.may(sure, where)
		case unknown:
			w.may(maybe, where)
		case accept, returns:
			w.escaped = max(w.escaped, sure)
		case jump, goTo:
			branch := walk{packet: w.packet, escaped: max(w.escaped, sure), aside: true}
			end := branch.through(c.named(a.target), depth+1)
			w.worse(branch.outcome)
			if end == accept || end == rewrite || branch.escaped > w.escaped || a.what == goTo {
				w.escaped = max(w.escaped, branch.escaped, sure)
			}
		}
		return nothing
	}
	switch a.what {
	case accept, returns:
		return a.what
	case drop:
		w.dropped(where)
		return drop
	case rewrite:
		if !w.aside {
			w.worse(Outcome{Rewrites, where})
		}
		return accept
	case unknown:
		w.may(maybe, where)
		w.escaped = maybe
	case jump, goTo:
		end := w.through(c.named(a.target), depth+1)
		if end == accept || end == drop {
			return end
		}
		if a.what == goTo {
			return returns
		}
	}
	return nothing
}

func (w *walk) worse(o Outcome) {
	if o.Verdict > w.outcome.Verdict {
		w.outcome = o
	}
}

// may notes a rule that drops some, or perhaps all.
func (w *walk) may(sure truth, where string) {
	if sure == part && w.escaped != maybe {
		w.worse(Outcome{Partly, where})
		return
	}
	w.worse(Outcome{Unsure, where})
}

// dropped notes that the packet is dropped here, unless it was let through before.
func (w *walk) dropped(where string) {
	switch w.escaped {
	case no:
		w.worse(Outcome{Drops, where})
	case part:
		w.worse(Outcome{Partly, where})
	default:
		w.worse(Outcome{Unsure, where})
	}
}
