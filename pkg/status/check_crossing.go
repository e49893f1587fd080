package status

import (
	"cmp"
	"errors"
	"maps"
	"net/netip"
	"os"
	"slices"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/fib"
	"github.com/wgmesh/router/pkg/plan"
)

// heard is what pings told of the routers of other sites.
type heard struct {
	through map[netip.Addr]cause.List // the peers through which an address answered
	owner   map[netip.Addr]string     // the peer that has it
	said    map[string]bool           // the peers of which it is said that something is lost there
	cut     map[string]bool           // those of sites into which this router sends not everything: said, too
}

// checkCrossings finds the routers that do not forward into their sites. A tunnel that is not well
// has been told of, and a host that answers nobody is not a router's fault as far as is known.
func checkCrossings(r *Request, o *Observation, rep *Report) *heard {
	h := &heard{map[netip.Addr]cause.List{}, map[netip.Addr]string{}, map[string]bool{}, map[string]bool{}}
	h.checkUnsent(r, o, rep)
	for _, c := range o.Crossings {
		if c.err == nil {
			h.through[c.to] = append(h.through[c.to], c.peer)
		}
		if c.direct {
			h.owner[c.to] = c.peer
		}
	}
	lost := map[string][]netip.Addr{} // by peer: what answers, and not through it
	dead := map[netip.Addr]cause.List{}
	for _, c := range o.Crossings {
		switch {
		case c.direct, !errors.Is(c.err, ErrNoAnswer), !rep.Tunnels[r.tunnel(c.device)], h.cut[c.peer]:
		case len(h.through[c.to]) > 0:
			lost[c.peer] = append(lost[c.peer], c.to)
		case c.named:
			dead[c.to] = append(dead[c.to], c.peer)
		}
	}
	for i := range r.Tunnels {
		peer := r.Tunnels[i].Peer
		if len(lost[peer]) == 0 {
			continue
		}
		p, sure := h.loses(r, peer, lost[peer])
		rep.Tunnels[i] = rep.Tunnels[i] && !sure
		if !h.said[peer] {
			h.said[peer] = true
			rep.Problems = append(rep.Problems, p)
		}
	}
	for _, a := range addressesOf(dead) {
		if slices.ContainsFunc(dead[a], func(peer string) bool { return h.said[peer] }) {
			continue
		}
		c := cause.New("no answer from %s comes back through %s: "+
			"see that it runs, and look at its way back and at source/destination checks", a, dead[a])
		for _, peer := range dead[a] { // it is that of each of them, until one says why
			rep.Problems = append(rep.Problems, r.theirs(peer, c))
		}
	}
	return h
}

// theirs is a problem of a peer alone, that pings have found.
func (r *Request) theirs(peer string, c cause.Cause) Problem {
	return Problem{Peer: peer, Required: r.requires(peer), Silent: true, Alone: true, Cause: c}
}

// checkUnsent is about pings that did not get out of this router, each cause once: nobody
// else has it.
func (h *heard) checkUnsent(r *Request, o *Observation, rep *Report) {
	unsent := map[string]cause.List{}
	var errs []error
	for _, c := range o.Crossings {
		if c.err == nil || errors.Is(c.err, ErrNoAnswer) || !rep.Tunnels[r.tunnel(c.device)] {
			continue // what keeps a tunnel down is said
		}
		if errors.Is(c.err, errHomeless) && slices.ContainsFunc(r.Reach, func(t Target) bool {
			return t.Address.Is4() == c.to.Is4()
		}) {
			continue // a target says so
		}
		peers := unsent[c.err.Error()]
		if peers == nil {
			errs = append(errs, c.err)
		}
		if !slices.Contains(peers, c.peer) {
			unsent[c.err.Error()] = append(peers, c.peer)
		}
	}
	for _, err := range errs {
		peers := unsent[err.Error()]
		p := Problem{Required: r.requires(peers...), Silent: true, Cause: cause.New(
			"no ping can be sent for %s to forward (%s): look at what filters its tunnels (tc, nft)", peers, err)}
		switch {
		case errors.Is(err, os.ErrPermission):
			rep.Warnings = append(rep.Warnings,
				cause.New("no ping can be sent for %s to forward (%s): run it as root", peers, err))
			continue
		case errors.Is(err, errHomeless):
			rep.Warnings = append(rep.Warnings, cause.New("%s to ask %s from: "+
				"correct this router's address, or its site's networks in the inventory", err, peers))
			continue
		case errors.Is(err, errNotAllowed):
			p.Cause = cause.New("allowed-ips lack what is behind %s: run the mesh play here, "+
				"and look at what else sets them (wg show)", peers)
		}
		for i := range r.Tunnels {
			if slices.Contains(peers, r.Tunnels[i].Peer) {
				rep.Tunnels[i] = false
				h.cutSite(r, &r.Tunnels[i])
			}
		}
		rep.Problems = append(rep.Problems, p)
	}
}

// cutSite notes that answers of a site may be lost here: what is not in the allowed-ips is
// taken from nobody either.
func (h *heard) cutSite(r *Request, of *plan.StatusTunnel) {
	for i := range r.Tunnels {
		if t := &r.Tunnels[i]; sameSite(t, of) {
			h.cut[t.Peer] = true
		}
	}
}

// loses is about a peer through which no answer comes back from addresses that answer through
// others, and whether it is sure to be that one's fault.
//
// Any router may lie: it can answer in a host's place, and leave unanswered what came to its
// own address by another router. So a peer is blamed only if no other router alone could have
// made all of that up. At a site of two the other one always could, and both are named.
func (h *heard) loses(r *Request, peer string, of []netip.Addr) (p Problem, sure bool) {
	for i := range r.Tunnels {
		if liar := r.Tunnels[i].Peer; liar != peer && h.made(liar, of) {
			return r.theirs(peer, cause.New("no answer from %s comes back through %s, but through %s: "+
				"look at both, first %s's gateway, filters, source/dest. check", of[0], peer, h.through[of[0]],
				peer)), false
		}
	}
	p = r.theirs(peer, cause.New("it forwards nothing to %s of its site: "+
		"look at its gateway, its filters and its VM's source/destination check", of[0]))
	p.Here = cause.New("%s forwards nothing to %s of its site: "+
		"look at its gateway, its filters and its VM's source/destination check", peer, of[0])
	return p, true
}

// made reports whether it follows from the word of one router alone that addresses are there.
func (h *heard) made(by string, of []netip.Addr) bool {
	return !slices.ContainsFunc(of, func(a netip.Addr) bool {
		return h.owner[a] != by && (len(h.through[a]) > 1 || h.through[a][0] != by)
	})
}

// tunnel is the place of a tunnel in the request.
func (r *Request) tunnel(device string) int {
	return slices.IndexFunc(r.Tunnels, func(t plan.StatusTunnel) bool { return t.Name == device })
}

// passes is the router to which this one sends what is for an address; empty: none.
func (r *Request) passes(o *Observation, to netip.Addr, from netip.Addr) string {
	if i := r.tunnel(o.Forwarding.tables.Reason(fib.Flow{Src: from, Dst: to}).Device()); i >= 0 {
		return r.Tunnels[i].Peer
	}
	return ""
}

func addressesOf(set map[netip.Addr]cause.List) []netip.Addr {
	return slices.SortedFunc(maps.Keys(set), netip.Addr.Compare)
}

// checkSite is about the hosts of the own site that the inventory names.
func checkSite(r *Request, o *Observation) (out []Problem) {
	for i, s := range o.Hosts {
		if s.Err == nil || o.drops(s.Err) {
			continue
		}
		way := "no route"
		if x := slices.IndexFunc(o.Forwarding.flows, func(x flow) bool {
			return x.way == inward && x.network.Contains(r.Probe[i])
		}); x >= 0 {
			way = o.Forwarding.flows[x].reason.RouteText()
		}
		out = append(out, Problem{
			Cause: cause.New("%s of its own site does not answer (%s): "+
				"look at mesh_gateway, and that the host runs", r.Probe[i], way),
		})
	}
	return out
}

// untried says what nobody can tell: whether this router forwards into its site, and
// whether those of the other sites do.
func (r *Request) untried(o *Observation) (out []cause.Cause) {
	alone := !slices.ContainsFunc(r.Tunnels, func(t plan.StatusTunnel) bool {
		return slices.Equal(t.Networks, r.SourceNetworks)
	})
	if len(r.SourceNetworks) > 0 && len(r.Tunnels) > 0 && len(r.Probe) == 0 && alone {
		out = append(out, cause.New(
			"nothing to forward to in its site: name a host that answers ping in mesh_probe, or nobody can try it"))
	}
	// A run of some waits for these alone, and the others are in no hurry.
	if sites := r.untriedSites(o); len(sites) > 0 && r.Require == nil {
		out = append(out, cause.New("no ping is tried for the routers of %s to forward: "+
			"name a host there in mesh_probe, or run it with all its routers", sites))
	}
	return out
}

// untriedSites are the sites with a router that has nothing to forward for this one. One
// that is alone there and takes part says so itself.
func (r *Request) untriedSites(o *Observation) (sites cause.List) {
	for i := range r.Tunnels {
		t := &r.Tunnels[i]
		tried := slices.ContainsFunc(o.Crossings, func(c *crossing) bool { return c.peer == t.Peer && !c.direct })
		says := len(t.Probe) == 0 && slices.ContainsFunc(r.Reach, func(to Target) bool { return to.Name == t.Peer })
		for j := range r.Tunnels {
			says = says && (j == i || !sameSite(t, &r.Tunnels[j]))
		}
		if tried || says || !r.isElsewhere(t) {
			continue
		}
		site := t.Peer
		for _, p := range r.Prefixes {
			if slices.Contains(t.Networks, p.Network) {
				site = cmp.Or(p.Site, site)
			}
		}
		if !slices.Contains(sites, site) {
			sites = append(sites, site)
		}
	}
	return sites
}
