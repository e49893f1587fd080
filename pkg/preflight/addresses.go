package preflight

import (
	"fmt"
	"net/netip"
	"slices"
)

const otherPool = "choose another mesh_link_pool"

// addresses asks whether the link networks of the tunnels are already those of
// somebody else on this host, or hide something that it needs.
func addresses(w Want, h Have) []Finding {
	var out groups
	for _, t := range w.Plan.Tunnels {
		for _, a := range t.Addresses {
			n, pool := a.Masked(), otherPool
			if a.Addr().Is6() {
				pool += "6"
			}
			if dev, subnet, found := h.subnet(n); found {
				if subnet.Addr() == a.Addr() {
					out.add(Finding{Cause: fmt.Sprintf("%s's address %s is on %s", t.Name, a.Addr(), dev), Do: "remove it there, or " + pool})
				} else {
					out.addTo(dev+subnet.String(), Finding{Cause: fmt.Sprintf("%s's network %s overlaps with %s's %s", t.Name, n, dev, subnet.Masked()), Do: pool})
				}
				continue
			}
			i := slices.IndexFunc(h.Routes, func(r Route) bool { return r.Network.Overlaps(n) })
			if i >= 0 {
				r := h.Routes[i]
				// One that covers the link network loses two addresses, and no more.
				out.addTo(r.Dev+r.Network.String(), Finding{
					Cause: fmt.Sprintf("%s's network %s overlaps with the route %s dev %s (%s)", t.Name, n, r.Network, r.Dev, r.Owner), Do: pool,
					Harmless: r.Network.Bits() < n.Bits(),
				})
			}
			for _, resolver := range sortedAddresses(h.Resolvers) {
				if n.Contains(resolver) {
					out.add(Finding{Cause: fmt.Sprintf("%s's network %s has this host's name server %s (%s)", t.Name, n, resolver, h.Resolvers[resolver]), Do: pool})
				}
			}
		}
	}
	return out.findings
}

// groups tells once what is so for many.
type groups struct {
	findings []Finding
	seen     map[string]bool
}

func (g *groups) add(f Finding) { g.findings = append(g.findings, f) }

// addTo adds the first finding of a group.
func (g *groups) addTo(group string, f Finding) {
	if g.seen == nil {
		g.seen = map[string]bool{}
	}
	if !g.seen[group] {
		g.add(f)
	}
	g.seen[group] = true
}

func sortedAddresses(m map[netip.Addr]string) []netip.Addr {
	var out []netip.Addr
	for a := range m {
		out = append(out, a)
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out
}
