package mesh

import (
	"cmp"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strconv"

	"github.com/wgmesh/router/pkg/order"

	"github.com/wgmesh/router/pkg/plan"
)

// What WireGuard adds to a packet: 32 bytes of its own, 8 of UDP, and the IP header, 20 or 40.
const (
	overhead4 = 60
	overhead6 = 80
)

// Underlay returns the MTU of a cloud's network in bytes, and whether the
// cloud is known. Azure 1400 leaves room for its own encapsulation.
func Underlay(cloud string) (mtu int, known bool) {
	switch cloud {
	case "azure":
		return 1400, true
	case "gcp":
		return 1460, true
	case "aws", "other", "":
		return 1500, true
	}
	return 1500, false
}

// Warnings are about what works in the mesh and is seldom meant, sorted, one line
// each. They are the same for all routers.
func (m Mesh) Warnings() []string {
	var p Problems
	n := parse(m, &p)
	check(n, &p)
	var out []string
	for _, w := range n.warned {
		out = append(out, w.String())
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Plan returns what follows from the mesh for the router of that name. When the mesh cannot work,
// or the router is not in it, the error is Problems with everything that is wrong.
func (m Mesh) Plan(name string) (plan.Plan, error) {
	var p Problems
	n := parse(m, &p)
	check(n, &p)
	i := slices.IndexFunc(n.routers, func(r *router) bool { return r.name == name })
	switch r, listed := m.Routers[name]; {
	case name == "":
		p.add("router: it is empty: name the router whose plan is wanted")
	case !listed:
		p.add("router: %q is not among the routers: expected one of %s", name,
			choices(slices.Sorted(maps.Keys(m.Routers))))
	case r.State == StateAbsent:
		p.add("router: %q is absent, so it has no plan: leave it out of the run, or set its state to present", name)
	}
	if err := p.err(); err != nil {
		return plan.Plan{}, err
	}
	return n.plan(n.routers[i]), nil
}

// Plans returns the plans of all routers that are present, by id. When the mesh cannot
// work the error is Problems.
func (m Mesh) Plans() ([]plan.Plan, error) {
	var p Problems
	n := parse(m, &p)
	check(n, &p)
	if err := p.err(); err != nil {
		return nil, err
	}
	out := make([]plan.Plan, 0, len(n.routers))
	for _, r := range n.routers {
		out = append(out, n.plan(r))
	}
	return out, nil
}

func (n *network) plan(self *router) plan.Plan {
	out := plan.Plan{
		Router:        plan.Self{Name: self.name, ID: self.ID, Site: self.site.name, Zone: self.Zone, AS: self.site.AS},
		Tunnels:       []plan.Tunnel{},
		PresharedKeys: []plan.PresharedKey{},
		Bird:          n.bird(self),
		Sysctl:        plan.Sysctl{IPv6: n.dual, ReservedPorts: []int{}, Interfaces: []string{}},
		Status:        n.status(self),
		Measure:       plan.Measure{Tunnels: []plan.MeasureTunnel{}},
		Gate:          plan.Gate{Peers: []plan.GatePeer{}, Removed: n.removed(), Apart: n.apart(self)},
	}
	for _, l := range n.links(self) {
		out.Tunnels = append(out.Tunnels, n.wireguard(l))
		out.PresharedKeys = append(out.PresharedKeys, plan.PresharedKey{
			Number: l.number, Peer: l.peer.name, Role: role(self, l.peer), Interface: self.Links[l.peer.name].Interface,
		})
		out.Bird.Neighbors = append(out.Bird.Neighbors, n.neighbor(l))
		out.Sysctl.ReservedPorts = append(out.Sysctl.ReservedPorts, n.inner(self, l.peer))
		out.Sysctl.Interfaces = append(out.Sysctl.Interfaces, l.name)
		out.Status.Tunnels = append(out.Status.Tunnels, plan.StatusTunnel{
			Name: l.name, Peer: l.peer.name, Neighbor: l.peer.protocol, Address: l.theirs,
			Endpoint: n.at(l.peer, self), MTU: l.mtu, AS: l.peer.site.AS,
			ListenPort: out.Tunnels[len(out.Tunnels)-1].ListenPort,
			Networks:   sorted(l.peer.site.networks), Probe: l.peer.probe,
		})
		if role(self, l.peer) == "initiator" {
			out.Measure.Tunnels = append(out.Measure.Tunnels, plan.MeasureTunnel{
				Name: l.name, Peer: l.peer.name, Address: l.theirs, Endpoint: n.at(l.peer, self).Addr(),
			})
		}
		if key := PlainHostKey(l.peer.HostKey); key != "" {
			out.Gate.Peers = append(out.Gate.Peers, plan.GatePeer{Name: l.peer.name, HostKey: key})
		}
	}
	out.Failover = n.failover(self)
	return out
}

// removed lists the absent routers by name.
func (n *network) removed() []plan.GateRemoved {
	out := []plan.GateRemoved{}
	for _, name := range slices.Sorted(maps.Keys(n.Routers)) {
		if r := n.Routers[name]; r.State == StateAbsent {
			out = append(out, plan.GateRemoved{Name: name, ID: r.ID, HostKey: PlainHostKey(r.HostKey)})
		}
	}
	return out
}

// apart lists the present routers that have no tunnel to this one.
func (n *network) apart(self *router) (out []plan.GateRemoved) {
	for _, r := range n.routers {
		if r != self && !n.joined(self, r) {
			out = append(out, plan.GateRemoved{Name: r.name, ID: r.ID})
		}
	}
	return out
}

// A hop is one tunnel seen from this router.
type hop struct {
	number         int
	name           string
	self, peer     *router
	networks       []netip.Prefix // the link networks, IPv4 first
	mine, theirs   netip.Addr
	mine6, theirs6 netip.Addr // zero without IPv6
	mtu            int
}

func (n *network) links(self *router) []hop {
	var out []hop
	for _, peer := range n.routers {
		if !n.joined(self, peer) {
			continue
		}
		num := plan.Number(self.ID, peer.ID)
		h := hop{
			number: num, name: cmp.Or(self.Links[peer.name].Interface, n.tunnel(num)),
			self: self, peer: peer,
			mtu: min(outside(self.site), outside(peer.site)) - n.overhead(self, peer),
		}
		l := link4(n.pool, n.LinkPrefixLength, num)
		h.mine, h.theirs, h.networks = given(self, peer, l, nil)
		if n.dual {
			l = link6(n.pool6, num)
			h.mine6, h.theirs6, h.networks = given(self, peer, l, h.networks)
		}
		out = append(out, h)
	}
	order.By(out, func(a, b hop) int { return a.number - b.number })
	return out
}

func (n *network) tunnel(number int) string { return n.InterfacePrefix + strconv.Itoa(number) }

// overhead returns what the tunnel between two routers adds to a packet, in bytes.
func (n *network) overhead(a, b *router) int {
	if n.at(a, b).Addr().Is6() || n.at(b, a).Addr().Is6() {
		return overhead6
	}
	return overhead4
}

// outside returns the MTU of a site's network outside the tunnels.
func outside(s *site) int {
	if s.MTU != 0 {
		return s.MTU
	}
	cloud, _ := Underlay(s.Cloud)
	return cloud
}

// role says who makes the pre-shared key of a tunnel: the lower id.
func role(self, peer *router) string {
	if self.ID < peer.ID {
		return "initiator"
	}
	return "responder"
}

// wireguard returns one tunnel for wg_tunnel.
func (n *network) wireguard(h hop) plan.Tunnel {
	peer := plan.Peer{
		Name:                h.peer.name,
		Endpoint:            n.at(h.peer, h.self),
		AllowedIPs:          sorted(append(n.behind(h), h.networks...)),
		PersistentKeepalive: n.PersistentKeepalive,
		PresharedKeyFile:    path.Join(n.PresharedKeyDirectory, strconv.Itoa(h.number)+".psk"),
	}
	addresses := []netip.Prefix{netip.PrefixFrom(h.mine, h.networks[0].Bits())}
	if n.dual {
		addresses = append(addresses, netip.PrefixFrom(h.mine6, h.networks[1].Bits()))
	}
	return plan.Tunnel{
		Name: h.name, ListenPort: n.inner(h.self, h.peer), Addresses: addresses,
		MTU: h.mtu, Peers: []plan.Peer{peer},
	}
}

// behind lists the site networks that may arrive from a peer, and be sent to it. From a router of
// this site: all, since it carries what comes from and goes to other sites. From another site: its
// own, and when it may be transit also the third sites', but never our own, which no peer may be a
// source of.
func (n *network) behind(h hop) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range n.sites {
		if h.leads(s) {
			out = append(out, s.networks...)
		}
	}
	return out
}

// leads reports whether the tunnel may carry what goes to a site.
func (h hop) leads(to *site) bool {
	inside, third := h.peer.site == h.self.site, h.peer.site.transits() && to != h.self.site
	return inside || to == h.peer.site || third
}

// transits reports whether the site may carry traffic between two others.
func (s *site) transits() bool { return s.Transit == nil || *s.Transit }

// sorted returns the prefixes in order, each once: IPv4 first, then by address and length.
func sorted(prefixes []netip.Prefix) []netip.Prefix {
	out := append([]netip.Prefix{}, prefixes...)
	order.By(out, netip.Prefix.Compare)
	return slices.Compact(out)
}
