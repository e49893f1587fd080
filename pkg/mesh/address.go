package mesh

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
)

// shortest is the length of the largest network that a site is taken to mean. Above
// it a typing error takes over much of the address space.
func shortest(a netip.Addr) int {
	if a.Is4() {
		return 8
	}
	return 16
}

// reserved names the special range that x overlaps, or returns "". Private,
// shared and documentation ranges are ordinary here.
func reserved(x netip.Prefix) string {
	for _, r := range []struct{ network, name string }{
		{"0.0.0.0/8", "this-network addresses"},
		{"127.0.0.0/8", "the loopback range"},
		{"169.254.0.0/16", "the link-local range"},
		{"224.0.0.0/4", "the multicast range"},
		{"240.0.0.0/4", "the reserved class E range"},
		{"::/8", "the reserved range that has loopback in it"},
		{"fe80::/10", "the link-local range"},
		{"ff00::/8", "the multicast range"},
	} {
		if netip.MustParsePrefix(r.network).Overlaps(x) {
			return fmt.Sprintf("%s %s", r.name, r.network)
		}
	}
	return ""
}

// unusable says why a cannot be the address of a router on the internet or in
// a provider's network, or returns "".
func unusable(a netip.Addr) string {
	switch {
	case a.Zone() != "" || a.IsLinkLocalUnicast():
		return "link-local"
	case a.IsUnspecified():
		return "the unspecified address"
	}
	if special := reserved(netip.PrefixFrom(a, a.BitLen())); special != "" {
		return "in " + special
	}
	return ""
}

// gateway is a next hop towards a site's networks. The one without an address is NoGateway.
type gateway struct {
	addr    netip.Addr
	iface   string // empty: the one that the kernel finds
	derived bool   // nobody gave it
}

// NoGateway says that the router is the gateway itself, in the families that no other
// gateway is given for.
const NoGateway = "none"

// parseGateways parses at most one gateway per family, address or address%interface, or NoGateway.
func parseGateways(at string, texts []string, p *Problems) []gateway {
	var out []gateway
	for _, text := range texts {
		addr, iface, _ := strings.Cut(strings.TrimSpace(text), "%")
		if addr == NoGateway && !strings.Contains(text, "%") {
			out = append(out, gateway{})
			continue
		}
		a, err := netip.ParseAddr(addr)
		switch {
		case err != nil || a.Is4In6():
			p.add("%s: gateway is %q: expected an IP address, address%%interface, "+
				"or %s where the router is the gateway itself", at, text, NoGateway)
		case a.IsLinkLocalUnicast() && iface == "":
			p.add("%s: gateway %s is link-local: say on which interface, such as %s%%eth0", at, a, a)
		case !a.IsLinkLocalUnicast() && unusable(a) != "":
			p.add("%s: gateway %s is %s: expected the address of the next hop towards the site's networks", at, a,
				unusable(a))
		case strings.Contains(text, "%") && !interfaceName(iface):
			p.add("%s: gateway %q: %q is not the name of an interface: name that which ip -br link shows", at,
				text, iface)
		case hasFamily(out, a):
			p.add("%s: gateway %s is the second of its family: keep one", at, a)
		default:
			out = append(out, gateway{addr: a, iface: iface})
		}
	}
	return out
}

func hasFamily(gws []gateway, a netip.Addr) bool {
	g, ok := ofFamily(gws, a)
	return ok && g.addr.IsValid()
}

func ofFamily(gws []gateway, a netip.Addr) (g gateway, ok bool) {
	for _, each := range gws {
		if each.addr.IsValid() && each.addr.Is4() == a.Is4() {
			return each, true
		}
		ok = ok || !each.addr.IsValid()
	}
	return gateway{}, ok
}

// firstHost returns the first host address of x. Networks of one or two
// addresses have none: nobody can say which one routes.
func firstHost(x netip.Prefix) (netip.Addr, bool) {
	if x.Bits() >= x.Addr().BitLen()-1 {
		return netip.Addr{}, false
	}
	return x.Addr().Next(), true
}

// gatewayOf returns the next hop of r towards the networks of its site of the
// family of a: the router's own gateway, else its zone's, else its site's, else
// the first host address of the first network of its zone, else of its site.
func gatewayOf(r *router, a netip.Addr) (gateway, bool) {
	lists := [][]gateway{r.gateways, nil, r.site.gateways}
	nets := r.site.networks
	if z := r.zone(); z != nil {
		lists[1] = z.gateways
		nets = append(append([]netip.Prefix{}, z.networks...), nets...)
	}
	for _, l := range lists {
		if g, ok := ofFamily(l, a); ok {
			return g, true
		}
	}
	for _, x := range nets {
		if x.Addr().Is4() != a.Is4() {
			continue
		}
		if host, ok := firstHost(x); ok {
			return gateway{addr: host, derived: true}, true
		}
	}
	return gateway{}, false
}

// link is one network between two routers: the lower id has the address low.
type link struct {
	network   netip.Prefix
	low, high netip.Addr
}

// ends returns the addresses of this router and of its peer.
func (l link) ends(self, peer int) (mine, theirs netip.Addr) {
	if self < peer {
		return l.low, l.high
	}
	return l.high, l.low
}

// link4 returns IPv4 link network number n of the pool. A /31 has no network
// address (RFC 3021), any larger one skips it.
func link4(pool netip.Prefix, length, n int) link {
	start := pool.Addr().As4()
	first := binary.BigEndian.Uint32(start[:]) + uint32(n)<<(32-length)
	at := func(offset uint32) netip.Addr {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], first+offset)
		return netip.AddrFrom4(b)
	}
	l := link{network: netip.PrefixFrom(at(0), length), low: at(0), high: at(1)}
	if length < 31 {
		l.low, l.high = at(1), at(2)
	}
	return l
}

// link6 returns IPv6 link network number n of the pool, a /127 (RFC 6164).
func link6(pool netip.Prefix, n int) link {
	b := pool.Addr().As16()
	low := binary.BigEndian.Uint64(b[8:]) + uint64(n)*2
	binary.BigEndian.PutUint64(b[8:], low)
	l := link{low: netip.AddrFrom16(b)}
	l.high = l.low.Next()
	l.network = netip.PrefixFrom(l.low, 127)
	return l
}

// holds reports whether the pool has a link network of that number and length.
func holds(pool netip.Prefix, length, n int) bool {
	bits := length - pool.Bits()
	return bits >= 0 && (bits >= 31 || n < 1<<bits)
}
