package fib

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/pkg/plan"
)

// A Reason is the rule and the route that decide about a packet.
type Reason struct {
	Rule  netlink.Rule
	Route netlink.Route // of a rule that drops by itself: none
	// Found says that there is a route, or a rule that drops.
	Found bool
	links map[int]string
}

// Reason follows the rules as the kernel does. What it cannot know, such as marks
// that a filter sets, it takes for unset.
func (t Tables) Reason(f Flow) Reason { return t.reason(f, func(netlink.Rule) bool { return true }) }

// Main is what the table main alone would do.
func (t Tables) Main(f Flow) Reason {
	return t.reason(f, func(r netlink.Rule) bool {
		return r.Table == unix.RT_TABLE_MAIN || r.Table == unix.RT_TABLE_LOCAL
	})
}

func (t Tables) reason(f Flow, counts func(netlink.Rule) bool) Reason {
	from := 0
	for _, rule := range t.rules[family(f.Dst)] {
		if rule.Priority < from || !counts(rule) || !matches(rule, f) {
			continue
		}
		switch rule.Type {
		case unix.FR_ACT_GOTO:
			from = rule.Goto
			continue
		case unix.FR_ACT_BLACKHOLE, unix.FR_ACT_UNREACHABLE, unix.FR_ACT_PROHIBIT:
			return Reason{Rule: rule, Found: true, links: t.links}
		}
		if route, ok := t.best(rule.Table, f.Dst, rule.SuppressPrefixlen); ok {
			return Reason{Rule: rule, Route: route, Found: true, links: t.links}
		}
	}
	return Reason{links: t.links}
}

func family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// matches reports whether a rule is about a packet without a mark and of no protocol in particular.
func matches(r netlink.Rule, f Flow) bool {
	in := cmp.Or(f.In, "lo")
	match := inside(r.Src, f.Src) && inside(r.Dst, f.Dst) && (r.IifName == "" || r.IifName == in) && r.OifName == "" &&
		r.Mark == 0 && r.Tos == 0 && r.TunID == 0 && r.IPProto <= 0 && r.Sport == nil &&
		r.Dport == nil && r.UIDRange == nil
	return match != r.Invert
}

// Besides lists what becomes of some packets of a flow by rules for a protocol, a port or a
// class (TOS) alone, of those rules that come before the one that decides about the others.
func (t Tables) Besides(f Flow, others Reason) (out []Reason) {
	for _, rule := range t.rules[family(f.Dst)] {
		if others.Found && rule.Priority > others.Rule.Priority {
			break
		}
		bare := rule
		bare.IPProto, bare.Sport, bare.Dport, bare.Tos = 0, nil, nil, 0
		if rule.Invert || matches(rule, f) || !matches(bare, f) {
			continue
		}
		r := Reason{Rule: rule, links: t.links}
		if r.Found = r.Drops(); !r.Found {
			r.Route, r.Found = t.best(rule.Table, f.Dst, rule.SuppressPrefixlen)
		}
		if r.Found {
			out = append(out, r)
		}
	}
	return out
}

func inside(n *net.IPNet, a netip.Addr) bool {
	return n == nil || n.IP == nil || a.IsValid() && n.Contains(a.AsSlice())
}

// best is the route of a table that the kernel would take.
func (t Tables) best(table int, dst netip.Addr, suppress int) (best netlink.Route, found bool) {
	for bits := dst.BitLen(); bits >= 0; bits-- {
		n, _ := dst.Prefix(bits)
		if r := t.taken[place{table, n}]; r != nil {
			return *r, r.Type != unix.RTN_THROW && bits > suppress
		}
	}
	return best, false
}

// Device is where the route leads, the first one of several; empty: nowhere.
func (r Reason) Device() string {
	if !r.Found || r.Route.Type != unix.RTN_UNICAST {
		return ""
	}
	if len(r.Route.MultiPath) > 0 {
		return r.links[r.Route.MultiPath[0].LinkIndex]
	}
	return r.links[r.Route.LinkIndex]
}

// Via is the next hop of the route; not valid: none.
func (r Reason) Via() netip.Addr {
	gw := r.Route.Gw
	if len(r.Route.MultiPath) > 0 {
		gw = r.Route.MultiPath[0].Gw
	}
	a, _ := netip.AddrFromSlice(gw)
	return a.Unmap()
}

// Foreign reports whether a rule decides that is none of the kernel's own three, and not ours.
func (r Reason) Foreign() bool {
	if !r.Found {
		return false
	}
	return r.Drops() || r.Rule.Table != unix.RT_TABLE_LOCAL && r.Rule.Table != unix.RT_TABLE_MAIN &&
		r.Rule.Table != unix.RT_TABLE_DEFAULT && r.Rule.Table != plan.OutsideTable
}

// Drops reports whether the rule itself drops packets.
func (r Reason) Drops() bool {
	switch r.Rule.Type {
	case unix.FR_ACT_BLACKHOLE, unix.FR_ACT_UNREACHABLE, unix.FR_ACT_PROHIBIT:
		return true
	}
	return false
}

// RuleText names the rule as `ip rule` does: "rule 10101 (from 10.2.1.4 lookup 101)".
func (r Reason) RuleText() string {
	var words []string
	add := func(word, value string, is bool) {
		if is {
			words = append(words, word+" "+value)
		}
	}
	if r.Rule.Invert {
		words = append(words, "not")
	}
	add("from", text(r.Rule.Src), true)
	add("to", text(r.Rule.Dst), r.Rule.Dst != nil && r.Rule.Dst.IP != nil)
	add("iif", r.Rule.IifName, r.Rule.IifName != "")
	add("tos", fmt.Sprintf("%#x", r.Rule.Tos), r.Rule.Tos != 0)
	add("ipproto", strconv.Itoa(r.Rule.IPProto), r.Rule.IPProto > 0)
	add("sport", ports(r.Rule.Sport), r.Rule.Sport != nil)
	add("dport", ports(r.Rule.Dport), r.Rule.Dport != nil)
	if r.Drops() {
		words = append(words,
			map[uint8]string{
				unix.FR_ACT_BLACKHOLE:   "blackhole",
				unix.FR_ACT_UNREACHABLE: "unreachable", unix.FR_ACT_PROHIBIT: "prohibit",
			}[r.Rule.Type])
	} else {
		add("lookup", tableName(r.Rule.Table), true)
	}
	return fmt.Sprintf("rule %d (%s)", r.Rule.Priority, strings.Join(words, " "))
}

func ports(r *netlink.RulePortRange) string {
	switch {
	case r == nil:
		return ""
	case r.Start == r.End:
		return strconv.Itoa(int(r.Start))
	}
	return fmt.Sprintf("%d-%d", r.Start, r.End)
}

// RouteText names the route as `ip route` does, in a few words: "default via 10.2.1.1 dev eth0".
func (r Reason) RouteText() string {
	dst := "default"
	if r.Route.Dst != nil {
		if ones, _ := r.Route.Dst.Mask.Size(); ones > 0 {
			dst = r.Route.Dst.String()
		}
	}
	if r.Route.Type != unix.RTN_UNICAST {
		return TypeName(r.Route.Type) + " " + dst
	}
	if via := r.Via(); via.IsValid() {
		dst += " via " + via.String()
	}
	return dst + " dev " + r.Device()
}

// TypeName is what `ip route` calls a type of routes.
func TypeName(t int) string {
	switch t {
	case unix.RTN_UNICAST:
		return "unicast"
	case unix.RTN_BLACKHOLE:
		return "blackhole"
	case unix.RTN_UNREACHABLE:
		return "unreachable"
	case unix.RTN_PROHIBIT:
		return "prohibit"
	case unix.RTN_LOCAL:
		return "local"
	}
	return "type " + strconv.Itoa(t)
}

func text(n *net.IPNet) string {
	if n == nil || n.IP == nil {
		return "all"
	}
	if ones, bits := n.Mask.Size(); ones == bits {
		return n.IP.String()
	}
	return n.String()
}

func tableName(table int) string {
	switch table {
	case unix.RT_TABLE_MAIN:
		return "main"
	case unix.RT_TABLE_LOCAL:
		return "local"
	case unix.RT_TABLE_DEFAULT:
		return "default"
	}
	return strconv.Itoa(table)
}
