package meshpreview

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/model"
	"github.com/wgmesh/router/pkg/order"
	"github.com/wgmesh/router/pkg/plan"
)

// A move is traffic that takes another way when all works, or none any more.
type move struct {
	Router  string   `json:"router"`
	Network string   `json:"network"`
	Was     []string `json:"was"`
	Is      []string `json:"is"` // empty: cut, or the network is removed
	Removed bool     `json:"removed"`
}

// removed marks the traffic to networks that the inventory has no more, not even a part of
// them, and is a line for each of these and for each site that it has no more.
func (o Options) removed(before []plan.Plan, moves []move) []string {
	out := []string{}
	for _, p := range before {
		if _, there := o.Sites[p.Router.Site]; !there {
			out = append(out, "site "+p.Router.Site)
		}
	}
	var networks []netip.Prefix
	for _, s := range o.Sites {
		for _, text := range s.Networks {
			if x, err := netip.ParsePrefix(strings.TrimSpace(text)); err == nil {
				networks = append(networks, x)
			}
		}
	}
	for i, m := range moves {
		if x, err := netip.ParsePrefix(m.Network); err == nil && len(m.Is) == 0 &&
			!slices.ContainsFunc(networks, x.Overlaps) {
			moves[i].Removed = true
			out = append(out, "network "+m.Network)
		}
	}
	order.By(out, cmp.Compare[string])
	return slices.Compact(out)
}

// always is a line for each network that nothing reaches any more, and each site that is
// without a router. The model of the mesh that comes knows neither.
func (o Options) always(before, after []plan.Plan, moves []move) []string {
	out := []string{}
	for _, p := range before {
		line := fmt.Sprintf("always: %s reaches nobody, it has no router any more", p.Router.Site)
		_, there := o.Sites[p.Router.Site]
		if there && !slices.Contains(out, line) &&
			!slices.ContainsFunc(after, func(q plan.Plan) bool { return q.Router.Site == p.Router.Site }) {
			out = append(out, line)
		}
	}
	var networks []string
	who := map[string][]string{}
	for _, m := range moves {
		if len(m.Is) > 0 || m.Removed {
			continue
		}
		if who[m.Network] == nil {
			networks = append(networks, m.Network)
		}
		who[m.Network] = append(who[m.Network], m.Router)
	}
	for _, n := range networks {
		out = append(out, fmt.Sprintf("always: no way any more to %s from %s", n, strings.Join(who[n], ", ")))
	}
	return out
}

// moves compares the ways to each network of both inventories. One that the other inventory
// only has in parts is left to these.
func moves(before, after []plan.Plan, was, is *model.View) []move {
	out := []move{}
	for _, p := range before {
		q := find(after, p.Router.Name)
		if q.IsZero() {
			continue
		}
		old, now := elsewhere(p), elsewhere(q)
		both := slices.Concat(old, now)
		order.By(both, netip.Prefix.Compare)
		for _, network := range slices.Compact(both) {
			if parted(network, old) || parted(network, now) {
				continue
			}
			a, why := was.Way(p.Router.Name, network)
			if why != "" {
				continue
			}
			b, why := is.Way(p.Router.Name, network)
			if why != "" {
				b = []string{}
			}
			if !slices.Equal(a, b) {
				out = append(out, move{Router: p.Router.Name, Network: network.String(), Was: a, Is: b})
			}
		}
	}
	return out
}

func elsewhere(p plan.Plan) (out []netip.Prefix) {
	for _, owner := range p.Bird.Owners {
		if owner.AS != p.Bird.AS {
			out = append(out, owner.Networks...)
		}
	}
	return out
}

// parted reports whether list has a network in parts, all of it, and not as a whole.
func parted(network netip.Prefix, list []netip.Prefix) bool {
	return !holds(list, network) && covers(list, network)
}

func holds(list []netip.Prefix, network netip.Prefix) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool {
		return p.Bits() <= network.Bits() && p.Contains(network.Addr())
	})
}

// covers reports whether each address of a network is in one of list.
func covers(list []netip.Prefix, network netip.Prefix) bool {
	if holds(list, network) {
		return true
	}
	if !slices.ContainsFunc(list, func(p netip.Prefix) bool { return network.Contains(p.Addr()) }) {
		return false
	}
	half := network.Bits()
	upper := network.Addr().AsSlice()
	upper[half/8] |= 0x80 >> (half % 8)
	second, _ := netip.AddrFromSlice(upper)
	return covers(list, netip.PrefixFrom(network.Addr(), half+1)) && covers(list, netip.PrefixFrom(second, half+1))
}

// A loss is a site, or what a router of it sends to another one, that a fault takes away.
type loss struct{ fault, site, router, to string }

// lost lists what one fault cuts now and did not before, of sites and routers that were there.
// A fault that the mesh before had not is held against all of its kind: what takes the place of
// two may be as new as what comes beside them.
func lost(was, is model.Report, before []plan.Plan) []string {
	known, had := map[string]bool{"": true}, map[loss]bool{} // no fault: health
	for _, c := range append(was.Single, was.Healthy) {
		names := []string{""}
		// A router that was alone in its zone was the zone as well, which is more than one now.
		for _, f := range c.Faults {
			names = []string{f.Key(), f.Kind}
			for _, g := range f.Same {
				names = append(names, g.Key(), g.Kind)
			}
		}
		for _, name := range names {
			known[name] = true
			for _, site := range c.Gone {
				had[loss{name, site, "", ""}] = name != model.SiteFault // each takes itself away
			}
			for _, cut := range c.Cut {
				had[loss{name, cut.From, "", cut.To}] = had[loss{name, cut.From, "", cut.To}] || cut.Whole
				for _, r := range cut.Routers {
					had[loss{name, cut.From, r, cut.To}] = true
				}
			}
		}
	}
	there := map[plan.Self]bool{}
	for _, p := range before {
		there[plan.Self{Name: p.Router.Name}], there[plan.Self{Site: p.Router.Site}] = true, true
	}
	out := []string{}
	for _, c := range append([]model.Case{is.Healthy}, is.Single...) {
		name := ""
		for _, f := range c.Faults {
			if name = f.Key(); !known[name] {
				name = f.Kind
			}
		}
		gone := func(s string) bool { return !there[plan.Self{Site: s}] || had[loss{name, s, "", ""}] }
		var left []model.Cut
		for _, cut := range c.Cut {
			if gone(cut.From) || gone(cut.To) || had[loss{name, cut.From, "", cut.To}] {
				continue
			}
			if !cut.Whole {
				cut.Routers = slices.DeleteFunc(slices.Clone(cut.Routers), func(r string) bool {
					return !there[plan.Self{Name: r}] || had[loss{name, cut.From, r, cut.To}]
				})
			}
			if len(cut.Routers) > 0 {
				left = append(left, cut)
			}
		}
		c.Cut, c.Gone = left, slices.DeleteFunc(slices.Clone(c.Gone), gone)
		out = append(out, cuts(c)...)
	}
	return out
}
