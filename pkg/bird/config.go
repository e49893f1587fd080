package bird

import (
	"net/netip"
	"slices"

	"github.com/wgmesh/router/pkg/mark"
	"github.com/wgmesh/router/pkg/order"
	"github.com/wgmesh/router/pkg/plan"
)

// A Config is one router's routing: what is planned for it, and how to run it. The
// names of its keys are those of the module bird_config.
type Config struct {
	mark.Owner
	plan.Bird
	Drain    plan.Drain `json:"-"`         // ask everyone to use another router
	HoldTime int        `json:"hold_time"` // seconds
	// Unreachable refuses packets to what neighbors' AS own while no neighbor has a
	// way to it (Refused), by routes below BIRD's, which are not BIRD's. Otherwise they
	// go by the host's other routes, which as a rule means out of it, not encrypted.
	Unreachable bool `json:"unreachable"`
	// Local are those networks that the host is connected to by a larger subnet, so
	// that a route to them would beat that one. Resolve finds them.
	Local []netip.Prefix `json:"-"`
	// Version is that of the installed BIRD; none is taken for a BIRD 2.
	Version Version `json:"-"`
}

// SetDefaults fills in the timers.
func (c *Config) SetDefaults() {
	c.BFD = plan.BFD{Interval: 300, Multiplier: 3}
	// BFD finds a dead path in under a second. The hold timer only backs it up, so it may be long
	// enough that a busy daemon is not taken for dead, and far from BIRD's 240 s.
	c.HoldTime = 30
	c.Unreachable = true
}

// Refused lists what the AS of the neighbors own, without what is inside of another
// prefix: the kernel takes the longest match, so the outermost ones refuse all of it.
// Another owner without a session here may be reached by other means.
func (c Config) Refused() []netip.Prefix {
	if !c.Unreachable {
		return nil
	}
	var all, out []netip.Prefix
	for _, o := range c.Owners {
		if o.AS != c.AS && (o.Carried || slices.ContainsFunc(c.Neighbors, func(n plan.Neighbor) bool {
			return n.AS == o.AS
		})) {
			all = append(all, without(o.Networks, c.Local)...)
		}
	}
	order.By(all, netip.Prefix.Compare) // an outer one before those in it
	for _, p := range all {
		if !slices.ContainsFunc(out, func(outer netip.Prefix) bool { return outer.Contains(p.Addr()) }) {
			out = append(out, p)
		}
	}
	return out
}

// Below is what the floor is to have: what is Refused, and all of a family whose table
// plan.OutsideTable has routes.
func (c Config) Below() []netip.Prefix {
	out := c.Refused()
	for _, s := range c.Static {
		if s.Outside {
			out = append(out, netip.PrefixFrom(s.Network.Addr(), 0).Masked())
		}
	}
	return out
}

func without(list, less []netip.Prefix) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(list), func(p netip.Prefix) bool { return slices.Contains(less, p) })
}

func (c Config) hasIPv6() bool {
	return slices.ContainsFunc(c.Neighbors, plan.Neighbor.Dual) ||
		slices.ContainsFunc(c.Static, func(s plan.Static) bool { return s.Network.Addr().Is6() })
}
