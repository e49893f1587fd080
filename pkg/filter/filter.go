// Package filter reads the filters of a host (nftables and both kinds of iptables) and says what
// they do with a packet: let it through, drop it or rewrite it, and by which rule. Where a rule
// asks for what is not known of the packet, it says so. It is a foundation, and changes nothing.
package filter

import (
	"net/netip"
	"slices"
	"strings"

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
	// TooBig says that it begins nothing: ICMP tells a sender that its packets are too large.
	TooBig bool
}

// A Verdict is what becomes of a packet.
type Verdict int

// The verdicts, in the order of what is worse.
const (
	Passes   Verdict = iota
	Unsure           // a rule that cannot be judged may drop or rewrite it
	Perhaps          // the same, and nothing says that somebody chose which: no mark, no set
	Partly           // some such packets are hit: those of certain ports or addresses
	Unless           // all are hit that a rule which cannot be judged did not let through before
	Rewrites         // its addresses or ports are changed
	Drops
)

// An Outcome is a verdict, and the rule or policy that it is due to.
type Outcome struct {
	Verdict Verdict
	// Where names it as its tool does: "nft inet filter forward: iifname "wg*" drop".
	Where string
	// Rewrites says that it is hit by a change of addresses or ports, and not dropped.
	Rewrites bool
}

// A truth is what is known of a packet and a rule: no, of some such packets, not known, yes.
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

type match func(Packet) truth

const (
	accept  = "accept"
	drop    = "drop"
	rewrite = "rewrite"
	returns = "return"
	jump    = "jump"
	goTo    = "goto"
	nothing = ""
	unknown = "unknown" // a target that is not known: it may drop
)

type rule struct {
	fits  match
	does  []act
	where string // how its tool names it
	xt    bool   // a part of it is of iptables, and nft does not tell it
}

// An act is one thing that a rule does, under a condition of its own in a verdict map.
type act struct {
	what, target string
	when         match // nil: always
}

// A chain is a list of rules, a base chain when it has a hook.
type chain struct {
	where    string // "nft inet filter forward", "iptables FORWARD"
	key      string // family, table and name
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
	// Named are the networks and addresses that rules ask for, and perhaps more.
	Named []netip.Prefix
	// Unread are the tools that do not show what nobody else does.
	Unread []Unread
	// Absent are the tools that are not here, although the kernel has tables of theirs.
	Absent []string
	// Flowtables forward what they know between their devices, past all forward hooks.
	Flowtables []Flowtable
}

// A Flowtable is one of nftables'.
type Flowtable struct {
	Where   string
	Devices []string // newer kernels take patterns that end in a star, too
}

// Has reports whether it is on an interface.
func (t Flowtable) Has(device string) bool {
	return slices.ContainsFunc(t.Devices, func(pattern string) bool { return name(device, pattern) == yes })
}

// An Unread is a command that failed, and why.
type Unread struct{ Command, Why string }

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
	if c.devices == nil && (c.hook == "ingress" || c.hook == "egress") {
		w.aside = maybe // nft does not tell of which devices
	}
	if w.through(c, 0) && c.policy == drop {
		w.left = no
		w.hit(no, Drops, c.where+": policy drop")
	}
	return w.outcome
}

// A walk is a packet on its way through the chains of one hook: how many such packets
// are not where it is.
type walk struct {
	packet  Packet
	outcome Outcome
	gone    truth // they were accepted before
	left    truth // they went back to a chain that called this one
	aside   truth // they were not sent to this chain
}

// mostDepth is as deep as nftables lets chains call each other.
const mostDepth = 16

// through goes through a chain, and reports whether packets come back out of it.
func (w *walk) through(c *chain, depth int) (back bool) {
	for _, r := range c.rules {
		fits := r.fits(w.packet)
		for _, a := range r.does {
			sure := fits
			if a.when != nil {
				sure = all(fits, a.when(w.packet))
			}
			if sure == no {
				continue
			}
			ends, returned := w.does(c, r, a, not(sure), depth)
			back = back || returned
			if ends {
				return back
			}
			if a.when != nil && sure == yes {
				break // a map has one verdict
			}
		}
	}
	return true
}

// does follows one act of a rule, which does not apply to others. It reports whether it
// ends the chain, and whether packets go back to the chain that called it.
func (w *walk) does(c *chain, r rule, a act, others truth, depth int) (ends, back bool) {
	what, next := a.what, c.named(a.target)
	switch {
	case what == returns && depth == 0 && c.policy != drop:
		what = accept
	case (what == jump || what == goTo) && (next == nil || depth == mostDepth):
		what = unknown
	}
	ends = others == no
	switch what {
	case accept:
		w.gone = max(w.gone, w.left, w.aside, others)
	case drop:
		w.hit(others, Drops, r.where)
		if others == maybe {
			w.chance(r.where)
		}
	case rewrite:
		w.hit(others, Rewrites, r.where)
	case returns:
		w.left = max(w.left, others)
		back = true
	case unknown:
		w.hit(maybe, Drops, r.where)
		if ends {
			w.chance(r.where)
		}
		if w.gone = max(w.gone, w.left, w.aside, others); w.gone == no {
			w.gone = maybe
		}
		ends = false
	case jump, goTo:
		left, aside := w.left, w.aside
		w.aside = max(aside, others)
		out := w.through(next, depth+1)
		w.left, w.aside = left, aside
		switch {
		case what == jump:
			ends = ends && !out
		case out:
			w.left = max(left, others)
			back = true
		}
	default:
		ends = false
	}
	return ends, back
}

// hit notes that a rule drops or rewrites all packets that are here, except others.
func (w *walk) hit(others truth, bad Verdict, where string) {
	o := Outcome{bad, where, bad == Rewrites}
	switch max(others, w.aside, w.gone, w.left) {
	case part:
		o.Verdict = Partly
	case maybe:
		o.Verdict = Unsure
		// A chain that returns what it is not for is not a reason to warn of its last rule,
		// such as kube-proxy's MASQUERADE. One that drops all the rest is.
		if others == no && w.aside == no && (bad == Drops || w.left == no) {
			o.Verdict = Unless
		}
	}
	if o.Verdict > w.outcome.Verdict {
		w.outcome = o
	}
}

// chance notes a rule that all packets come to, and that drops those of a length, an hour or a
// dice, or gives them to a program. Marks and sets are what hosts choose packets by.
func (w *walk) chance(where string) {
	chosen := slices.ContainsFunc([]string{"mark", "@", "match-set", `"set"`, "rpfilter"}, func(s string) bool {
		return strings.Contains(where, s)
	})
	if max(w.aside, w.gone, w.left) == no && !chosen && w.outcome.Verdict < Perhaps {
		w.outcome = Outcome{Verdict: Perhaps, Where: where}
	}
}
