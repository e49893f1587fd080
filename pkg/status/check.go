package status

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/wgmesh/router/pkg/birdc"
	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/plan"
)

// Judge finds what is wrong. Of a tunnel it names the cause and leaves out
// what follows from it: without a handshake there can be no BGP.
func Judge(r Request, o Observation) Report {
	var rep Report
	accepted := o.Forwarding.accept(&r, o.Drained.On())
	needsBird := slices.ContainsFunc(r.Tunnels, func(t plan.StatusTunnel) bool { return t.Neighbor != "" })
	if p, found := checkBird(&o); found && needsBird {
		p.Required = r.Require == nil || len(r.Require) > 0
		rep.Problems = append(rep.Problems, p)
	}
	own := len(rep.Problems) > 0
	if len(o.Untaken) > 0 {
		rep.Problems = append(rep.Problems, Problem{Required: r.Require == nil || len(r.Require) > 0, Cause: cause.New(
			"the kernel takes no route of BIRD's to %s: run the mesh play here if an address of this router "+
				"has changed, else look at journalctl -u bird", names(o.Untaken))})
	}
	rep.Problems = append(rep.Problems, checkForwarding(&r, &o)...)
	rep.Problems = append(rep.Problems, checkGateways(&o)...)
	rep.Problems = append(rep.Problems, checkSite(&r, &o)...)
	rep.Warnings = slices.Concat(accepted, o.Forwarding.warnings(), o.Forwarding.besides(&r), o.deafWarning())
	rep.Transit = o.Forwarding.transit()
	if o.Probed {
		rep.Warnings = append(append(rep.Warnings, r.untried(&o)...), moved(&r, &o)...)
	}
	hopeless, silent, cut := checkTunnels(&r, &o, own, &rep)
	checkPrefixes(&r, &o, hopeless, cut, &rep)
	for _, c := range o.MissingTables {
		rep.Problems = append(rep.Problems, Problem{Cause: c})
	}
	if open := r.open(&o); len(open) > 0 && o.RoutesErr == nil {
		rep.Problems = append(rep.Problems, Problem{
			Cause: cause.New("the floor is missing for %s: run the mesh play here, "+
				"and look at what removes routes (journalctl -u wgmesh-floor)", names(open)),
		})
	}
	checkTargets(&r, &o, hopeless, silent, &rep)
	return rep
}

func checkTargets(r *Request, o *Observation, hopeless, silent map[string]bool, rep *Report) {
	heard := checkCrossings(r, o, rep)
	for i, target := range r.Reach {
		p := Problem{}
		if o.Probed && !o.isEnd(target.Address) && !o.drops(o.Targets[i].Err) && !o.untaken(target.Address) {
			p = checkTarget(r, target.Address, o.Targets[i])
		}
		rep.Targets = append(rep.Targets, p.Cause.Found == "" && o.Probed)
		if p.Cause.Found == "" {
			continue
		}
		p.About, p.Peer = fmt.Sprintf("router %s at %s", target.Name, target.Address), target.Name
		p.Required, p.Final, p.Silent = r.requires(target.Name), hopeless[target.Name], silent[target.Name]
		// It is there, and another router of its site has to forward what goes to it.
		by := r.passes(o, target.Address, o.Targets[i].From)
		through := heard.through[target.Address]
		theirs := by != "" && by != target.Name && len(through) > 0 && !slices.Contains(through, by)
		if heard.cut[by] || heard.cut[target.Name] || theirs && heard.said[by] {
			continue
		}
		if theirs {
			q, _ := heard.loses(r, by, []netip.Addr{target.Address})
			p.About, p.Peer, p.Alone, p.Cause, p.Here = "", by, true, q.Cause, q.Here
		}
		rep.Problems = append(rep.Problems, p)
	}
}

// untaken reports whether the kernel has refused the route to an address.
func (o *Observation) untaken(to netip.Addr) bool {
	return slices.ContainsFunc(o.Untaken, func(n netip.Prefix) bool { return n.Contains(to) })
}

// checkBird finds what keeps all sessions of this router down.
func checkBird(o *Observation) (p Problem, found bool) {
	switch {
	case errors.Is(o.BirdErr, birdc.ErrNotRunning) && o.BirdMasked != "":
		return Problem{
			Final: true,
			Cause: cause.New("BIRD does not run: %s keeps it from starting: "+
				"run systemctl unmask bird, and systemctl start bird", o.BirdMasked),
		}, true
	case errors.Is(o.BirdErr, birdc.ErrNotRunning):
		return Problem{
			Final: true,
			Cause: cause.New(
				"BIRD does not run: start it (systemctl start bird), and look at its log (journalctl -u bird)"),
		}, true
	case errors.Is(o.BirdErr, birdc.ErrSilent):
		return Problem{Final: true, Cause: cause.Parse(birdc.ErrSilent.Error())}, true
	case o.BirdErr != nil:
		return Problem{
			Final: true,
			Cause: cause.New("BIRD does not answer (%s): look at its log (journalctl -u bird)", o.BirdErr),
		}, true
	case o.PortHolder != "":
		return Problem{
			Final: true,
			Cause: cause.New("TCP 179 is held by %s, and BIRD has to listen there: "+
				"stop that program, and run the mesh play again", o.PortHolder),
		}, true
	case len(o.Off) > 0:
		return Problem{
			Final: true,
			Cause: cause.New("BIRD's protocol %s is switched off: run the mesh play here, or birdc enable %s",
				cause.List(o.Off), o.Off[0]),
		}, true
	}
	return Problem{}, false
}

// checkPrefixes looks for the networks of other sites in the kernel's routes. What a site's
// routers do not bring is one cause of theirs, however many of its networks it is.
func checkPrefixes(r *Request, o *Observation, hopeless, cut map[string]bool, rep *Report) {
	if o.RoutesErr != nil && len(r.Prefixes) > 0 {
		rep.Problems = append(rep.Problems, Problem{
			Cause:    cause.New("the kernel's routes cannot be read (%s): run it again, as root", o.RoutesErr),
			Required: true,
		})
	}
	lost := map[string]cause.List{} // by the first of its owners
	for _, p := range r.Prefixes {
		found, missing := cause.Cause{}, false
		if o.RoutesErr == nil {
			found, missing = checkPrefix(r, p, o)
		}
		rep.Prefixes = append(rep.Prefixes, found.Found == "" && o.RoutesErr == nil)
		if found.Found == "" {
			continue
		}
		q := Problem{Cause: found, Required: r.requiresPrefix(p), Follows: missing}
		if missing && !slices.Contains(o.Untaken, p.Network) { // else nobody else is its cause
			q.Final, q.Network, q.Owners = r.nobodyBrings(p, hopeless), p.Network.String(), r.owners(p, cut)
		}
		if len(q.Owners) > 0 {
			lost[q.Owners[0]] = append(lost[q.Owners[0]], q.Network)
		}
		rep.Problems = append(rep.Problems, q)
	}
	for i := range rep.Problems {
		if q := &rep.Problems[i]; len(q.Owners) > 0 {
			q.Here, q.Cause = q.Cause, cause.New("others have no route to %s of its site: "+
				"look at its gateway and its interface (birdc show route; ip route)", lost[q.Owners[0]])
		}
	}
}

// owners are the peers that announce a prefix, and with which nothing is wrong. Over
// other sites it may come as well, but whether they carry it is not known.
func (r *Request) owners(p plan.StatusPrefix, cut map[string]bool) (out []string) {
	for _, t := range r.Tunnels {
		if p.AS != 0 && t.AS == p.AS && !cut[t.Peer] {
			out = append(out, t.Peer)
		}
	}
	slices.Sort(out)
	return out
}

// nobodyBrings reports whether all peers that announce a prefix are hopeless.
func (r *Request) nobodyBrings(p plan.StatusPrefix, hopeless map[string]bool) bool {
	owners := slices.DeleteFunc(slices.Clone(r.Tunnels), func(t plan.StatusTunnel) bool {
		return p.AS != 0 && t.AS != p.AS
	})
	if len(owners) == 0 {
		owners = r.Tunnels
	}
	return !slices.ContainsFunc(owners, func(t plan.StatusTunnel) bool { return !hopeless[t.Peer] })
}

// checkPrefix says what is wrong with a prefix, and whether it is simply missing.
func checkPrefix(r *Request, p plan.StatusPrefix, o *Observation) (c cause.Cause, missing bool) {
	route, found := o.Routes[p.Network]
	if !found || route.Floor {
		return cause.New("prefix %s of %s: no tunnel has a route to it: "+
			"look at birdc show route for %s all, here and there", p.Network, p.Site, p.Network), true
	}
	if len(route.Devices) == 0 {
		return cause.New("prefix %s of %s: a route made by %s drops its packets (%s): remove it (ip route show %s)",
			p.Network, p.Site, route.Protocol, route.Type, p.Network), false
	}
	for _, dev := range route.Devices {
		if !r.isTunnel(dev) {
			return cause.New("prefix %s of %s: goes out of %s by a route made by %s: remove that route "+
				"(ip route show %s)", p.Network, p.Site, dev, route.Protocol, p.Network), false
		}
	}
	return cause.Cause{}, false
}

// open lists the networks to refuse that nothing refuses.
func (r *Request) open(o *Observation) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(r.Refused), func(n netip.Prefix) bool {
		return slices.ContainsFunc(o.Refused, func(outer netip.Prefix) bool {
			return outer.Bits() <= n.Bits() && outer.Contains(n.Addr())
		})
	})
}

func checkTarget(r *Request, to netip.Addr, s TargetState) Problem {
	switch {
	case s.Self, s.Err == nil && (s.From.IsValid() || !r.speaks(to)):
		return Problem{}
	case s.Err == nil:
		return Problem{
			Here: cause.New("no own address in %s to ask from: "+
				"correct this router's address, or its site's networks in the inventory", r.own(to)),
			Cause: cause.New("others have no address to ask it from: " +
				"correct their addresses or their sites' networks in the inventory"),
		}
	}
	from := ""
	if s.From.IsValid() {
		from = " from " + s.From.String()
	}
	blame := cause.New("no answer from its own address in its site: " +
		"check its IP forwarding in the cloud, ip route get there, and ICMP in its firewall")
	if errors.Is(s.Err, ErrNoAnswer) {
		return Problem{
			Cause: blame,
			Here: cause.New(
				"no answer to a ping of %d bytes%s: "+
					"check ip route get and the cloud's IP forwarding at both ends, and ICMP there", reachProbe, from),
		}
	}
	return Problem{
		Cause: blame,
		Here:  cause.New("ping of %d bytes%s: %s: check ip route get to it", reachProbe, from, s.Err),
	}
}

// speaks reports whether the own site has a network of an address's family. A
// site with IPv4 only has no way to another one's IPv6 addresses, nor needs one.
func (r *Request) speaks(a netip.Addr) bool { return len(r.own(a)) > 0 }

// own lists the own site's networks of an address's family.
func (r *Request) own(a netip.Addr) (list cause.List) {
	for _, n := range r.SourceNetworks {
		if n.Addr().Is4() == a.Is4() {
			list = append(list, n.String())
		}
	}
	return list
}

// names lists values for a cause.
func names[T fmt.Stringer](list []T) cause.List {
	texts := make(cause.List, len(list))
	for i, v := range list {
		texts[i] = v.String()
	}
	return texts
}
