package mesh

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/wgmesh/router/pkg/order"

	"github.com/wgmesh/router/pkg/plan"
)

// MEDs of what a router announces. Another site's router takes the lowest, so
// traffic enters by the router of the destination's zone while that one lives.
const (
	medOwnZone   = 0
	medSite      = 50
	medOtherZone = 100
)

// bird returns the router's part of bird_config, without neighbours.
func (n *network) bird(self *router) plan.Bird {
	out := plan.Bird{
		RouterID:  routerID(self.ID),
		AS:        self.site.AS,
		Transit:   self.site.transits(),
		Networks:  sorted(self.site.networks),
		Static:    []plan.Static{},
		Originate: originate(self),
		Owners:    []plan.Owner{},
		Neighbors: []plan.Neighbor{},
		BFD:       plan.BFD{Interval: 300, Multiplier: 3},
	}
	if n.BFD == BFDFast {
		out.BFD.Interval = 100
	}
	for _, x := range self.site.owns() {
		g, _ := gatewayOf(self, x.Addr())
		out.Static = append(out.Static, plan.Static{
			Network: x, Via: g.addr, OnLink: self.site.OnLink && g.addr.IsValid(),
			Interface: g.iface, Connected: !g.addr.IsValid(), Derived: g.derived,
		})
	}
	for _, r := range n.routers {
		if way, ok := n.outside(self, r); ok && !slices.ContainsFunc(out.Static, func(s plan.Static) bool {
			return s.Network == way.Network
		}) {
			out.Static = append(out.Static, way)
		}
	}
	for _, s := range n.sites {
		out.Owners = append(out.Owners, plan.Owner{
			AS: s.AS, Site: s.name, Networks: s.owns(), Carried: n.carried(self, s),
		})
	}
	return out
}

// outside returns the way to a peer's end of the tunnel, where that one, or the own end, is in its site's
// network: routes alone would lead its packets through tunnels, or to answer through them.
func (n *network) outside(self, peer *router) (way plan.Static, ok bool) {
	end, own := n.at(peer, self).Addr(), n.at(self, peer).Addr()
	if own.Is4() != end.Is4() {
		own = netip.Addr{}
	}
	way = plan.Static{Network: netip.PrefixFrom(end, end.BitLen()), Outside: true, Source: own}
	return way, end.IsValid() && peer.site != self.site && (peer.site.has(end) || self.site.has(own))
}

// routerID returns the id as a dotted quad. It is nobody's address; BGP
// needs it to be unique, and that the id is.
func routerID(id int) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(id))
	return netip.AddrFrom4(b)
}

func (s *site) has(a netip.Addr) bool {
	return slices.ContainsFunc(s.networks, func(x netip.Prefix) bool { return x.Contains(a) })
}

func (s *site) owns() []netip.Prefix {
	out := s.networks
	for _, z := range s.zones {
		out = append(slices.Clip(out), z.networks...)
	}
	return sorted(out)
}

// originate lists what a router announces. A zone's subnet that is all of the
// site's network counts as the zone's.
func originate(self *router) []plan.Originate {
	med := map[netip.Prefix]int{}
	for _, x := range self.site.networks {
		med[x] = medSite
	}
	for _, z := range self.site.zones {
		for _, x := range z.networks {
			med[x] = medOtherZone
		}
	}
	if z := self.zone(); z != nil { // a subnet may be in several zones
		for _, x := range z.networks {
			med[x] = medOwnZone
		}
	}
	out := []plan.Originate{}
	for _, x := range self.site.owns() {
		out = append(out, plan.Originate{Network: x, MED: med[x]})
	}
	return out
}

func (n *network) neighbor(h hop) plan.Neighbor {
	return plan.Neighbor{
		Name:          h.peer.protocol,
		Router:        h.peer.name,
		Interface:     h.name,
		Address:       h.theirs,
		LocalAddress:  h.mine,
		Address6:      h.theirs6,
		LocalAddress6: h.mine6,
		AS:            h.peer.site.AS,
		Transit:       h.peer.site.transits(),
		ImportLimit:   n.importLimit(h),
	}
}

// importLimit is twice the number of prefixes that a neighbour may send, so a
// site can add zones before all routers know of them.
func (n *network) importLimit(h hop) int {
	count := 0
	for _, s := range n.sites {
		if h.leads(s) {
			count += len(s.owns())
		}
	}
	return max(10, 2*count)
}

// others lists the other sites of which a router is there. A site whose routers are
// all absent announces nothing.
func (n *network) others(self *router) (out []*site) {
	for _, s := range n.sites {
		if s != self.site && slices.ContainsFunc(n.routers, func(r *router) bool { return r.site == s }) {
			out = append(out, s)
		}
	}
	return out
}

// status returns what mesh_status waits for, without the tunnels.
func (n *network) status(self *router) plan.Status {
	out := plan.Status{
		Tunnels: []plan.StatusTunnel{}, Prefixes: []plan.StatusPrefix{},
		SourceNetworks: sorted(self.site.networks), Probe: self.probe,
	}
	linked := n.linked()
	for _, s := range n.others(self) {
		needed := n.transit(self, s, linked)
		for _, x := range s.owns() {
			out.Prefixes = append(out.Prefixes, plan.StatusPrefix{Network: x, Site: s.name, AS: s.AS, Transit: needed})
		}
	}
	order.By(out.Prefixes, func(a, b plan.StatusPrefix) int { return a.Network.Compare(b.Network) })
	return out
}
