package preflight

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/order"
)

// addresses asks whether the link networks of the tunnels are already those of
// somebody else on this host, or hide something that it needs.
func addresses(w Want, h Have) []finding {
	var out groups
	for _, t := range w.Plan.Tunnels {
		for _, a := range t.Addresses {
			n, pool := a.Masked(), "mesh_link_pool"
			if a.Addr().Is6() {
				pool += "6"
			}
			if dev, subnet, found := h.subnet(n); found {
				if subnet.Addr() == a.Addr() {
					out.add(dev+a.String(), never(cause.New("%s's address %s is on %s: "+
						"remove it there, or set another %s", t.Name, a.Addr(), dev, pool)))
				} else {
					out.add(dev+subnet.String(), refuse(cause.New("%s's network %s overlaps with %s of %s: "+
						"set another %s", t.Name, n, subnet.Masked(), dev, pool)))
				}
				continue
			}
			if r, found := h.route(n); found {
				f := refuse(cause.New("%s's network %s overlaps with the route to %s by %s on %s: "+
					"set another %s", t.Name, n, r.Network, r.Owner, r.Dev, pool))
				// One that covers the link network loses two addresses, and no more.
				f.harmless = r.Network.Bits() < n.Bits()
				out.add(r.Dev+r.Network.String(), f)
			}
			for _, needed := range sortedAddresses(h.Needed) {
				if n.Contains(needed) {
					out.add(needed.String(), refuse(cause.New("%s's network %s hides %s, %s: set another %s",
						t.Name, n, needed, h.Needed[needed], pool)))
				}
			}
		}
	}
	return out.findings
}

// groups tells once what is so for many.
type groups struct {
	findings []finding
	seen     []string
}

// add adds the first finding of a group.
func (g *groups) add(group string, f finding) {
	if !slices.Contains(g.seen, group) {
		g.findings = append(g.findings, f)
		g.seen = append(g.seen, group)
	}
}

func sortedAddresses(m map[netip.Addr]string) []netip.Addr {
	out := slices.Collect(maps.Keys(m))
	order.By(out, netip.Addr.Compare)
	return out
}
