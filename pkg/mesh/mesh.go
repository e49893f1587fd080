package mesh

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/wgmesh/router/pkg/plan"
)

// A Mesh is the whole network as an inventory describes it. Addresses are text,
// as written, so that Validate can name all that are wrong at once.
type Mesh struct {
	// Routers are the routers by name, also those that have been taken away.
	Routers map[string]Router `json:"routers"`
	// Sites are the sites by name.
	Sites map[string]Site `json:"sites"`
	// LinkPool is the IPv4 network that the tunnels' link networks come from.
	LinkPool string `json:"link_pool"`
	// LinkPrefixLength is the size of one IPv4 link network in bits, up to 31.
	LinkPrefixLength int `json:"link_prefix_length"`
	// LinkPool6 is the IPv6 network that the /127 link networks come from. It
	// counts only when some site has IPv6 networks.
	LinkPool6 string `json:"link_pool6"`
	// PortBase plus a tunnel's number is its UDP port.
	PortBase int `json:"port_base"`
	// InterfacePrefix followed by a tunnel's number is its interface.
	InterfacePrefix string `json:"interface_prefix"`
	// PersistentKeepalive is in seconds; 0 is off.
	PersistentKeepalive int `json:"persistent_keepalive"`
	// BFD is the pace of failure detection: BFDNormal or BFDFast.
	BFD string `json:"bfd"`
	// PresharedKeyDirectory is where a router keeps its tunnels' pre-shared keys, one file each.
	PresharedKeyDirectory string `json:"preshared_key_directory"`
}

// A Router is one Linux host of the network.
type Router struct {
	// ID is unique and small; the numbers of tunnels follow from it.
	ID int `json:"id"`
	// Site is the name of the router's site.
	Site string `json:"site"`
	// Zone is the name of the router's zone within its site, or empty.
	Zone string `json:"zone"`
	// Endpoint is the IP address at which other routers reach this one, or
	// empty when they cannot because it is behind address translation.
	Endpoint string `json:"endpoint"`
	// EndpointPortBase plus a tunnel's number is its UDP port at Endpoint; 0 is PortBase.
	// Routers behind one public address have different ones.
	EndpointPortBase int `json:"endpoint_port_base"`
	// ListenPortBase is the same at the router itself, when its NAT changes the port;
	// 0 is EndpointPortBase.
	ListenPortBase int `json:"listen_port_base"`
	// Endpoints are addresses at which the routers of some sites reach this one
	// directly, by the name of the caller's site: for its own site that of the LAN.
	Endpoints map[string]string `json:"endpoints"`
	// State is StatePresent (also when empty) or StateAbsent. An absent router
	// has no tunnels, but nobody else may have its id.
	State string `json:"state"`
	// Gateway overrides the next hop towards the site's networks. There may be
	// one per family, each an address or address%interface.
	Gateway List `json:"gateway"`
	// HostKey is the public half of the router's SSH host key, "ssh-ed25519
	// AAAA...", by which routers that join at boot know each other; or empty.
	HostKey string `json:"host_key"`
	// Probe lists hosts behind the router, or behind any router of its site, that
	// answer ping: what is forwarded into the site is tried with them.
	Probe List `json:"probe"`
	// RouteTables are the cloud's route tables of the router's zone, which it
	// keeps pointed at itself.
	RouteTables List `json:"route_tables"`
	// Links are this router's ends of some tunnels, by the name of the peer: what was
	// there before the mesh, and does not follow from the tunnels' numbers.
	Links map[string]Link `json:"links"`
}

// A Link is one end of a tunnel. What is zero follows from the tunnel's number.
type Link struct {
	// Interface is its name, which begins with InterfacePrefix.
	Interface string `json:"interface"`
	// ListenPort is the UDP port on the router.
	ListenPort int `json:"listen_port"`
	// EndpointPort is the port at Endpoint, where address translation changes it.
	EndpointPort int `json:"endpoint_port"`
	// Addresses are this end's with the length of the link network, one per family. The
	// other end has one of the same network.
	Addresses List `json:"addresses"`
}

// A Site is a place with an AS number and networks of its own.
type Site struct {
	// AS is the site's AS number, private (RFC 6996) unless there is a reason.
	AS plan.AS `json:"as"`
	// Cloud decides the default MTU: azure, aws, gcp or other (also when empty).
	Cloud string `json:"cloud"`
	// Networks are the site's prefixes, IPv4, IPv6 or both.
	Networks List `json:"networks"`
	// Zones are the failure domains of the site with their subnets.
	Zones map[string]Zone `json:"zones"`
	// Gateway is as in Router, for all routers of the site.
	Gateway List `json:"gateway"`
	// OnLink says that the gateway is in no subnet of the router's own address.
	OnLink bool `json:"onlink"`
	// Probe is as in Router, for all routers of the site.
	Probe List `json:"probe"`
	// MTU is that of the network outside the tunnels, in bytes; 0 means that
	// the cloud's default applies.
	MTU int `json:"mtu"`
	// Transit reports whether the site may carry traffic between two others that
	// have lost their direct tunnels. Nil means that it may.
	Transit *bool `json:"transit"`
}

// A Zone is a failure domain inside a site. It reads from a list of subnets, or
// from a dictionary of networks and gateway.
type Zone struct {
	// Networks are the zone's subnets.
	Networks List `json:"networks"`
	// Gateway is as in Router, for all routers of the zone.
	Gateway List `json:"gateway"`
}

// States of a router.
const (
	StatePresent = "present"
	StateAbsent  = "absent"
)

// BFD profiles.
const (
	BFDNormal = "normal" // 300 ms, three misses
	BFDFast   = "fast"   // 100 ms, three misses
)

// SetDefaults sets what an inventory usually leaves open. The IPv4 pool is the half of the range
// for measuring devices (RFC 2544) that nobody was found to use: 172.31.0.0/16 is the default VPC
// of AWS, 172.17 to 172.30 and 192.168 are Docker's, 10 everybody's; 100.64.0.0/10 is AWS's and
// GKE's for pods, and Tailscale drops what comes from it elsewhere; 169.254.0.0/16 has the clouds'
// metadata, and 198.19.0.0/16 AWS's desktops. Linux routes it as any other. The IPv6 pool is one
// unique local /64 (RFC 4193) whose global id spells the project's name, so a link address is
// recognised at sight; a network that has a unique local prefix of its own should take a /64 of
// that.
func (m *Mesh) SetDefaults() {
	m.LinkPool = "198.18.0.0/16"
	m.LinkPrefixLength = 31
	m.LinkPool6 = "fd77:676d:6573:6800::/64"
	m.PortBase = 51800
	m.InterfacePrefix = "wg"
	m.PersistentKeepalive = 25
	m.BFD = BFDNormal
	m.PresharedKeyDirectory = plan.PSKDirectory
}

// UnmarshalJSON reads a list of subnets, one subnet, or a dictionary.
func (z *Zone) UnmarshalJSON(raw []byte) error {
	if !bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) {
		return z.Networks.UnmarshalJSON(raw)
	}
	type plain Zone // without this method
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode((*plain)(z)); err != nil {
		return fmt.Errorf("expected a list of subnets or a dictionary of networks and gateway: %w", err)
	}
	return nil
}

// A List is a list of strings that also reads from one string, with commas
// between the items if there are more.
type List []string

// UnmarshalJSON reads a list, a string or null, which is an empty list.
func (l *List) UnmarshalJSON(raw []byte) error {
	var items []string
	if json.Unmarshal(raw, &items) == nil {
		*l = items
		return nil
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return errors.New("expected a list of strings")
	}
	*l = nil
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			*l = append(*l, item)
		}
	}
	return nil
}
