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
		if !o.has(p.Bird.AS) {
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
		if x, err := netip.ParsePrefix(m.Network); err == nil && len(m.Is) == 0 && !slices.ContainsFunc(networks, x.Overlaps) {
			moves[i].Removed = true
			out = append(out, "network "+m.Network)
		}
	}
	order.By(out, cmp.Compare[string])
	return slices.Compact(out)
}

// has reports whether the inventory has a site, by its AS number.
func (o Options) has(as plan.AS) bool {
	for _, s := range o.Sites {
		if s.AS == as {
			return true
		}
	}
	return false
}

// always is a line for each network that nothing reaches any more, and each site that is
// without a router. The model of the mesh that comes knows neither.
func (o Options) always(before, after []plan.Plan, moves []move) []string {
	out := []string{}
	for _, p := range before {
		line := fmt.Sprintf("always: %s reaches nobody, it has no router any more", p.Router.Site)
		if !slices.ContainsFunc(after, func(q plan.Plan) bool { return q.Bird.AS == p.Bird.AS }) &&
			find(after, p.Router.Name).IsZero() && !slices.Contains(out, line) && o.has(p.Bird.AS) {
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

// elsewhere are the networks of other sites.
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

// lost lists what one fault cuts now and did not before, of sites that were there.
func lost(was, is model.Report, before []plan.Plan) []string {
	had := map[string]bool{}
	// A router that was alone in its zone was the zone as well, which is more than one now.
	for _, c := range append(was.Single, was.Healthy) {
		faults := c.Faults
		for _, f := range c.Faults {
			faults = slices.Concat(faults, f.Same)
		}
		for i := range max(1, len(faults)) { // none: in health
			c.Faults = faults[min(i, len(faults)):min(i+1, len(faults))]
			for _, line := range append(cuts(c, model.Fault.String), cuts(c, model.Fault.Key)...) {
				had[line] = true
			}
		}
	}
	there := func(site string) bool {
		return slices.ContainsFunc(before, func(p plan.Plan) bool { return p.Router.Site == site })
	}
	out := []string{}
	for _, c := range append([]model.Case{is.Healthy}, is.Single...) {
		c.Gone = slices.DeleteFunc(slices.Clone(c.Gone), func(site string) bool { return !there(site) })
		c.Cut = slices.DeleteFunc(slices.Clone(c.Cut), func(cut model.Cut) bool { return !there(cut.From) || !there(cut.To) })
		keys := cuts(c, model.Fault.Key)
		for i, line := range cuts(c, model.Fault.String) {
			if !had[line] && !had[keys[i]] {
				out = append(out, line)
			}
		}
	}
	return out
}
