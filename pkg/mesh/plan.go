package mesh

import "net/netip"

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

// Self says whose plan it is.
type Self struct {
	Name string `json:"name"`
	ID   int    `json:"id"`
	Site string `json:"site"`
	Zone string `json:"zone"`
	AS   int64  `json:"as"`
}

// A Tunnel is one WireGuard interface, for wg_tunnel.
type Tunnel struct {
	Name       string         `json:"name"`
	ListenPort int            `json:"listen_port"`
	Addresses  []netip.Prefix `json:"addresses"` // this end's, with the length of the link network
	MTU        int            `json:"mtu"`       // bytes inside the tunnel
	Peers      []Peer         `json:"peers"`
}

// A Peer is the other end of a Tunnel.
type Peer struct {
	Name string `json:"name"`
	// Endpoint is left out when the peer cannot be reached from outside.
	Endpoint            netip.AddrPort `json:"endpoint,omitzero"`
	AllowedIPs          []netip.Prefix `json:"allowed_ips"`
	PersistentKeepalive int            `json:"persistent_keepalive"` // seconds
	PresharedKeyFile    string         `json:"preshared_key_file"`
}

// A PresharedKey is this router's part in the key of one tunnel, for wg_psk.
type PresharedKey struct {
	Number int    `json:"number"`
	Peer   string `json:"peer"`
	Role   string `json:"role"` // initiator makes the key, responder receives it
}

// Bird is for bird_config.
type Bird struct {
	RouterID  netip.Addr     `json:"router_id"`
	AS        int64          `json:"as"`
	Transit   bool           `json:"transit"` // this site may carry others' traffic
	Networks  []netip.Prefix `json:"networks"`
	Static    []Static       `json:"static"`
	Originate []Originate    `json:"originate"`
	Owners    []Owner        `json:"owners"`
	Neighbors []Neighbor     `json:"neighbors"`
	BFD       BFD            `json:"bfd"`
}

// A Static is a route to a part of the router's own site.
type Static struct {
	Network   netip.Prefix `json:"network"`
	Via       netip.Addr   `json:"via"`
	OnLink    bool         `json:"onlink"`
	Interface string       `json:"interface,omitempty"`
	// Connected, Derived and Outside are as in bird_config.
	Connected bool `json:"connected,omitempty"`
	Derived   bool `json:"derived,omitempty"`
	Outside   bool `json:"outside,omitempty"`
}

// An Originate is a prefix that this router announces. Of the routers of a
// site, the one with the lowest MED is preferred.
type Originate struct {
	Network netip.Prefix `json:"network"`
	MED     int          `json:"med"`
}

// An Owner lists all prefixes that may have a site's AS as their origin.
type Owner struct {
	AS       int64          `json:"as"`
	Site     string         `json:"site"`
	Networks []netip.Prefix `json:"networks"`
	// Carried says that the site has routers, that this one has no tunnel to any of
	// them, and that others carry what it has for them.
	Carried bool `json:"carried,omitempty"`
}

// A Neighbor is one BGP session over a tunnel.
type Neighbor struct {
	Name          string     `json:"name"` // of the protocol in BIRD
	Router        string     `json:"router"`
	Interface     string     `json:"interface"`
	Address       netip.Addr `json:"address"`
	LocalAddress  netip.Addr `json:"local_address"`
	Address6      netip.Addr `json:"address6,omitzero"`
	LocalAddress6 netip.Addr `json:"local_address6,omitzero"`
	AS            int64      `json:"as"`
	Transit       bool       `json:"transit"` // the neighbour's site may carry others' traffic
	ImportLimit   int        `json:"import_limit"`
}

// BFD is the pace of failure detection.
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
	Name     string     `json:"name"`
	Peer     string     `json:"peer"`
	Neighbor string     `json:"neighbor"` // name of the protocol in BIRD
	Address  netip.Addr `json:"address"`  // of the peer's end
	MTU      int        `json:"mtu"`
	AS       int64      `json:"as"` // the peer's
	// Networks are those of the peer's site, where its own addresses have to be.
	Networks []netip.Prefix `json:"networks"`
	// Probe are hosts behind the peer that answer ping.
	Probe []netip.Addr `json:"probe,omitempty"`
}

// A StatusPrefix is a prefix that must have been learned from a site.
type StatusPrefix struct {
	Network netip.Prefix `json:"network"`
	Site    string       `json:"site"`
	// AS tells who announces the prefix, so that mesh_status knows whether it
	// can be expected while only some peers are required.
	AS int64 `json:"as"`
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

// Gate is for mesh_gate: who may ask this router for a tunnel over SSH, and who
// may not any more.
type Gate struct {
	Peers   []GatePeer    `json:"peers"`   // those with a host key, by the number of their tunnel
	Removed []GateRemoved `json:"removed"` // the absent routers, by name
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
