// Package wg brings the WireGuard interfaces of one router to a wanted state,
// field by field and without ever bouncing an interface that works.
//
// The state has two halves that are compared alone: what the kernel (or
// wireguard-go) holds now, and what the host brings up at boot (a wg-quick file
// and its systemd unit). Observe reads both, Diff is pure, Apply makes the
// changes of a Delta and decides nothing.
//
// No secret is in a type of this package that leaves it: private and pre-shared
// keys are named by the path of their file; Have holds fingerprints of them.
package wg

import (
	"net/netip"
	"slices"
	"time"

	"github.com/wgmesh/router/pkg/mark"
	"github.com/wgmesh/router/pkg/order"
	"github.com/wgmesh/router/pkg/plan"
)

// Want is everything one call asks for.
type Want struct {
	Tunnels        []plan.Tunnel
	PrivateKeyFile string                    // of this router, for all tunnels
	PublicKeys     map[string]plan.PublicKey // by peer name, as the peers told them; zero or missing: not known yet
	// by peer name: why what it told is not used; it keeps the key that it has
	Refused    map[string]string
	mark.Owner          // for whom the tunnels are
	Removed    []string // peers that are out of the mesh
	Handover   []string // peers whose former key goes on until they use the new one
	// how long packets wait for the peers to know a new key of this router; 0: not at all
	Hold            time.Duration
	Purge           bool   // remove what was made for this mesh and is no longer wanted
	Stale           *Gone  // with Purge: nothing but this
	Replace         bool   // without Purge: only what is in the way of a wanted interface
	MSSClamp        bool   // keep the nftables table that clamps TCP MSS
	Input           string // InputAccept, InputMesh; empty: as the other tunnels here
	InputPorts      []int  // TCP ports that InputMesh leaves open besides
	InterfacePrefix string // interfaces the clamp is for, such as wg
	Directory       string // of the wg-quick files, such as /etc/wireguard
	// tables of nftables that others of this project keep, and their files, where they are
	Tables map[string]string
}

// told reports whether the key of p is the peer's own word, and not that of who
// wrote the tunnel down.
func (w Want) told(p plan.Peer) bool { return p.PublicKey.IsZero() }

// keyOf returns the public key to use for p, zero when it is not known.
func (w Want) keyOf(p plan.Peer) plan.PublicKey {
	if !w.told(p) {
		return p.PublicKey
	}
	if w.Refused[p.Name] != "" {
		return plan.PublicKey{}
	}
	return w.PublicKeys[p.Name]
}

// sorted returns a sorted copy of list without repeats.
func sorted(list []netip.Prefix) []netip.Prefix {
	list = slices.Clone(list)
	order.By(list, comparePrefix)
	return slices.Compact(list)
}

// networks is sorted with host bits cleared, as WireGuard stores allowed IPs.
func networks(list []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range list {
		out = append(out, p.Masked())
	}
	return sorted(out)
}

func comparePrefix(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}

func minus(a, b []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range a {
		if !slices.Contains(b, p) {
			out = append(out, p)
		}
	}
	return out
}
