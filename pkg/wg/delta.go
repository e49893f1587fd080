package wg

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/wgmesh/router/pkg/plan"
)

// A Delta is what has to change. It holds no secret, only names of key files.
type Delta struct {
	Tunnels []TunnelDelta // sorted by name
	Remove  []Removal     // sorted by name
	MSS     *string       // new text of the clamp's file, empty: no clamp; nil: right as it is
	Load    []string      // files of nftables: somebody flushed their tables
	Boot    *bool         // whether the units' drop-in is to be there; nil: right as it is
	keys    []string      // files that must be there before anything is done
}

// Empty tells that nothing has to change.
func (d Delta) Empty() bool {
	return len(d.Tunnels) == 0 && len(d.Remove) == 0 && d.MSS == nil && len(d.Load) == 0 && d.Boot == nil
}

// A TunnelDelta is what has to change about one interface.
type TunnelDelta struct {
	Name       string
	File       *string // new text of the wg-quick file
	DeleteLink bool    // what is there is dead
	Start      bool    // bring it up: from the file, or Fresh
	Fresh      bool    // make it as this delta says, which is all of it: much quicker than wg-quick
	Reset      bool    // its unit has failed before
	Enable     bool    // at boot
	Release    bool    // leave its port first: another interface gets it

	MTU             int // 0: right as it is
	Up              bool
	AddAddresses    []netip.Prefix
	RemoveAddresses []netip.Prefix
	// RestoreAddresses are the ones that the kernel may take along when it
	// removes the first address of their subnet.
	RestoreAddresses []netip.Prefix
	Device           DeviceChange
	Handovers        []Handover
}

func (d TunnelDelta) empty() bool {
	return d.File == nil && !d.DeleteLink && !d.Start && !d.Enable && !d.Release && d.MTU == 0 && !d.Up &&
		len(d.AddAddresses) == 0 && len(d.RemoveAddresses) == 0 && d.Device.empty()
}

// A DeviceChange is one message to the kernel or wireguard-go. Zero fields stay
// as they are.
type DeviceChange struct {
	PrivateKeyFile string
	Hold           time.Duration // how long packets wait for the peers to know the new key; 0: not at all
	ListenPort     int
	AnyPort        bool         // one that is free
	Peers          []PeerChange // removals first: allowed IPs move to who asks last
}

func (c DeviceChange) empty() bool {
	return c.PrivateKeyFile == "" && c.ListenPort == 0 && !c.AnyPort && len(c.Peers) == 0
}

// A PeerChange changes, adds or removes one peer. Nil and zero fields stay as
// they are.
type PeerChange struct {
	Name             string // for people
	PublicKey        plan.PublicKey
	Remove           bool
	Add              bool
	PresharedKeyFile *string // empty: no pre-shared key
	Endpoint         netip.AddrPort
	Keepalive        *int           // seconds
	AddAllowedIPs    []netip.Prefix // a network of another peer moves
	RemoveAllowedIPs []netip.Prefix
}

func (c PeerChange) empty() bool {
	return !c.Remove && !c.Add && c.PresharedKeyFile == nil && !c.Endpoint.IsValid() && c.Keepalive == nil &&
		len(c.AddAllowedIPs) == 0 && len(c.RemoveAllowedIPs) == 0
}

// A Removal takes away an interface we made.
type Removal struct {
	Name  string
	First bool // before others come up, which want its port
}

func (c DeviceChange) words() string {
	var out []string
	if c.PrivateKeyFile != "" {
		out = append(out, "private key")
	}
	if c.ListenPort != 0 {
		out = append(out, fmt.Sprintf("listen_port %d", c.ListenPort))
	}
	for _, p := range c.Peers {
		out = append(out, fmt.Sprintf("peer %s (%s)", p.Name, p.words()))
	}
	return strings.Join(out, ", ")
}

func (c PeerChange) words() string {
	switch {
	case c.Remove:
		return "removed"
	case c.Add:
		return "added"
	}
	var out []string
	if c.PresharedKeyFile != nil {
		out = append(out, "preshared key")
	}
	if c.Endpoint.IsValid() {
		out = append(out, "endpoint "+c.Endpoint.String())
	}
	if c.Keepalive != nil {
		out = append(out, fmt.Sprintf("persistent_keepalive %d", *c.Keepalive))
	}
	if len(c.AddAllowedIPs) > 0 || len(c.RemoveAllowedIPs) > 0 {
		out = append(out, "allowed_ips")
	}
	return strings.Join(out, ", ")
}
