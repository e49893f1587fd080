package bird

import (
	"net/netip"
	"slices"

	"github.com/wgmesh/router/pkg/mark"
	"github.com/wgmesh/router/pkg/order"
)

// A Config is one router's routing: who it is, what it announces, whom it
// talks to and whose prefixes it believes. The names of its keys are those of
// the module bird_config.
type Config struct {
	mark.Owner
	RouterID  netip.Addr     `json:"router_id"` // written as an IPv4 address, unique in the mesh
	AS        int            `json:"as"`
	Transit   bool           `json:"transit"`  // this site carries prefixes of third sites
	Networks  []netip.Prefix `json:"networks"` // the router's own address in them is the source of its packets
	Static    []Static       `json:"static"`
	Originate []Originate    `json:"originate"`
	Owners    []Owner        `json:"owners"`
	Neighbors []Neighbor     `json:"neighbors"`
	BFD       BFD            `json:"bfd"`
	Drain     bool           `json:"drain"`     // ask everyone to use another router
	HoldTime  int            `json:"hold_time"` // seconds
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
	c.BFD = BFD{Interval: 300, Multiplier: 3}
	// BFD finds a dead path in under a second. The hold timer only backs it
	// up, so it may be long enough that a busy daemon is not taken for dead,
	// and far from BIRD's 240 s.
	c.HoldTime = 30
	c.Unreachable = true
}

// A Static is a route into the router's own site, via a gateway, or straight
// out of Interface when Via is the zero address. Resolve finds the interface of a
// Connected one, and Via of one that goes Outside.
type Static struct {
	Network netip.Prefix `json:"network"`
	Via     netip.Addr   `json:"via"`
	// OnLink takes the gateway as reachable although no subnet of the host
	// holds it and although it may not answer ARP.
	OnLink    bool   `json:"onlink"`
	Interface string `json:"interface"` // empty: BIRD's choice, or Resolve's with OnLink
	// Connected says that the host itself is the gateway: the network is on its own
	// interfaces.
	Connected bool `json:"connected"`
	// Derived says that nobody gave Via. It is taken for a guess.
	Derived bool `json:"derived"`
	// Outside says that the way is the host's default route: what tunnels are made of.
	Outside bool `json:"outside"`
}

// An Originate is a prefix that is announced while a static route to it
// stands. Among the routers of one site the lowest MED is preferred.
type Originate struct {
	Network netip.Prefix `json:"network"`
	MED     int          `json:"med"`
}

// An Owner lists every prefix that may have AS as its origin: these and no
// more specific ones.
type Owner struct {
	AS       int            `json:"as"`
	Site     string         `json:"site"`
	Networks []netip.Prefix `json:"networks"`
	// Carried says that there is no session with the owner, and that a neighbor carries
	// the traffic all the same, so that it counts as a neighbor for Unreachable.
	Carried bool `json:"carried"`
}

// A Neighbor is one BGP session over one tunnel. It carries IPv6 routes too
// when both IPv6 addresses are given.
type Neighbor struct {
	Name          string     `json:"name"`   // of the protocol in BIRD
	Router        string     `json:"router"` // as the inventory calls it
	Interface     string     `json:"interface"`
	Address       netip.Addr `json:"address"`
	LocalAddress  netip.Addr `json:"local_address"`
	Address6      netip.Addr `json:"address6"`
	LocalAddress6 netip.Addr `json:"local_address6"`
	AS            int        `json:"as"`
	Transit       bool       `json:"transit"`      // believe it about prefixes of third sites
	ImportLimit   int        `json:"import_limit"` // routes per family; 0: twice what all owners have
}

// BFD is the pace of failure detection: a path is dead after Multiplier
// intervals without a packet.
type BFD struct {
	Interval   int `json:"interval"` // milliseconds
	Multiplier int `json:"multiplier"`
}

func (n Neighbor) dual() bool { return n.Address6.IsValid() && n.LocalAddress6.IsValid() }

// Refused lists what the AS of the neighbors own, without what is inside of another
// prefix: the kernel takes the longest match, so the outermost ones refuse all of it.
// Another owner without a session here may be reached by other means.
func (c Config) Refused() []netip.Prefix {
	if !c.Unreachable {
		return nil
	}
	var all, out []netip.Prefix
	for _, o := range c.Owners {
		if o.AS != c.AS && (o.Carried || slices.ContainsFunc(c.Neighbors, func(n Neighbor) bool { return n.AS == o.AS })) {
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

func without(list, less []netip.Prefix) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(list), func(p netip.Prefix) bool { return slices.Contains(less, p) })
}

// hasIPv6 tells whether anything in the configuration needs IPv6 routes.
func (c Config) hasIPv6() bool {
	for _, n := range c.Neighbors {
		if n.dual() {
			return true
		}
	}
	for _, s := range c.Static {
		if s.Network.Addr().Is6() {
			return true
		}
	}
	return false
}
