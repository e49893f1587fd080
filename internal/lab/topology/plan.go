package topology

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/wgmesh/router/internal/lab/profile"
	"github.com/wgmesh/router/pkg/mesh"
)

// Pools for the links between the sites' gateways and the internet: the first
// that meets nothing of the inventory is taken.
var (
	pools4 = []string{"100.64.0.0/16", "198.19.0.0/16", "100.127.0.0/16", "172.30.0.0/16"}
	pools6 = []string{"fd1a:b000::/48", "fd1a:b001::/48", "fd1a:b002::/48"}
)

// name is what hosts and sites may be called: it becomes part of file names.
var name = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// New plans the lab of that name. The error lists every conflict at once, with
// the host or site and the field.
func New(lab string, inv Inventory) (Topology, error) {
	t := Topology{Lab: lab}
	var bad []error
	want := inv.Vars[inv.Hosts[0]]["mesh_sites"]
	for _, h := range inv.Hosts[1:] {
		if !reflect.DeepEqual(inv.Vars[h]["mesh_sites"], want) {
			bad = append(bad, fmt.Errorf("%s: mesh_sites differs from that of %s; set it once, for the group routers",
				h, inv.Hosts[0]))
		}
	}
	m, err := meshOf(inv)
	if err = errors.Join(append(bad, err)...); err != nil {
		return t, err
	}
	t.Sites = sitesOf(m)
	bad = append(bad, t.addRouters(inv, m))
	t.addNodes()
	bad = append(bad, t.address(), t.link(m), t.number())
	return t, errors.Join(bad...)
}

func (t *Topology) addRouters(inv Inventory, m mesh.Mesh) error {
	var bad []error
	endpoints := map[netip.Addr]string{}
	for _, name := range inv.Hosts {
		r := m.Routers[name]
		h := Host{Name: name, Kind: Router, ID: r.ID, Site: r.Site, Zone: r.Zone, Endpoint: endpoint(r)}
		if other, ok := endpoints[h.Endpoint]; ok && h.Endpoint.IsValid() && m.Routers[other].Site != r.Site {
			bad = append(bad, fmt.Errorf("%s: mesh_endpoint: "+
				"%s is that of %s; the lab maps an endpoint to routers of one site", name, h.Endpoint, other))
		} else {
			endpoints[h.Endpoint] = name
		}
		if err := t.ofSite(r); err != nil { // mesh_plan does not look at one that is absent
			bad = append(bad, fmt.Errorf("%s: %w", name, err))
		} else {
			s, _ := t.Site(r.Site)
			z, _ := s.zone(r.Zone)
			h.Zone = z.Name
		}
		var err error
		if h.Profile, err = profile.Parse(inv.Vars[name]["lab_host"]); err != nil {
			bad = append(bad, ofHost(name, err))
		}
		if h.Profile.Forwarded != (profile.Ports{}) && !h.Endpoint.IsValid() {
			bad = append(bad,
				fmt.Errorf("%s: lab_host.forward_ports: wants mesh_endpoint, the address whose ports they are", name))
		}
		if h.Profile.NoIPv6 && h.Endpoint.Is6() {
			bad = append(bad, fmt.Errorf("%s: lab_host.ipv6: its mesh_endpoint %s is IPv6", name, h.Endpoint))
		}
		t.Hosts = append(t.Hosts, h)
	}
	slices.SortFunc(t.Hosts, func(a, b Host) int { return cmp.Or(a.ID-b.ID, strings.Compare(a.Name, b.Name)) })
	bad = append(bad, t.forward(m))
	return errors.Join(bad...)
}

// forward gives routers that share an endpoint the ports of their tunnels there, or
// those that lab_host says.
func (t *Topology) forward(m mesh.Mesh) error {
	taken := map[netip.AddrPort]string{}
	var bad []error
	for i := range t.Hosts {
		h := &t.Hosts[i]
		said := h.Profile.Forwarded.Last > 0
		if !said && !slices.ContainsFunc(t.Hosts, func(o Host) bool {
			return o.ID != h.ID && h.Endpoint.IsValid() && o.Endpoint == h.Endpoint
		}) {
			continue
		}
		outer, inner := portBases(m, m.Routers[h.Name])
		h.Forwards = h.Profile.Forwarded.All()
		for _, o := range t.Hosts {
			if low, high := min(h.ID, o.ID), max(h.ID, o.ID); !said && o.Endpoint != h.Endpoint { // the tunnel's number
				n := (high-1)*(high-2)/2 + low
				h.Forwards[outer+n] = inner + n
			}
		}
		for _, port := range slices.Sorted(maps.Keys(h.Forwards)) {
			at := netip.AddrPortFrom(h.Endpoint, uint16(port))
			if other, ok := taken[at]; ok {
				bad = append(bad,
					fmt.Errorf("%s: mesh_endpoint: UDP %d of %s is that of %s", h.Name, port, h.Endpoint, other))
				break
			}
			taken[at] = h.Name
		}
	}
	return errors.Join(bad...)
}

// ofHost puts the host's name before each of joined errors.
func ofHost(name string, err error) error {
	var out []error
	for line := range strings.Lines(err.Error()) {
		out = append(out, fmt.Errorf("%s: %s", name, strings.TrimSpace(line)))
	}
	return errors.Join(out...)
}

// zone finds a zone; a router without a zone lives in the site's first one.
func (s Site) zone(name string) (Zone, bool) {
	for _, z := range s.Zones {
		if z.Name == name || name == "" {
			return z, true
		}
	}
	return Zone{}, false
}

func (t *Topology) addNodes() {
	for _, s := range t.Sites {
		for _, z := range s.Zones {
			name := strings.TrimSuffix("node-"+s.Name+"-"+z.Name, "-")
			t.Hosts = append(t.Hosts, Host{Name: name, Kind: Node, Site: s.Name, Zone: z.Name})
		}
	}
}

// address gives every host an address in the first network per family of its zone.
func (t *Topology) address() error {
	a := newAllocator()
	for _, s := range t.Sites {
		for _, z := range s.Zones {
			for i, g := range z.Gateways {
				a.taken[g] = "gateway of " + s.Name
				a.taken[firsts(z.Subnets)[i].Addr()] = "network"
			}
		}
	}
	bad := []error{t.endpoints(), t.first(a)}
	for _, h := range t.Hosts {
		if h.Profile.Client != "" && h.bearsEndpoint() {
			bad = append(bad, fmt.Errorf("%s: lab_host.client: "+
				"its mesh_endpoint %s is an address that only the lab can give it", h.Name, h.Endpoint))
		}
	}
	// Last, so that nobody's address depends on who has a second NIC.
	return errors.Join(append(bad, t.second(a))...)
}

func (t *Topology) endpoints() error {
	var bad []error
	for i := range t.Hosts {
		h := &t.Hosts[i]
		s, ok := t.Site(h.Site)
		if ok && h.Profile.LANGateway {
			bad = append(bad, t.oneLAN(*h, s))
		}
		if !ok || !h.Endpoint.IsValid() {
			continue
		}
		h.NAT = h.Endpoint.Is4()
		if h.Profile.Forwarded != (profile.Ports{}) && !h.NAT {
			bad = append(bad, fmt.Errorf("%s: lab_host.forward_ports: "+
				"its mesh_endpoint %s is not a public IPv4 address", h.Name, h.Endpoint))
		}
	}
	return errors.Join(bad...)
}

func (t *Topology) first(a allocator) error {
	var bad []error
	for i := range t.Hosts {
		h := &t.Hosts[i]
		s, ok := t.Site(h.Site)
		if !ok {
			continue
		}
		z, ok := s.zone(h.Zone)
		if !ok {
			continue
		}
		for i, subnet := range firsts(z.Subnets) {
			bad = append(bad, h.join(a, s, subnet, z.Gateways[i]))
		}
	}
	return errors.Join(bad...)
}

func (h *Host) join(a allocator, s Site, subnet netip.Prefix, gateway netip.Addr) error {
	if h.Profile.LANGateway {
		h.Addresses = []netip.Prefix{netip.PrefixFrom(gateway, subnet.Bits())}
		return nil
	}
	if h.Profile.NoIPv6 && subnet.Addr().Is6() {
		return nil
	}
	addr, err := a.next(subnet, first(h.Kind, subnet.Addr().Is6()), h.Name)
	if err != nil {
		return err
	}
	h.Addresses = append(h.Addresses, s.onHost(addr, subnet))
	h.Gateways = append(h.Gateways, gateway)
	h.Subnets = append(h.Subnets, subnet)
	if h.Profile.DHCP && subnet.Addr().Is4() && !subnet.Contains(gateway) {
		return fmt.Errorf("%s: lab_host.dhcp: its gateway %s is not in %s; write the address down",
			h.Name, gateway, subnet)
	}
	return nil
}

func (t *Topology) second(a allocator) error {
	var bad []error
	for i := range t.Hosts {
		h := &t.Hosts[i]
		s, _ := t.Site(h.Site)
		z, ok := s.zone(h.Zone)
		if !ok || h.Profile.NICs < 2 {
			continue
		}
		for _, subnet := range firsts(z.Subnets)[:len(h.Addresses)] {
			addr, err := a.next(subnet, first(h.Kind, subnet.Addr().Is6()), h.Name)
			bad = append(bad, err)
			h.Second = append(h.Second, s.onHost(addr, subnet))
		}
	}
	return errors.Join(bad...)
}

// oneLAN refuses a site that the lab cannot put behind a router: there it is one
// Ethernet, which has no gateway of the lab's.
func (t Topology) oneLAN(h Host, s Site) error {
	switch {
	case len(t.Routers(s.Name)) > 1:
		return fmt.Errorf("%s: lab_host.lan_gateway: site %s has other routers; it has to be the only one",
			h.Name, s.Name)
	case len(s.Zones) > 1 || len(firsts(s.Zones[0].Subnets)) > 1 || s.Zones[0].Subnets[0].Addr().Is6():
		return fmt.Errorf("%s: lab_host.lan_gateway: want one zone with one IPv4 subnet at site %s", h.Name, s.Name)
	case s.Onlink:
		return fmt.Errorf("%s: lab_host.lan_gateway: site %s is onlink, so it is not a LAN", h.Name, s.Name)
	}
	return nil
}

// isLAN reports whether a site is one Ethernet behind its router.
func (t Topology) isLAN(site string) bool {
	return slices.ContainsFunc(t.Routers(site), func(r Host) bool { return r.Profile.LANGateway })
}

// onHost is an address with the length that a host of the site gives it.
func (s Site) onHost(addr netip.Addr, subnet netip.Prefix) netip.Prefix {
	if s.Onlink {
		return host(addr)
	}
	return netip.PrefixFrom(addr, subnet.Bits())
}

// link numbers the links between the gateways and the internet.
func (t *Topology) link(m mesh.Mesh) error {
	var used []netip.Prefix
	for _, s := range t.Sites {
		used = append(used, s.Networks...)
		for _, z := range s.Zones {
			used = append(used, z.Subnets...)
		}
	}
	for _, h := range t.Hosts {
		if h.Endpoint.IsValid() {
			used = append(used, netip.PrefixFrom(h.Endpoint, h.Endpoint.BitLen()))
		}
	}
	used = append(used, prefixes([]string{m.LinkPool, m.LinkPool6})...)
	var pools []netip.Prefix
	for _, candidates := range [][]string{pools4, pools6} {
		free := slices.IndexFunc(candidates, func(c string) bool {
			return !slices.ContainsFunc(used, netip.MustParsePrefix(c).Overlaps)
		})
		if free < 0 {
			return fmt.Errorf("mesh_sites: the networks cover all of %s, of which the lab needs one",
				strings.Join(candidates, ", "))
		}
		pools = append(pools, netip.MustParsePrefix(candidates[free]))
	}
	for i := range t.Sites {
		s := &t.Sites[i]
		four, six := pools[0].Addr().As4(), pools[1].Addr().As16()
		four[2], four[3] = byte(s.Number/64), byte(s.Number%64*4+1)
		six[6], six[7], six[15] = byte(s.Number>>8), byte(s.Number), 1
		for _, provider := range []netip.Addr{netip.AddrFrom4(four), netip.AddrFrom16(six)} {
			bits := 30
			if provider.Is6() {
				bits = 64
			}
			s.Provider = append(s.Provider, provider)
			s.Wan = append(s.Wan, netip.PrefixFrom(provider.Next(), bits))
		}
		four[2] += 128
		for j := range t.Hosts {
			if h := &t.Hosts[j]; h.Site == s.Name && h.Profile.LANGateway {
				h.Uplink = netip.PrefixFrom(netip.AddrFrom4(four).Next(), 30)
			}
		}
	}
	return nil
}

// number names the interfaces and refuses names that meet.
func (t *Topology) number() error {
	var bad []error
	seen := map[string]string{}
	for _, s := range t.Sites {
		if !name.MatchString(s.Name) {
			bad = append(bad, fmt.Errorf("mesh_sites: %q: want letters, digits, dot, dash and underscore", s.Name))
		}
	}
	for i := range t.Hosts {
		h := &t.Hosts[i]
		if !name.MatchString(h.Name) {
			bad = append(bad, fmt.Errorf("%q: host name: want letters, digits, dot, dash and underscore", h.Name))
		}
		h.Number, h.Port = i+1, h.Name
		if len(h.Name) > 15 || h.Name == "wan" || h.Name == "lo" || h.Hostname() != h.Name {
			h.Port = fmt.Sprintf("h%d", h.Number)
		}
		if other, ok := seen[h.Hostname()]; ok {
			bad = append(bad, fmt.Errorf("%s: its host name %s is that of %s; "+
				"the lab names its nodes node-<site>-<zone>", h.Name, h.Hostname(), other))
		}
		seen[h.Hostname()] = h.Name
	}
	return errors.Join(bad...)
}
