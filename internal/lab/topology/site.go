package topology

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/mesh"
)

// settings are options of mesh_plan that an inventory may set, by its variables.
var settings = map[string]string{
	"link_pool": "mesh_link_pool", "link_prefix_length": "mesh_link_prefix_length", "link_pool6": "mesh_link_pool6",
	"port_base": "mesh_port_base", "interface_prefix": "mesh_interface_prefix",
	"persistent_keepalive": "mesh_keepalive", "bfd": "mesh_bfd",
}

// meshOf is the inventory as mesh_plan reads it, and refuses what mesh_plan refuses.
func meshOf(inv Inventory) (mesh.Mesh, error) {
	common := inv.Vars[inv.Hosts[0]]
	routers := map[string]any{}
	options := map[string]any{"routers": routers, "sites": common["mesh_sites"]}
	for option, variable := range settings {
		if v := common[variable]; v != nil {
			options[option] = v
		}
	}
	for _, h := range inv.Hosts {
		router := map[string]any{}
		for _, f := range reflect.VisibleFields(reflect.TypeFor[mesh.Router]()) {
			if v := inv.Vars[h]["mesh_"+f.Tag.Get("json")]; v != nil {
				router[f.Tag.Get("json")] = v
			}
		}
		routers[h] = router
	}
	var m mesh.Mesh
	raw, err := json.Marshal(options)
	if err == nil {
		err = ansible.Decode(raw, &m)
	}
	return m, err
}

// sitesOf are the sites of a mesh that is well.
func sitesOf(m mesh.Mesh) (out []Site) {
	for i, name := range slices.Sorted(maps.Keys(m.Sites)) {
		in := m.Sites[name]
		mtu, _ := mesh.Underlay(in.Cloud)
		s := Site{Name: name, Number: i + 1, Onlink: in.OnLink, MTU: mtu, NIC: 1500, Networks: prefixes(in.Networks)}
		if in.Cloud == "gcp" {
			s.NIC = 1460 // what Google's DHCP hands out
		}
		if in.MTU > 0 {
			s.MTU, s.NIC = in.MTU, max(in.MTU, s.NIC)
		}
		for _, name := range slices.Sorted(maps.Keys(in.Zones)) {
			z := Zone{Name: name, Subnets: prefixes(in.Zones[name].Networks)}
			z.Gateways = gatewaysOf(firsts(z.Subnets), slices.Concat(in.Gateway, in.Zones[name].Gateway))
			s.Zones = append(s.Zones, z)
		}
		if len(s.Zones) == 0 {
			subnets := firsts(s.Networks)
			s.Zones = []Zone{{Subnets: subnets, Gateways: gatewaysOf(subnets, in.Gateway)}}
		}
		out = append(out, s)
	}
	return out
}

func prefixes(texts []string) (out []netip.Prefix) {
	for _, text := range texts {
		out = append(out, netip.MustParsePrefix(strings.TrimSpace(text)))
	}
	return out
}

func firsts(all []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range all {
		if !slices.ContainsFunc(out, func(q netip.Prefix) bool { return q.Addr().Is6() == p.Addr().Is6() }) {
			out = append(out, p)
		}
	}
	return out
}

// gatewaysOf gives each subnet the last of the wanted gateways of its family, else its
// first host address.
func gatewaysOf(subnets []netip.Prefix, wanted []string) []netip.Addr {
	var out []netip.Addr
	for _, p := range subnets {
		gateway := p.Addr().Next()
		for _, text := range wanted {
			text, _, _ := strings.Cut(strings.TrimSpace(text), "%")
			if a, err := netip.ParseAddr(text); err == nil && a.Is6() == p.Addr().Is6() { // not mesh.NoGateway
				gateway = a
			}
		}
		out = append(out, gateway)
	}
	return out
}

func endpoint(r mesh.Router) netip.Addr {
	a, _ := netip.ParseAddr(strings.Trim(strings.TrimSpace(r.Endpoint), "[]"))
	return a.Unmap()
}

// portBases are the first UDP ports of a router outside and inside of its NAT.
func portBases(m mesh.Mesh, r mesh.Router) (outer, inner int) {
	outer = m.PortBase
	if r.EndpointPortBase > 0 {
		outer = r.EndpointPortBase
	}
	if inner = outer; r.ListenPortBase > 0 {
		inner = r.ListenPortBase
	}
	return outer, inner
}

// ofSite refuses sites of which the lab cannot make anything.
func (t Topology) ofSite(r mesh.Router) error {
	s, ok := t.Site(r.Site)
	if !ok {
		return fmt.Errorf("mesh_site: %q is not in mesh_sites", r.Site)
	}
	if _, ok := s.zone(r.Zone); !ok {
		return fmt.Errorf("mesh_zone: %q is not a zone of %s", r.Zone, r.Site)
	}
	return nil
}
