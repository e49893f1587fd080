package mesh

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/plan"
)

// given returns the two addresses of a link and the networks so far with its own: what
// the two ends were given, or l, which follows from the tunnel's number.
func given(self, peer *router, l link, networks []netip.Prefix) (mine, theirs netip.Addr, all []netip.Prefix) {
	mine, theirs = l.ends(self.ID, peer.ID)
	a, b := self.given(peer, l), peer.given(self, l)
	if a.IsValid() && b.IsValid() {
		mine, theirs, l.network = a.Addr(), b.Addr(), a.Masked()
	}
	return mine, theirs, append(networks, l.network)
}

// given is the address that r was given for the link to a peer, of the family of l.
func (r *router) given(peer *router, l link) netip.Prefix {
	for _, a := range r.links[peer.name] {
		if a.Addr().Is4() == l.network.Addr().Is4() {
			return a
		}
	}
	return netip.Prefix{}
}

// parseLinks reads the addresses of links, one per family.
func parseLinks(router string, links map[string]Link, p *Problems) map[string][]netip.Prefix {
	out := map[string][]netip.Prefix{}
	for _, peer := range slices.Sorted(maps.Keys(links)) {
		for _, text := range links[peer].Addresses {
			at := "router " + router + ": links." + peer + ": address"
			a, err := netip.ParsePrefix(strings.TrimSpace(text))
			switch {
			case err != nil || a.Addr().Is4In6():
				p.add("%s %q: expected an address and the length of the link network, such as 192.0.2.1/31", at, text)
			case a.Bits() >= a.Addr().BitLen():
				p.add("%s %s has no room for the other end: "+
					"expected the length of a network that both ends are in, such as /31", at, a)
			case a.Bits() < 8 || unusable(a.Addr()) != "":
				p.add("%s %s is %s: expected one of a link network", at, a,
					cmp.Or(unusable(a.Addr()), "in a network larger than /8"))
			case slices.ContainsFunc(out[peer], func(o netip.Prefix) bool { return o.Addr().Is4() == a.Addr().Is4() }):
				p.add("%s %s is the second of its family: keep one", at, a)
			default:
				out[peer] = append(out[peer], a)
			}
		}
	}
	return out
}

// checkLinks checks the ends of tunnels that do not follow from the numbers: both ends
// have to agree, and no two tunnels of a router may have the same.
func (n *network) checkLinks(p *Problems) {
	for _, r := range n.routers {
		for _, peer := range slices.Sorted(maps.Keys(r.Links)) {
			n.checkLink(r, peer, p)
		}
	}
	if len(*p) > 0 {
		return // what follows compares what can be read
	}
	for _, r := range n.routers {
		n.checkTwins(r, p)
	}
	n.checkBFD(p)
}

// checkBFD finds tunnels that would listen on BIRD's port: without the port either the tunnel or
// the failover is missing, as the one or the other was there first.
func (n *network) checkBFD(p *Problems) {
	for i, a := range n.routers {
		for _, b := range n.routers[i+1:] {
			var at []string
			for _, ends := range [][2]*router{{a, b}, {b, a}} {
				if n.inner(ends[0], ends[1]) == plan.BFDPort && n.joined(a, b) {
					at = append(at, ends[0].name)
				}
			}
			if len(at) > 0 {
				p.add("tunnel %d between %s and %s: UDP %d of %s is BIRD's, for BFD: "+
					"set listen_port in links, or another port_base", plan.Number(a.ID, b.ID), a.name, b.name,
					plan.BFDPort, cause.List(at))
			}
		}
	}
}

// checkLink checks one end by itself, and its addresses against those of the other end.
func (n *network) checkLink(r *router, peer string, p *Problems) {
	at, l := "router "+r.name+": links."+peer, r.Links[peer]
	if _, known := n.Routers[peer]; !known || peer == r.name {
		p.add("router %s: links: %q is no other router: expected one of %s", r.name, peer,
			cause.List(slices.Sorted(maps.Keys(n.Routers))))
		return
	}
	if i := l.Interface; i != "" && (!interfaceName(i) || !strings.HasPrefix(i, n.InterfacePrefix)) {
		p.add("%s: interface %q: expected up to 15 letters, digits, - or _, that begin with interface_prefix, %s", at,
			i, n.InterfacePrefix)
	}
	for _, port := range []int{l.ListenPort, l.EndpointPort} {
		if port < 0 || port > 65535 {
			p.add("%s: port %d: expected 1 to 65535", at, port)
		}
	}
	i := slices.IndexFunc(n.routers, func(o *router) bool { return o.name == peer })
	for _, a := range r.links[peer] {
		for _, s := range n.sites {
			for _, x := range s.networks {
				if a.Overlaps(x) {
					p.add("%s: address %s is in network %s of site %s: expected a network that no site uses", at,
						a, x, s.name)
				}
			}
		}
		if i < 0 {
			continue // absent
		}
		b := n.routers[i].given(r, link{network: a})
		if !b.IsValid() || b.Masked() != a.Masked() || b.Addr() == a.Addr() {
			found := "none"
			if b.IsValid() {
				found = b.String()
			}
			p.add("%s: address %s: router %s has %s in links.%s: expected another one of network %s", at, a, peer,
				found, r.name, a.Masked())
		}
	}
}

// checkTwins finds two tunnels of a router with one interface, port or network.
func (n *network) checkTwins(r *router, p *Problems) {
	if !slices.ContainsFunc(n.routers, func(o *router) bool { return len(o.Links) > 0 }) {
		return // numbers are different
	}
	names, ports, networks := map[string][]string{}, map[int][]string{}, ties{}
	hops := n.links(r)
	for i, h := range hops {
		port := n.inner(r, h.peer)
		names[h.name], ports[port] = append(names[h.name], h.peer.name), append(ports[port], h.peer.name)
		for _, o := range hops[:i] {
			for _, x := range o.networks {
				if slices.ContainsFunc(h.networks, x.Overlaps) {
					networks.add(o.peer.name, h.peer.name, x.String())
				}
			}
		}
	}
	for name, peers := range names {
		if len(peers) > 1 {
			p.add("router %s: the tunnels to %s are all interface %s: give each its own in links",
				r.name, cause.List(peers), name)
		}
	}
	for port, peers := range ports {
		if len(peers) > 1 {
			p.add("router %s: the tunnels to %s all listen on port %d: give each its own in links", r.name,
				cause.List(peers), port)
		}
	}
	for _, x := range networks.all() {
		p.add("router %s: the tunnels to %s all have link network %s: give each its own in links", r.name,
			cause.List(x.names), cause.List(x.what))
	}
}
