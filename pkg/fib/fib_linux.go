// Package fib asks the kernel where it sends a packet that it forwards, with the
// rules, tables, routes and per-interface sysctls of this host, and says which of
// them it was. It is a foundation, and changes nothing.
package fib

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/pkg/order"
	"github.com/wgmesh/router/pkg/rtnl"
)

// A Flow is a packet: the interface by which it comes (empty: the host sends it
// itself) and its addresses.
type Flow struct {
	In       string
	Src, Dst netip.Addr
}

// An Answer is what the kernel does with a packet.
type Answer struct {
	// Device is the outgoing interface. Empty: the packet is dropped.
	Device string
	// Via is the next hop, not valid when there is none.
	Via netip.Addr
	// Local says that it is for the host itself.
	Local bool
	// Table is the routing table that the answer comes from.
	Table int
	// Err is the kernel's error, as it gives it to `ip route get`: EXDEV for what the
	// reverse path filter drops, EHOSTUNREACH where nothing is forwarded.
	Err error
}

// Tables is a copy of the kernel's rules and routes, to name what an answer is due
// to. The kernel's answers never come from it.
type Tables struct {
	rules  map[int][]netlink.Rule   // by family
	routes map[int][]netlink.Route  // by family, all tables
	taken  map[place]*netlink.Route // of each place the one that the kernel takes
	bird   map[netip.Prefix]*netlink.Route
	links  map[int]string
	named  map[string]int
	// policies are those of IPsec, in the kernel's order.
	policies []netlink.XfrmPolicy
	Unread   error // why they are not known
}

// A place is where a route stands: a table, and a network in it.
type place struct {
	table   int
	network netip.Prefix
}

// Read copies rules and routes of the families that the addresses are of.
func Read(ctx context.Context, v4, v6 bool) (Tables, error) {
	t := Tables{
		rules: map[int][]netlink.Rule{}, routes: map[int][]netlink.Route{}, taken: map[place]*netlink.Route{},
		bird: map[netip.Prefix]*netlink.Route{}, links: map[int]string{}, named: map[string]int{},
	}
	for family, wanted := range map[int]bool{unix.AF_INET: v4, unix.AF_INET6: v6} {
		if !wanted {
			continue
		}
		rules, err := Dump(ctx, func() ([]netlink.Rule, error) { return listRules(family) })
		if err != nil {
			return t, fmt.Errorf("routing rules: %w", err)
		}
		order.By(rules, func(a, b netlink.Rule) int { return a.Priority - b.Priority })
		t.rules[family] = rules
		all := &netlink.Route{Table: unix.RT_TABLE_UNSPEC}
		if t.routes[family], err = Dump(ctx, func() ([]netlink.Route, error) {
			return netlink.RouteListFiltered(family, all, netlink.RT_FILTER_TABLE)
		}); err != nil {
			return t, fmt.Errorf("kernel routes: %w", err)
		}
		t.index(t.routes[family])
	}
	t.policies, t.Unread = readPolicies()
	links, err := Dump(ctx, netlink.LinkList)
	for _, l := range links {
		t.links[l.Attrs().Index], t.named[l.Attrs().Name] = l.Attrs().Name, l.Attrs().Index
	}
	return t, err
}

// index notes where routes stand: there may be more of them than packets that are asked for.
func (t Tables) index(routes []netlink.Route) {
	for i := range routes {
		r := &routes[i]
		n, ok := rtnl.Prefix(r.Dst)
		if !ok {
			continue
		}
		if t.bird[n] == nil && r.Protocol == unix.RTPROT_BIRD && r.Table == unix.RT_TABLE_MAIN {
			t.bird[n] = r
		}
		at := place{r.Table, n.Masked()}
		if has := t.taken[at]; r.Flags&unix.RTNH_F_DEAD == 0 && (has == nil || r.Priority < has.Priority) {
			t.taken[at] = r
		}
	}
}

// The selectors of rules that the library does not know (linux/fib_rules.h).
const (
	fraDSCP      = 25
	fraFlowLabel = 26
)

// complete adds to a rule what the library leaves out of the kernel's message: its type, and the newer selectors.
func complete(rule *netlink.Rule, message []byte) {
	head := nl.DeserializeRtMsg(message)
	rule.Type = head.Type
	attrs, _ := nl.ParseRouteAttr(message[head.Len():])
	for _, a := range attrs {
		switch {
		case a.Attr.Type == fraDSCP && len(a.Value) > 0:
			rule.Tos = uint(a.Value[0]) << 2
		case a.Attr.Type == fraFlowLabel && bytes.ContainsFunc(a.Value, func(r rune) bool { return r != 0 }):
			rule.TunID = 1 // nobody asks for packets of a label
		}
	}
}

// listRules lists the rules with what the library leaves out.
func listRules(family int) ([]netlink.Rule, error) {
	rules, err := netlink.RuleList(family)
	if err != nil {
		return nil, err
	}
	req := nl.NewNetlinkRequest(unix.RTM_GETRULE, unix.NLM_F_DUMP)
	req.AddData(nl.NewIfInfomsg(family))
	messages, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWRULE)
	if err == nil && len(messages) != len(rules) {
		err = netlink.ErrDumpInterrupted // somebody changed them between the two
	}
	for i := range rules {
		if err == nil {
			complete(&rules[i], messages[i])
		}
	}
	return rules, err
}

// Dump is rtnl.Dump as long as there is time.
func Dump[T any](ctx context.Context, list func() ([]T, error)) (out []T, err error) {
	for range 10 {
		out, err = list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) || ctx.Err() != nil {
			break
		}
	}
	return out, err
}

// Ask returns the kernel's own answer.
func (t Tables) Ask(f Flow) Answer {
	options := &netlink.RouteGetOptions{IifIndex: t.named[f.In]}
	if options.IifIndex == 0 {
		options.Iif = f.In // the library looks for it: each time
	}
	if f.Src.IsValid() {
		options.SrcAddr = f.Src.AsSlice()
	}
	routes, err := netlink.RouteGetWithOptions(f.Dst.AsSlice(), options)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		err = unix.ENODEV
	}
	if err != nil {
		return Answer{Err: err}
	}
	if len(routes) == 0 {
		return Answer{Err: unix.ENETUNREACH}
	}
	r := routes[0]
	a := Answer{Table: r.Table, Local: r.Type == unix.RTN_LOCAL}
	if r.Type != unix.RTN_UNICAST {
		if !a.Local {
			a.Err = refusals[r.Type]
		}
		return a
	}
	a.Device = t.links[r.LinkIndex]
	a.Via, _ = netip.AddrFromSlice(r.Gw)
	a.Via = a.Via.Unmap()
	if f.Dst.Is6() && a.Device == "lo" { // IPv6's way to refuse
		a.Device, a.Err = "", unix.ENETUNREACH
	}
	return a
}

// refusals are the errors of the types of routes that let nothing through.
var refusals = map[int]error{
	unix.RTN_BLACKHOLE: unix.EINVAL, unix.RTN_UNREACHABLE: unix.EHOSTUNREACH,
	unix.RTN_PROHIBIT: unix.EACCES, unix.RTN_THROW: unix.ENETUNREACH,
}
