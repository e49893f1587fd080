package topology

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// underlay is the largest packet that a cloud carries to the internet whole.
var underlay = map[string]int{"azure": 1400, "gcp": 1460}

// parseSites reads mesh_sites. Every problem is reported, not the first.
func parseSites(v any) ([]Site, error) {
	raw, ok := v.(map[string]any)
	if !ok || len(raw) == 0 {
		return nil, errors.New("mesh_sites: not there; give each site its networks")
	}
	var out []Site
	var bad []error
	for i, name := range slices.Sorted(maps.Keys(raw)) {
		s, err := parseSite(name, i+1, raw[name])
		out, bad = append(out, s), append(bad, err)
	}
	return out, errors.Join(bad...)
}

func parseSite(name string, num int, v any) (Site, error) {
	where := "mesh_sites." + name
	raw, ok := v.(map[string]any)
	if !ok {
		return Site{}, fmt.Errorf("%s: want keys such as networks and zones", where)
	}
	s := Site{Name: name, Number: num, Onlink: truth(raw["onlink"]), MTU: 1500, NIC: 1500}
	cloud := text(raw["cloud"])
	if m, ok := underlay[cloud]; ok {
		s.MTU = m
	}
	if cloud == "gcp" {
		s.NIC = 1460 // what Google's DHCP hands out
	}
	var bad []error
	if raw["mtu"] != nil {
		m, err := number(raw["mtu"])
		if err != nil || m < 576 || m > 65535 {
			bad = append(bad, fmt.Errorf("%s.mtu: %v: want bytes from 576 to 65535", where, raw["mtu"]))
		} else {
			s.MTU, s.NIC = m, max(m, s.NIC)
		}
	}
	var err error
	s.Networks, err = prefixes(where+".networks", raw["networks"])
	bad = append(bad, err)
	gateways, err := addresses(where+".gateway", raw["gateway"])
	bad = append(bad, err)
	zones, err := parseZones(where+".zones", raw["zones"], gateways)
	bad = append(bad, err)
	if len(zones) == 0 {
		subnets := firsts(s.Networks)
		zones = []Zone{{Subnets: subnets, Gateways: gatewaysOf(subnets, gateways)}}
	}
	s.Zones = zones
	if len(s.Networks) == 0 {
		bad = append(bad, fmt.Errorf("%s.networks: want at least one network", where))
	}
	return s, errors.Join(bad...)
}

// parseZones reads zones as {name: [subnets]}, as {name: {subnets, gateway}} or
// as a list of {name, subnets}.
func parseZones(where string, v any, site []netip.Addr) ([]Zone, error) {
	raw := map[string]any{}
	switch v := v.(type) {
	case nil:
		return nil, nil
	case map[string]any:
		raw = v
	case []any:
		for i, e := range v {
			m, ok := e.(map[string]any)
			if !ok || text(m["name"]) == "" {
				return nil, fmt.Errorf("%s[%d]: want a zone with a name", where, i)
			}
			raw[text(m["name"])] = m
		}
	default:
		return nil, fmt.Errorf("%s: want {name: [subnets]}", where)
	}
	var out []Zone
	var bad []error
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		z := Zone{Name: name}
		subnets, gateways := raw[name], site
		var err error
		if m, ok := raw[name].(map[string]any); ok {
			subnets = m["subnets"]
			if subnets == nil {
				subnets = m["networks"]
			}
			if m["gateway"] != nil {
				gateways, err = addresses(where+"."+name+".gateway", m["gateway"])
				bad = append(bad, err)
			}
		}
		z.Subnets, err = prefixes(where+"."+name, subnets)
		bad = append(bad, err)
		if len(z.Subnets) == 0 {
			bad = append(bad, fmt.Errorf("%s.%s: want at least one subnet", where, name))
		}
		z.Gateways = gatewaysOf(firsts(z.Subnets), gateways)
		out = append(out, z)
	}
	return out, errors.Join(bad...)
}

// firsts keeps the first network of each family.
func firsts(all []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range all {
		if !slices.ContainsFunc(out, func(q netip.Prefix) bool { return q.Addr().Is6() == p.Addr().Is6() }) {
			out = append(out, p)
		}
	}
	return out
}

// gatewaysOf gives each subnet the wanted gateway of its family, else its first
// host address.
func gatewaysOf(subnets []netip.Prefix, wanted []netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, p := range subnets {
		gateway := p.Addr().Next()
		for _, a := range wanted {
			if a.Is6() == p.Addr().Is6() {
				gateway = a
			}
		}
		out = append(out, gateway)
	}
	return out
}
