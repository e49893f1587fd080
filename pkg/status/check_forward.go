package status

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/fib"
	"github.com/wgmesh/router/pkg/plan"
)

// checkForwarding finds what the kernel does wrong with packets that it is to
// forward, each cause once.
func checkForwarding(r *Request, o *Observation) []Problem {
	f := &o.Forwarding
	if f.err != nil {
		return []Problem{{Cause: cause.New("its rules and routes cannot be read (%s): run it again, as root", f.err)}}
	}
	out := f.checkSysctls()
	for i := range f.flows {
		x := &f.flows[i]
		p, found := f.checkFlow(r, x, o)
		if found && !slices.ContainsFunc(out, func(q Problem) bool { return q.Cause.Found == p.Cause.Found }) {
			out = append(out, p)
		}
	}
	return append(out, f.checkFilters(r, o)...)
}

// inside finds what keeps the packets of a tunnel in here: the way to the peer's outside address, which is
// in its site, is a tunnel or the floor. A rule leads them to the default route (plan.OutsideTable).
func (f *Forwarding) inside(r *Request, s *TunnelState) (p Problem, found bool) {
	if s.Device.Peer == nil {
		return p, false
	}
	end := s.Device.Peer.Endpoint.Addr()
	x := f.tables.Reason(fib.Flow{Dst: end})
	if !x.Found || x.Device() != "" && !r.isTunnel(x.Device()) ||
		!slices.ContainsFunc(r.Prefixes, func(p plan.StatusPrefix) bool { return p.Network.Contains(end) }) {
		return p, false
	}
	return wrong(cause.New("the packets of its tunnel to %s go inside (%s): "+
		"restart wgmesh-floor, or mend its default route, or the peer's source address", end, x.RouteText()))
}

// accept leaves out what goes to a network of the host's own, such as Docker's, that is a part of another
// site's, where the user has accepted it of preflight, and says so. Other sites avoid a drained router.
func (f *Forwarding) accept(r *Request, drained bool) (said []cause.Cause) {
	accepts := slices.Contains(r.Accept, "networks")
	f.flows = slices.DeleteFunc(slices.Clone(f.flows), func(x flow) bool {
		if !accepts || x.needed && drained {
			return x.needed && drained
		}
		if x.answer.Local { // the subnet that it is in is said
			return x.way != inward && !x.exact
		}
		if x.way == inward || x.answer.Err != nil || r.isTunnel(x.answer.Device) ||
			x.reason.Foreign() || x.reason.Route.Protocol != unix.RTPROT_KERNEL ||
			x.reason.Device() != x.answer.Device {
			return false
		}
		c := cause.New("%s takes %s of %s, as accepted: give one of them others, if anything there is to be reached",
			x.answer.Device, x.network, x.site)
		if !slices.Contains(said, c) {
			said = append(said, c)
		}
		return true
	})
	return said
}

// checkSysctls is about what the kernel's answers for IPv6 do not tell, and about pings.
func (f *Forwarding) checkSysctls() (out []Problem) {
	six := slices.ContainsFunc(f.flows, func(x flow) bool { return x.Dst.Is6() })
	if f.full() {
		out = append(out, Problem{
			Final: true,
			Cause: cause.New("its table of connections is full (%s of %s), so it drops what is new: "+
				"raise %s, or see who fills it (conntrack -L)", f.sysctls[conntrackCount],
				f.sysctls[conntrackMax], conntrackMax),
		})
	}
	for _, family := range []string{"4", "6"} {
		count, most := f.sysctls["net.ipv"+family+".neigh"], f.sysctls["net.ipv"+family+".neigh.default.gc_thresh3"]
		n, _ := strconv.Atoi(count)
		m, _ := strconv.Atoi(most)
		if m > 0 && n*20 >= m*19 { // it forgets some all the time
			out = append(out, Problem{Final: true, Cause: cause.New(
				"its table of neighbours is full (%s of %s), so it sends nothing to new ones: "+
					"raise net.ipv%s.neigh.default.gc_thresh3", count, most, family)})
		}
	}
	off := func(key, bad string, c func(string) cause.Cause) {
		if f.sysctls[key] == bad {
			out = append(out, Problem{Cause: c(key)})
		}
	}
	off("net.ipv4.ip_forward", "0", func(k string) cause.Cause {
		return cause.New(
			"it forwards no IPv4 (%s=0): "+
				"run the mesh play here, and look what sets it (docs/at-night.md)", k)
	})
	if six {
		off("net.ipv6.conf.all.forwarding", "0", func(k string) cause.Cause {
			return cause.New("it forwards no IPv6 (%s=0): "+
				"run the mesh play here, and look what sets it (docs/at-night.md)", k)
		})
	}
	for device := range f.devices6() {
		off("net.ipv6.conf."+device+".disable_ipv6", "1", func(k string) cause.Cause {
			return cause.New("IPv6 is off where its site has networks of it (%s=1): set it to 0", k)
		})
	}
	for _, key := range []string{"net.ipv4.icmp_echo_ignore_all", "net.ipv6.icmp.echo_ignore_all"} {
		off(key, "1", func(k string) cause.Cause {
			return cause.New("it ignores ping (%s=1): set it to 0, or nobody can tell what it forwards", k)
		})
	}
	return out
}

// How many connections the kernel follows, and how many at most; not there while it follows none.
const conntrackCount, conntrackMax = "net.netfilter.nf_conntrack_count", "net.netfilter.nf_conntrack_max"

// full reports whether the kernel drops each packet of a connection that it does not know.
func (f *Forwarding) full() bool {
	count, _ := strconv.Atoi(f.sysctls[conntrackCount])
	most, _ := strconv.Atoi(f.sysctls[conntrackMax])
	return most > 0 && count >= most
}

// drops reports whether a full table is why a ping did not get out.
func (o *Observation) drops(err error) bool { return errors.Is(err, unix.EPERM) && o.Forwarding.full() }

// devices6 are the interfaces that IPv6 comes by, as sysctl writes them.
func (f *Forwarding) devices6() map[string]bool {
	out := map[string]bool{}
	for i := range f.flows {
		x := &f.flows[i]
		if x.In != "" && x.Dst.Is6() {
			out[strings.ReplaceAll(x.In, ".", "/")] = true
		}
	}
	return out
}

// wrong is a problem of this router alone, for functions that may find one.
func wrong(c cause.Cause) (Problem, bool) { return Problem{Cause: c}, true }

// everywhere is a problem with a rule that many networks may meet, and many routers may have: the
// cause is about all that it takes, and this router names what it saw first.
func everywhere(all, here string, say func(what string) cause.Cause) (Problem, bool) {
	return Problem{Cause: say(all), Here: say(here)}, true
}

// checkFlow says what is wrong with the kernel's answer for one packet.
func (f *Forwarding) checkFlow(r *Request, x *flow, o *Observation) (Problem, bool) {
	tunnel := r.isTunnel(x.answer.Device)
	where := x.network.String()
	if x.site != "" {
		where += " of " + x.site
	}
	whose := map[int]string{inward: "", outward: "", own: "its own packets for "}[x.way] + where
	all := map[int]string{
		inward: "what is for its site", outward: "what is for other sites", own: "its own packets for other sites",
	}[x.way]
	switch {
	case x.answer.Err != nil && x.reason.Found && r.Floor != 0 && int(x.reason.Route.Protocol) == r.Floor:
		return Problem{}, false // for want of a tunnel, which is said
	case errors.As(x.answer.Err, new(netlink.LinkNotFoundError)):
		return Problem{}, false // nothing comes by a tunnel without an interface, which is said
	case x.answer.Err != nil:
		return f.refused(x, whose, where, all)
	case x.answer.Local:
		return wrong(cause.New("it takes %s for addresses of its own (%s): "+
			"remove that address, or that route of table local", where, x.reason.RouteText()))
	case x.way == inward && (tunnel || x.reason.Foreign() && x.answer.Device != x.main) && !x.isBird(),
		x.way != inward && !tunnel && !o.isEndpoint(x):
		if x.reason.Foreign() {
			return everywhere(all, whose, func(what string) cause.Cause {
				return cause.New("%s sends %s out of %s: remove it, or put one for table main before it",
					x.reason.RuleText(), what, x.answer.Device)
			})
		}
		want := "a tunnel"
		if x.way == inward {
			want = "its site's interface"
		}
		if x.reason.Device() != x.answer.Device { // we do not follow; the kernel knows
			return wrong(cause.New("packets for %s go out of %s, expected %s: "+
				"look at ip route get %s from %s iif %s", where, x.answer.Device, want, x.Dst, x.Src, x.In))
		}
		return wrong(cause.New("route %s (proto %s) takes %s away, expected %s: remove that route",
			x.reason.RouteText(), x.reason.Route.Protocol, whose, want))
	case x.way == inward && x.exact && tunnel:
		return wrong(cause.New("it has no way of its own into %s, %s carries it: "+
			"look at its gateway and its interface (birdc show route)", where, x.answer.Device))
	case x.way == inward && x.exact:
		return x.beaten()
	}
	return Problem{}, false
}

// isBird reports whether BIRD made the route: inward, a router of the own site stands in then.
func (x *flow) isBird() bool {
	return !x.reason.Foreign() && x.reason.Route.Protocol == unix.RTPROT_BIRD
}

// isEndpoint reports whether it is the router's own packet for the outside address of a
// peer, which may be in its site's network. BIRD has a route of its own for one that is
// planned, and takes none from others that is not one of their networks.
func (o *Observation) isEndpoint(x *flow) bool {
	return x.way == own && x.network.IsSingleIP() && (!x.exact && x.isBird() || o.isEnd(x.network.Addr()))
}

// isEnd reports whether an address is the outside one of a peer: what is sent there goes
// by no tunnel, and tells nothing about one.
func (o *Observation) isEnd(a netip.Addr) bool {
	return slices.ContainsFunc(o.Tunnels, func(t TunnelState) bool {
		return t.Device.Peer != nil && t.Device.Peer.Endpoint.Addr() == a
	})
}

// beaten finds a foreign route that the own site's packets follow instead of ours.
func (x *flow) beaten() (Problem, bool) {
	if x.ours == "" || x.answer.Device == x.ours || x.reason.Route.Protocol == unix.RTPROT_KERNEL {
		return Problem{}, false
	}
	return wrong(cause.New("route %s (proto %s) beats the site's own by %s: remove that route",
		x.reason.RouteText(), x.reason.Route.Protocol, x.ours))
}

// strict is the sysctl by which an interface filters by the reverse path, if any: the
// larger one of two counts.
func (f *Forwarding) strict(device string) string {
	all, its := "net.ipv4.conf.all.rp_filter", "net.ipv4.conf."+strings.ReplaceAll(device, ".", "/")+".rp_filter"
	switch {
	case device == "" || max(f.sysctls[all], f.sysctls[its]) != "1":
		return ""
	case f.sysctls[its] == "1":
		return its
	}
	return all
}

// refused names what drops a packet.
func (f *Forwarding) refused(x *flow, whose, where, all string) (Problem, bool) {
	in4 := "net.ipv4.conf." + strings.ReplaceAll(x.In, ".", "/")
	switch {
	case x.Dst.Is4() && f.sysctls["net.ipv4.ip_forward"] == "0":
		return Problem{}, false // said already
	case errors.Is(x.answer.Err, unix.ENODEV):
		return Problem{}, false // it comes by an interface that is not there, which is said
	case x.Dst.Is4() && x.In != "" && f.sysctls[in4+".forwarding"] == "0":
		return wrong(cause.New("it forwards nothing that comes by %s (%s.forwarding=0): "+
			"run the mesh play here, and look what sets it (docs/at-night.md)", x.In, in4))
	case x.reason.Found && x.reason.Drops():
		return everywhere(all, whose, func(what string) cause.Cause {
			return cause.New("%s drops %s: remove that rule", x.reason.RuleText(), what)
		})
	case x.reason.Foreign():
		return everywhere(all, whose, func(what string) cause.Cause {
			return cause.New("%s drops %s (route %s): remove that rule, or mend its table",
				x.reason.RuleText(), what, x.reason.RouteText())
		})
	case x.reason.Found && x.reason.Route.Type != unix.RTN_UNICAST && x.reason.Route.Type != unix.RTN_LOCAL:
		return wrong(cause.New("route %s (proto %s) drops %s: remove that route",
			x.reason.RouteText(), x.reason.Route.Protocol, whose))
	// The kernel's error for that is EXDEV, and EINVAL in newer ones.
	case f.strict(x.In) != "" && (errors.Is(x.answer.Err, unix.EXDEV) || errors.Is(x.answer.Err, unix.EINVAL)):
		return wrong(cause.New("it drops packets that come by another interface than the way back (%s=1): "+
			"set it to 0 or 2, and run the mesh play here", f.strict(x.In)))
	case !x.reason.Found:
		return wrong(cause.New(
			"it has no route for %s: look at its gateway and its interface (birdc show route; ip route)", where))
	}
	return wrong(cause.New("the kernel drops packets for %s (%s): look at ip route get %s from %s iif %s",
		where, x.answer.Err, x.Dst, x.Src, x.In))
}

// besides warns of rules that take some packets of the sites away by their protocol, port or class:
// the kernel is asked for one of UDP without ports, and what goes astray may be meant to.
func (f *Forwarding) besides(r *Request) (out []cause.Cause) {
	for i := range f.flows {
		x := &f.flows[i]
		for _, some := range f.tables.Besides(x.Flow, x.reason) {
			what, device := "other sites", some.Device()
			right := r.isTunnel(device)
			if x.way == inward {
				what, right = "its site", device == x.main
			}
			if right {
				continue
			}
			c := cause.New("%s drops some of what is for %s: remove it, or put one for table main before it",
				some.RuleText(), what)
			if device != "" {
				c = cause.New("%s sends some of what is for %s out of %s: "+
					"remove it, or put one for table main before it", some.RuleText(), what, device)
			}
			if !slices.Contains(out, c) {
				out = append(out, c)
			}
		}
	}
	return out
}
