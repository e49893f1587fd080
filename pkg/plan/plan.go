// Package plan is the language of a planned mesh: what pkg/mesh works out for one
// router, and what every module is given of it.
//
// It holds the types with their JSON keys, which are the names of the modules' options, and what
// both ends of a tunnel have to agree about: its number, the names in BIRD and the places on a
// host. It does no I/O and imports nothing of this project.
package plan

import (
	"net/netip"
	"reflect"
)

// AS is the number of an autonomous system.
type AS int64

// A Plan is everything that follows from a Mesh for one router. Each part
// carries exactly the options of the module that it is meant for, under their
// names. All lists are sorted, and none is null.
type Plan struct {
	Router        Self           `json:"router"`
	Tunnels       []Tunnel       `json:"tunnels"`
	PresharedKeys []PresharedKey `json:"preshared_keys"`
	Bird          Bird           `json:"bird"`
	Sysctl        Sysctl         `json:"sysctl"`
	Status        Status         `json:"status"`
	Measure       Measure        `json:"measure"`
	Gate          Gate           `json:"gate"`
	Failover      Failover       `json:"failover"`
}

// String names the plan, which is too long to be printed.
func (p Plan) String() string { return "the plan of " + p.Router.Name }

// IsZero reports whether there is no plan.
func (p Plan) IsZero() bool { return reflect.ValueOf(p).IsZero() }

// Self says whose plan it is.
type Self struct {
	Name string `json:"name"`
	ID   int    `json:"id"`
	Site string `json:"site"`
	Zone string `json:"zone"`
	AS   AS     `json:"as"`
}

// A Tunnel is one WireGuard interface, for wg_tunnel.
type Tunnel struct {
	Name       string         `json:"name"`        // interface name, at most 15 characters
	ListenPort int            `json:"listen_port"` // UDP port; 0: any, and not compared
	Addresses  []netip.Prefix `json:"addresses"`   // this end's, with the length of the link network
	// bytes inside the tunnel; 0: what wg-quick chooses, and not compared
	MTU   int    `json:"mtu"`
	Peers []Peer `json:"peers"`
}

// A Peer is the other end of a Tunnel. A planned one has no PublicKey: the peer itself tells it.
type Peer struct {
	Name                string         `json:"name"`
	PublicKey           PublicKey      `json:"public_key,omitzero"`
	Endpoint            netip.AddrPort `json:"endpoint,omitzero"` // zero: the peer calls us
	AllowedIPs          []netip.Prefix `json:"allowed_ips"`
	PersistentKeepalive int            `json:"persistent_keepalive"` // seconds; 0: off
	PresharedKeyFile    string         `json:"preshared_key_file"`   // absolute path; empty: no pre-shared key
}

// A Pending peer cannot be configured yet. What its tunnel has stays.
type Pending struct {
	Tunnel string `json:"tunnel"`
	Peer   string `json:"peer"`
	Reason string `json:"reason"`
	// Refused says that the peer told something that is not used. Time does not mend that.
	Refused bool `json:"refused,omitempty"`
}

// The roles of a router in a tunnel.
const (
	Initiator = "initiator" // the lower id: makes the pre-shared key
	Responder = "responder" // the higher id: is given the key
)

// A PresharedKey is this router's part in the key of one tunnel, for wg_psk.
type PresharedKey struct {
	Number int    `json:"number"` // from 1
	Peer   string `json:"peer"`   // name of the router at the other end
	Role   string `json:"role"`   // of this router: Initiator or Responder
	// Interface is that of the tunnel when it does not have the name of the number.
	Interface string `json:"interface,omitempty"`
}

// Bird is for bird_config: who the router is, what it announces, whom it talks to and
// whose prefixes it believes.
type Bird struct {
	RouterID  netip.Addr     `json:"router_id"` // written as an IPv4 address, unique in the mesh
	AS        AS             `json:"as"`
	Transit   bool           `json:"transit"`  // this site may carry others' traffic
	Networks  []netip.Prefix `json:"networks"` // the router's own address in them is the source of its packets
	Static    []Static       `json:"static"`
	Originate []Originate    `json:"originate"`
	Owners    []Owner        `json:"owners"`
	Neighbors []Neighbor     `json:"neighbors"`
	BFD       BFD            `json:"bfd"`
}

// LongestPath is how many AS numbers the path of a route may have: two sites may carry,
// one after the other. A plan needs one at most (pkg/mesh refuses the others). When a site
// dies, all others try each way to it that they have been told, by longer and longer
// paths, and what they send meanwhile goes in circles: this keeps such ways few.
const LongestPath = 3

// A Static is a route into the router's own site, via a gateway, or straight out of
// Interface when Via is the zero address. bird_config finds the interface of a
// Connected one, and Via of one that goes Outside.
type Static struct {
	Network netip.Prefix `json:"network"`
	Via     netip.Addr   `json:"via"`
	// OnLink takes the gateway as reachable although no subnet of the host
	// holds it and although it may not answer ARP.
	OnLink    bool   `json:"onlink"`
	Interface string `json:"interface,omitempty"` // empty: BIRD's choice, or bird_config's with OnLink
	// Connected says that the host itself is the gateway: the network is on its own interfaces.
	Connected bool `json:"connected,omitempty"`
	// Derived says that nobody gave Via. It is taken for a guess.
	Derived bool `json:"derived,omitempty"`
	// Outside says that the way is the host's default route, for what the host itself
	// sends, and for nothing that it forwards: what tunnels are made of.
	Outside bool `json:"outside,omitempty"`
	// Source is the router's own address at which that end of a tunnel expects it. From
	// another one of its site's, the peer would answer through the tunnel.
	Source netip.Addr `json:"source,omitzero"`
}

// An Originate is a prefix that is announced while a static route to it stands. Of the
// routers of a site, the one with the lowest MED is preferred.
type Originate struct {
	Network netip.Prefix `json:"network"`
	MED     int          `json:"med"`
}

// An Owner lists every prefix that may have AS as its origin: these and no more specific ones.
type Owner struct {
	AS       AS             `json:"as"`
	Site     string         `json:"site"`
	Networks []netip.Prefix `json:"networks"`
	// Carried says that the site has routers, that this one has no tunnel to any of
	// them, and that others carry what it has for them. It counts as a neighbour then.
	Carried bool `json:"carried,omitempty"`
}

// A Neighbor is one BGP session over one tunnel. It carries IPv6 routes too when both
// IPv6 addresses are given.
type Neighbor struct {
	Name          string     `json:"name"`   // of the protocol in BIRD
	Router        string     `json:"router"` // as the inventory calls it
	Interface     string     `json:"interface"`
	Address       netip.Addr `json:"address"`
	LocalAddress  netip.Addr `json:"local_address"`
	Address6      netip.Addr `json:"address6,omitzero"`
	LocalAddress6 netip.Addr `json:"local_address6,omitzero"`
	AS            AS         `json:"as"`
	Transit       bool       `json:"transit"`      // the neighbour's site may carry others' traffic
	ImportLimit   int        `json:"import_limit"` // routes per family; 0: twice what all owners have
}

// Dual reports whether the session carries both families.
func (n Neighbor) Dual() bool { return n.Address6.IsValid() && n.LocalAddress6.IsValid() }

// BFD is the pace of failure detection: a path is dead after Multiplier intervals without a packet.
type BFD struct {
	Interval   int `json:"interval"` // milliseconds
	Multiplier int `json:"multiplier"`
}

// Sysctl is for sysctl_router.
type Sysctl struct {
	IPv6          bool     `json:"ipv6"`
	ReservedPorts []int    `json:"reserved_ports"`
	Interfaces    []string `json:"interfaces"`
}

// Status is for mesh_status: what has to be up and reachable.
type Status struct {
	Tunnels []StatusTunnel `json:"tunnels"`
	// Prefixes are those of the other sites that have a router at present.
	Prefixes []StatusPrefix `json:"prefixes"`
	// SourceNetworks are the site's own: test traffic must come from them.
	SourceNetworks []netip.Prefix `json:"source_networks"`
	// Probe are hosts of the own site that answer ping.
	Probe []netip.Addr `json:"probe,omitempty"`
}

// A StatusTunnel is one tunnel with its BGP session.
type StatusTunnel struct {
	Name     string     `json:"name"` // interface, for example wg20
	Peer     string     `json:"peer"`
	Neighbor string     `json:"neighbor"` // name of the protocol in BIRD; empty: no BGP in this tunnel
	Address  netip.Addr `json:"address"`  // of the peer's end
	// Endpoint is where this router calls the peer; zero: it calls us.
	Endpoint netip.AddrPort `json:"endpoint,omitzero"`
	// ListenPort is the UDP port here; 0: not compared.
	ListenPort int `json:"listen_port"`
	MTU        int `json:"mtu"` // bytes inside the tunnel; 0: not probed
	AS         AS  `json:"as"`  // the peer's; 0: not compared
	// Networks are those of the peer's site, where its own addresses have to be. Nil: they
	// may be anywhere.
	Networks []netip.Prefix `json:"networks"`
	// Probe are hosts behind the peer that answer ping.
	Probe []netip.Addr `json:"probe,omitempty"`
}

// A StatusPrefix is a prefix that must have been learned from a site.
type StatusPrefix struct {
	Network netip.Prefix `json:"network"`
	Site    string       `json:"site"`
	// AS tells who announces the prefix, so that mesh_status knows whether it
	// can be expected while only some peers are required. 0: not known.
	AS AS `json:"as"`
	// Transit are the sites that have no tunnel to that one, and have this router's carry what
	// they send it. Nil: this router's site carries nothing between two others.
	Transit []AS `json:"transit,omitzero"`
}

// Measure is for mesh_measure: what this router measures. Each tunnel is
// measured once, by its initiator.
type Measure struct {
	Tunnels []MeasureTunnel `json:"tunnels"`
}

// A MeasureTunnel has the two ways to a peer.
type MeasureTunnel struct {
	Name    string     `json:"name"`
	Peer    string     `json:"peer"`
	Address netip.Addr `json:"address"` // of the peer's end, inside
	// Endpoint is the peer's outside address, left out when it has none.
	Endpoint netip.Addr `json:"endpoint,omitzero"`
}

// Gate is for mesh_gate: who may ask this router for a tunnel over SSH, and who may not any more.
type Gate struct {
	Peers   []GatePeer    `json:"peers"`           // those with a host key, by the number of their tunnel
	Removed []GateRemoved `json:"removed"`         // the absent routers, by name
	Apart   []GateRemoved `json:"apart,omitempty"` // the present ones without a tunnel to this one
}

// A GatePeer is a router with the key by which it is known.
type GatePeer struct {
	Name    string `json:"name"`
	HostKey string `json:"host_key"` // type and key, without a comment
}

// A GateRemoved is a router that the inventory calls absent.
type GateRemoved struct {
	Name    string `json:"name"`
	ID      int    `json:"id"`
	HostKey string `json:"host_key,omitempty"` // as in GatePeer; empty: it had none
}

// Failover is for wgmesh-cloud failover: the cloud's route tables that this router keeps pointed at
// itself, and the BFD sessions by which it knows when to take those of another one. All lists are
// empty at a site that has no such tables.
type Failover struct {
	Router   string            `json:"router"`
	Cloud    string            `json:"cloud"`
	Prefixes []netip.Prefix    `json:"prefixes"` // the routes: networks of the other sites
	Tables   []string          `json:"tables"`   // of this router's zone
	After    int               `json:"after"`    // milliseconds from BFD's word to acting on it
	Peers    []FailoverPeer    `json:"peers"`
	Partners []FailoverPartner `json:"partners"`
}

// String names it. A task gives all of it as it is.
func (f Failover) String() string { return "the failover of " + f.Router }

// A BFDSession is one as BIRD names it.
type BFDSession struct {
	Interface string     `json:"interface"`
	Address   netip.Addr `json:"address"` // of the other end, inside the tunnel
}

// A FailoverPeer is a router of another site. We are well when one is in reach.
type FailoverPeer struct {
	Name string `json:"name"`
	BFDSession
}

// A FailoverPartner is another router of this site.
type FailoverPartner struct {
	FailoverPeer
	// Tables are those of its zone, of which it has the care while it is up.
	Tables []string `json:"tables"`
	// Before are the routers that go before this one when it needs somebody to
	// stand in for it: those of its zone, then all others, by id.
	Before []string `json:"before"`
}

// MaxID is the highest id whose first tunnel number is still a UDP port.
const MaxID = 363

// OutsideTable is the kernel's routing table of the ways that only the router's own packets
// go, those of tunnels above all: the static routes that are Outside. A rule leads to it,
// which is pkg/floor's.
const OutsideTable = 157157

// The ports on which BIRD listens on each router: BGP's of TCP (RFC 4271) and BFD's of UDP for
// one hop (RFC 5881). With the mesh's configuration it does not on that of more hops.
const (
	BGPPort = 179
	BFDPort = 3784
)

// Number returns the number of the tunnel between two routers. It depends on
// their two ids alone, so it never moves when other routers come or go.
// For a < b it is (b-1)(b-2)/2 + a: 1 for 1 and 2, then 2 and 3 for router 3.
func Number(a, b int) int {
	i, j := min(a, b), max(a, b)
	return (j-1)*(j-2)/2 + i
}

// Other returns the id of the router at the other end of a router's tunnel of
// that number, 0 when the router has no such tunnel.
func Other(self, number int) int {
	for id := 1; id <= MaxID; id++ {
		if id != self && Number(self, id) == number {
			return id
		}
	}
	return 0
}

// Where everything of a router lies, unless an option says otherwise. What belongs to
// BIRD itself is in pkg/birdc.
const (
	TunnelDirectory = "/etc/wireguard" // wg-quick's files
	PrivateKeyFile  = TunnelDirectory + "/wgmesh.key"
	SealingKeyFile  = TunnelDirectory + "/wgmesh.seal"
	IdentityFile    = TunnelDirectory + "/wgmesh.id"
	PSKDirectory    = TunnelDirectory + "/wgmesh-psk"
	UndoDirectory   = TunnelDirectory + "/wgmesh-undo" // it holds keys
	UndoJournal     = UndoDirectory + "/journal.json"  // there while a change waits for its confirmation
	MSSFile         = TunnelDirectory + "/wgmesh.nft"

	Directory    = "/etc/wgmesh" // the door, and what the programs read
	JoinFile     = Directory + "/join.yml"
	FailoverFile = Directory + "/failover.json"
	ImageFile    = Directory + "/image" // as old as the image

	// What a router runs by itself, and who brings it: the plays image and upgrade, and routes.
	JoinProgram     = "/usr/local/bin/wgmesh"
	JoinCloud       = "/usr/local/libexec/wgmesh-cloud"
	FailoverProgram = "/usr/local/bin/wgmesh-cloud"
	AnsibleBin      = "/opt/wgmesh/ansible/bin" // where the distribution's Ansible is too old

	RunDirectory = "/run/wgmesh"
	FailoverRun  = "/run/wgmesh-failover" // there while its daemon runs
	// FailoverFails says which table it cannot move, and why, and FailoverRests of which nothing is
	// left to do. They have a folder of their own, since FailoverRun is as old as the daemon
	// (roles/routes/tasks/daemon.yml).
	FailoverFails = FailoverRun + "/says/failure"
	FailoverRests = FailoverRun + "/says/rests"
)
