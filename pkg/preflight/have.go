package preflight

import (
	"net/netip"
	"slices"

	"github.com/wgmesh/router/pkg/mark"
)

// Have is what a host has, as far as a plan can be about it.
type Have struct {
	Claims []mark.Claim // who says that the host is in a mesh
	// Ours are the tunnels that wgmesh.router made, and those that are planned and
	// that nobody else has; Taken are planned names that somebody has, and what.
	Ours  map[string]bool
	Taken map[string]string
	// UDP and TCP are the ports that somebody else holds, and who.
	UDP, TCP map[int]string

	Links  []Link
	Routes []Route               // of the main table, without those of BIRD and of the kernel
	Needed map[netip.Addr]string // addresses that this host asks for names and the like, and what they are
	Bird   Bird

	NoIPv6          string            // what turns IPv6 off on new interfaces; empty: nothing
	NoPing, NoPing6 string            // what keeps the host from answering ping by either family; empty: nothing
	Passing         string            // why the machine's id is new at each boot; empty: it is not
	Unmade          bool              // the image play has not come to its end
	No              []string          // programs that are not installed
	Closed          map[string]string // folders that cannot be written to, and why
	Mounts          []string          // where something is mounted
}

// A Link is a network interface that is not ours.
type Link struct {
	Name      string
	Addresses []netip.Prefix
}

// A Route is one that somebody else made.
type Route struct {
	Network netip.Prefix
	Dev     string
	Owner   string // the protocol that made it, as ip-route(8) shows it
}

// Bird is the BIRD of a host.
type Bird struct {
	Path    string
	Foreign []byte // its text, unless it is ours
	Masked  string // the file that keeps its service from starting; empty: nothing does
	Unfit   string // why the installed program is not known to work; empty: it is
}

func (h Have) route(n netip.Prefix) (Route, bool) {
	i := slices.IndexFunc(h.Routes, func(r Route) bool { return r.Network.Overlaps(n) })
	if i < 0 {
		return Route{}, false
	}
	return h.Routes[i], true
}

// subnet is where an interface of somebody else overlaps with a network.
func (h Have) subnet(n netip.Prefix) (dev string, found netip.Prefix, ok bool) {
	for _, l := range h.Links {
		i := slices.IndexFunc(l.Addresses, func(a netip.Prefix) bool { return a.Overlaps(n) })
		if i >= 0 {
			return l.Name, l.Addresses[i], true
		}
	}
	return "", netip.Prefix{}, false
}
