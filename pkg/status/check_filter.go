package status

import (
	"net/netip"
	"slices"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/fib"
	"github.com/wgmesh/router/pkg/filter"
	"github.com/wgmesh/router/pkg/plan"
)

// packet is what the filters are asked for.
func (x *flow) packet() filter.Packet {
	return filter.Packet{In: x.In, Out: x.answer.Device, Src: x.from, Dst: x.network, Detour: x.detour}
}

// protocols are the packets of each: each counts by itself, since hosts that drop what they forward let pings through.
func protocols(p filter.Packet) (out []filter.Packet) {
	for _, p.Proto = range []string{"icmp", "tcp", "udp"} {
		out = append(out, p)
	}
	return out
}

// tooBig is what a host of the own site gets whose packets are too large for a tunnel, or for what is behind it,
// and where it passes.
func (x *flow) tooBig() (filter.Packet, []string) {
	p := filter.Packet{In: x.In, Out: x.answer.Device, Src: x.from, Dst: x.network, Proto: "icmp", TooBig: true}
	if x.way == inward {
		return p, filter.Forwarded
	}
	p.In, p.Out, p.Dst = "", x.In, x.from
	p.Src = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if x.from.Addr().Is6() {
		p.Src = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return p, filter.Sent
}

func (x *flow) hooks() []string {
	if x.way == own {
		return filter.Sent
	}
	return filter.Forwarded
}

// checkFilters finds the filters that drop or rewrite what this router forwards, and
// those that keep a tunnel down. Many routers may have one of the same image: the cause
// is the same for all of them, and what it meets here is this router's own.
func (f *Forwarding) checkFilters(r *Request, o *Observation) (out []Problem) {
	said := map[string]bool{}
	for _, u := range f.filters.Unread {
		out = append(out, Problem{
			Cause: cause.New("%s fails (%s), so filters may be here that nobody sees: "+
				"run it as root, and mend what it says", u.Command, oneLine(u.Why)),
		})
	}
	if f.unread != nil {
		out = append(out, Problem{
			Cause: cause.New("what IPsec, XDP, tc or a sysctl does to packets cannot be read (%s): "+
				"run it again, as root", f.unread),
		})
	}
	for i := range f.flows {
		if x := &f.flows[i]; x.answer.Err == nil && x.answer.Device != "" { // else it does not get that far
			out = append(out, f.filtersOf(x, said)...)
		}
	}
	return append(out, f.checkOwn(r, o, said)...)
}

// checkOwn finds the filters that keep a tunnel down. One that meets the port of a single tunnel names it;
// what is inside of tunnels is the same in all.
func (f *Forwarding) checkOwn(r *Request, o *Observation, said map[string]bool) (out []Problem) {
	first := map[string][2]int{} // by filter, the tunnel whose port it drops, and its problem
	for i, t := range r.Tunnels {
		for _, p := range f.sick(t, &o.Tunnels[i]) {
			hooks := filter.Received
			if p.In == "" {
				hooks = filter.Sent
			}
			found := f.filters.Ask(p, hooks)
			if found.Verdict != filter.Drops {
				continue
			}
			all := cause.New("%s drops %s of its tunnels: put a rule that accepts it first", found.Where, p.Proto)
			if one, known := first[found.Where]; known && one[0] != i {
				out[one[1]].Cause = all
			}
			if said[found.Where] {
				continue
			}
			said[found.Where] = true
			q := Problem{Cause: all, Here: cause.New("%s drops %s of tunnel %s to %s: put a rule that accepts it first",
				found.Where, p.Proto, t.Name, t.Peer)}
			if p.DPort == o.Tunnels[i].Device.Port {
				first[found.Where] = [2]int{i, len(out)}
				q.Cause = cause.New("%s drops %s of its tunnel to %s: put a rule that accepts it first",
					found.Where, p.Proto, t.Peer)
			}
			out = append(out, q)
		}
	}
	return out
}

// sick are the packets that a tunnel which is not well needs.
func (f *Forwarding) sick(t plan.StatusTunnel, s *TunnelState) (out []filter.Packet) {
	both := func(in, out2 string, local, remote netip.Addr, proto string, port int) {
		here, there := netip.PrefixFrom(local, 0), netip.PrefixFrom(remote, remote.BitLen())
		out = append(
			out,
			filter.Packet{In: in, Src: there, Dst: here, Proto: proto, DPort: port},
			filter.Packet{Out: out2, Src: here, Dst: there, Proto: proto, DPort: port},
		)
	}
	p := s.Device.Peer
	if s.DeviceErr != nil || p == nil {
		return nil
	}
	everywhere := netip.IPv4Unspecified()
	if t.Address.Is6() {
		everywhere = netip.IPv6Unspecified()
	}
	if s.Session == nil || s.Session.State != "Established" || s.BFD == nil || s.BFD.State != "Up" || s.PingErr != nil {
		both(t.Name, t.Name, everywhere, t.Address, "icmp", 0)
		both(t.Name, t.Name, everywhere, t.Address, "tcp", plan.BGPPort)
		both(t.Name, t.Name, everywhere, t.Address, "udp", plan.BFDPort)
	}
	if p.Handshake.IsZero() || s.PingErr != nil {
		if to := p.Endpoint.Addr(); to.IsValid() {
			device := f.tables.Reason(fib.Flow{Dst: to}).Device()
			local := netip.IPv4Unspecified()
			if to.Is6() {
				local = netip.IPv6Unspecified()
			}
			both(device, device, local, to, "udp", s.Device.Port)
		}
	}
	return out
}

// doubtful is about what may be meant, or may do no harm.
func doubtful(o filter.Outcome) (c cause.Cause, found bool) {
	switch o.Verdict {
	case filter.Unless:
		return cause.New("%s may %s what goes between sites: put a rule that accepts it first", o.Where, does(o)), true
	case filter.Perhaps:
		return cause.New("%s may drop some of what goes between sites: see that it is meant", o.Where), true
	case filter.Partly:
		return cause.New("%s %ss a part of what goes between sites: see that it is meant", o.Where, does(o)), true
	}
	return c, false
}

func does(o filter.Outcome) string {
	if o.Rewrites {
		return "rewrite"
	}
	return "drop"
}

// without is about a packet that comes only when something is lost.
func (x *spare) without(o filter.Outcome) cause.Cause {
	if x.third {
		return cause.New("%s %ss what other sites that lose each other send by here: "+
			"admit it, or set transit of its site to false", o.Where, does(o))
	}
	return cause.New("%s %ss what takes another tunnel when a way is lost: put a rule that accepts it first",
		o.Where, does(o))
}

// filtersOf says of each rule and policy once what it does to what routers forward.
func (f *Forwarding) filtersOf(x *flow, said map[string]bool) (out []Problem) {
	if policy := f.tables.Diverts(x.In, x.from, x.network); policy != "" && !said[policy] {
		said[policy] = true
		out = append(out, Problem{
			Cause: cause.New("the IPsec policy %s takes what goes between sites: remove it, or make it narrower",
				policy),
			Here: cause.New("the IPsec policy %s takes what goes from %s to %s: remove it, or make it narrower",
				policy, x.from, x.network),
		})
	}
	for _, p := range protocols(x.packet()) {
		found := f.filters.Ask(p, x.hooks())
		if found.Verdict < filter.Rewrites || said[found.Where] {
			continue
		}
		said[found.Where] = true
		if found.Rewrites {
			out = append(out, Problem{
				Cause: cause.New("%s rewrites packets between sites: leave them out of it", found.Where),
				Here: cause.New("%s rewrites packets from %s to %s: leave them out of it",
					found.Where, x.from, x.network),
			})
			continue
		}
		out = append(out, Problem{
			Cause: cause.New("%s drops %s between sites: put a rule that accepts it first", found.Where, p.Proto),
			Here: cause.New("%s drops %s from %s to %s: put a rule that accepts it first",
				found.Where, p.Proto, x.from, x.network),
		})
	}
	return out
}

// warnOf adds what is doubtful of one flow, and notes the rules that are a cause as wrong.
func (f *Forwarding) warnOf(x *flow, wrong map[string]bool, add func(filter.Outcome, cause.Cause)) {
	dropped := false // which is a cause
	for _, p := range protocols(x.packet()) {
		found := f.filters.Ask(p, filter.Forwarded)
		dropped = dropped || found.Verdict == filter.Drops
		wrong[found.Where] = wrong[found.Where] || found.Verdict >= filter.Rewrites // a cause
		if c, perhaps := doubtful(found); perhaps {
			add(found, c)
		}
		p.Invalid = true
		odd := f.filters.Ask(p, filter.Forwarded)
		if odd.Verdict == filter.Drops && found.Verdict < filter.Rewrites {
			add(odd, cause.New("%s drops answers that come by another router than the question: "+
				"remove it where sites have several routers", odd.Where))
		}
	}
	if found := f.filters.Ask(x.tooBig()); found.Verdict == filter.Drops && !dropped {
		add(found, cause.New("%s hides from hosts that packets are too large: admit ICMP type 3, ICMPv6 type 2",
			found.Where))
	}
}

// warnings are about filters that drop or rewrite a part of what this router forwards,
// which may be meant, or perhaps all of it, or answers to what it has not seen, or what
// comes when something is lost.
func (f *Forwarding) warnings() (out []cause.Cause) {
	said, wrong, lost := map[string]bool{}, map[string]bool{}, map[string]bool{}
	add := func(found filter.Outcome, c cause.Cause) {
		if !said[found.Where] {
			said[found.Where] = true
			out = append(out, c)
		}
	}
	for i := range f.flows {
		if x := &f.flows[i]; x.answer.Err == nil && x.answer.Device != "" && x.way != own {
			f.warnOf(x, wrong, add)
		}
	}
	for i := range f.spare {
		x := &f.spare[i]
		x.lost = cause.Cause{}
		for _, p := range protocols(x.Packet) {
			found := f.filters.Ask(p, filter.Forwarded)
			if c, perhaps := doubtful(found); perhaps {
				add(found, c)
			} else if found.Verdict >= filter.Rewrites && !wrong[found.Where] {
				if x.lost = x.without(found); !lost[found.Where] {
					lost[found.Where] = true
					out = append(out, x.lost)
				}
			}
		}
	}
	for _, t := range f.filters.Flowtables {
		if slices.ContainsFunc(f.flows, func(x flow) bool {
			return t.Has(x.In) && t.Has(x.answer.Device)
		}) {
			out = append(out, cause.New("%s forwards between sites past filters and counters, "+
				"so no drain waits for it: leave the tunnels out of it", t.Where))
		}
	}
	for _, tool := range f.filters.Absent {
		out = append(out, cause.New("the kernel has tables that only %s shows: install it, and look at them", tool))
	}
	for _, program := range f.programs {
		out = append(out, cause.New("%s may drop or divert what is forwarded: see that it is meant", program))
	}
	return out
}
