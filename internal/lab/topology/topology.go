// Package topology turns an Ansible inventory into the lab's network: which sites, hosts, links and
// addresses there are, and the ip(8), nft(8), ssh and inventory texts that make them. It is pure:
// it reads and runs nothing, and the same inventory gives the same network every time.
package topology

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/wgmesh/router/internal/lab/profile"
	"github.com/wgmesh/router/pkg/inventory"
)

// Kinds of hosts.
const (
	Router = "router" // a host of the inventory: a booted Linux
	Node   = "node"   // a host behind the routers, one per zone: sshd and ping
)

// Topology is one lab. It is kept as JSON while the lab lives.
type Topology struct {
	Lab   string `json:"lab"`
	Sites []Site `json:"sites"` // sorted by name
	Hosts []Host `json:"hosts"` // routers by id, then nodes by name
}

// Site is one site with its own gateway namespace.
type Site struct {
	Name     string         `json:"name"`
	Number   int            `json:"number"` // from 1, in order of the names
	Networks []netip.Prefix `json:"networks"`
	Zones    []Zone         `json:"zones"`
	Onlink   bool           `json:"onlink,omitempty"`
	MTU      int            `json:"mtu"`     // of the site's link to the internet, bytes
	NIC      int            `json:"nic_mtu"` // of a host's interface, bytes
	Wan      []netip.Prefix `json:"wan"`     // the gateway's addresses on the internet link
	Provider []netip.Addr   `json:"provider"`
}

// Zone is a failure domain: its subnets and, per family, their gateways.
type Zone struct {
	Name     string         `json:"name"` // empty: the site has no zones
	Subnets  []netip.Prefix `json:"subnets"`
	Gateways []netip.Addr   `json:"gateways"`
}

// Host is one machine of the lab.
type Host struct {
	Name      string         `json:"name"`
	Kind      string         `json:"kind"`
	ID        int            `json:"id,omitempty"` // mesh_id of a router
	Site      string         `json:"site,omitempty"`
	Zone      string         `json:"zone,omitempty"`
	Number    int            `json:"number"`              // from 1; names its management link
	Port      string         `json:"port"`                // its interface at the site's gateway
	Addresses []netip.Prefix `json:"addresses,omitempty"` // with the subnet's length, or /32 and /128
	Gateways  []netip.Addr   `json:"gateways,omitempty"`  // of the same families
	Subnets   []netip.Prefix `json:"subnets,omitempty"`   // they are in
	Endpoint  netip.Addr     `json:"endpoint,omitzero"`   // its public address; zero: behind masquerade
	NAT       bool           `json:"nat,omitempty"`       // the endpoint is mapped 1:1 by the gateway
	// Forwards are the UDP ports of an endpoint that several routers share, and those on
	// the router that the gateway forwards them to.
	Forwards map[int]int `json:"forwards,omitempty"`

	Profile profile.Profile `json:"profile,omitzero"` // lab_host of the inventory
	Image   string          `json:"image,omitempty"`  // what a router boots from; the lab's, not the inventory's
	Second  []netip.Prefix  `json:"second,omitempty"` // of its second NIC
	Uplink  netip.Prefix    `json:"uplink,omitzero"`  // of a LAN's gateway, to the provider's box before it
}

// Prefix starts the name of every namespace, mount and cgroup of a lab.
func Prefix(lab string) string { return "wgmesh-" + lab + "." }

// Internet names the namespace that joins the sites.
func (t Topology) Internet() string { return Prefix(t.Lab) + "internet" }

// Management names the namespace of the management network.
func (t Topology) Management() string { return Prefix(t.Lab) + "mgmt" }

// Gateway names the namespace of a site's gateway.
func (t Topology) Gateway(site string) string { return Prefix(t.Lab) + "site." + site }

// Namespace names the namespace, the cgroup and the mount of a host.
func (t Topology) Namespace(host string) string { return Prefix(t.Lab) + "host." + host }

// Host finds a host by its name.
func (t Topology) Host(name string) (Host, bool) {
	for _, h := range t.Hosts {
		if h.Name == name {
			return h, true
		}
	}
	return Host{}, false
}

// Site finds a site by its name.
func (t Topology) Site(name string) (Site, bool) {
	for _, s := range t.Sites {
		if s.Name == name {
			return s, true
		}
	}
	return Site{}, false
}

// Routers lists the routers of a site, or of all sites when it is empty.
func (t Topology) Routers(site string) []Host {
	var out []Host
	for _, h := range t.Hosts {
		if h.Kind == Router && (site == "" || h.Site == site) {
			out = append(out, h)
		}
	}
	return out
}

// Address is the host's address of the family, or the zero address.
func (h Host) Address(v6 bool) netip.Addr {
	for _, p := range h.Addresses {
		if p.Addr().Is6() == v6 {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

// Hostname is the name as the kernel takes it: inventory names may have letters
// that host names may not.
func (h Host) Hostname() string {
	clean := func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '.':
			return r
		}
		return '-'
	}
	return strings.Trim(strings.Map(clean, h.Name), "-.")
}

// Inventory is what the lab takes from `ansible-inventory --list`.
type Inventory struct {
	Hosts  []string                  // members of the group routers, sorted
	Vars   map[string]map[string]any // all variables of each router
	Groups map[string][]string       // every other group with routers in it
}

// ParseInventory reads the JSON that `ansible-inventory --list` prints. Numbers
// stay json.Number, so that they are written again as they were.
func ParseInventory(data []byte) (Inventory, error) {
	list, err := inventory.Parse(data)
	if err != nil {
		return Inventory{}, fmt.Errorf("inventory: %w", err)
	}
	if _, ok := list.Groups["routers"]; !ok {
		return Inventory{}, errors.New(
			"inventory: group routers: not there; put the hosts of the mesh in a group named routers")
	}
	inv := Inventory{Hosts: list.Members("routers"), Vars: map[string]map[string]any{}, Groups: map[string][]string{}}
	if len(inv.Hosts) == 0 {
		return Inventory{}, errors.New("inventory: group routers: has no hosts")
	}
	for _, h := range inv.Hosts {
		inv.Vars[h] = map[string]any{}
		for name, raw := range list.Vars[h] {
			d := json.NewDecoder(bytes.NewReader(raw))
			d.UseNumber()
			var v any
			if err := d.Decode(&v); err != nil {
				return Inventory{}, fmt.Errorf("inventory: %s: %s: %w", h, name, err)
			}
			inv.Vars[h][name] = v
		}
	}
	for name := range list.Groups {
		if name == "all" || name == "ungrouped" || name == "routers" || name == "nodes" {
			continue
		}
		in := slices.DeleteFunc(list.Members(name), func(h string) bool { return !slices.Contains(inv.Hosts, h) })
		if len(in) > 0 {
			inv.Groups[name] = in
		}
	}
	return inv, nil
}
