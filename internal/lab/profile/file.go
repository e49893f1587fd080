package profile

import (
	"io/fs"
	"net/netip"
	"slices"
)

// File is what a host has on its disk before it boots: a text or a link.
type File struct {
	Path string // without the slash in front
	Text string
	Mode fs.FileMode
	Link string // where it leads; empty: it is a text
}

// Card is a network interface of the host besides that of the lab's management.
type Card struct {
	Name      string
	MAC       string
	Addresses []netip.Prefix
	Gateways  []netip.Addr // of the same families as the first addresses
	Source    netip.Addr   // what a default route of its family sends from; zero: the kernel chooses
	Onlink    bool         // the gateways are in no subnet of the card's own
	Metric    int          // of its routes; 0: what the kernel takes
	Table     int          // for what comes from its addresses; 0: the main one
}

// Files lists what the profile puts on a host. The management address is the one
// that ssh of the lab uses.
func (p Profile) Files(cards []Card, management string) []File {
	return slices.Concat(
		p.clientFiles(cards),
		p.sysctlFiles(management),
		p.forwardFiles(),
		p.gatewayFiles(),
		p.nftablesFiles(),
		p.wireguardFiles(),
		p.bgpFiles(),
		p.loginFiles(),
	)
}

// unit is a service that systemd starts at boot.
func unit(name, text string) []File {
	path := "etc/systemd/system/" + name
	return []File{
		{Path: path, Text: text, Mode: 0o644},
		{Path: "etc/systemd/system/multi-user.target.wants/" + name, Link: "/" + path},
	}
}
