// Package status looks at one router of the mesh and reports whether it is healthy: WireGuard
// handshakes, BGP and BFD sessions, kernel routes, round-trip time and path MTU of each tunnel, and
// whether other routers' sites answer. It can wait for health, and it names what is missing.
//
// It changes nothing. Observe asks the kernel and BIRD, Judge is pure and turns an observation into
// problems in the words of the inventory. The module mesh_status calls it.
package status

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/wgmesh/router/pkg/plan"
)

// A Request says what a healthy router has.
type Request struct {
	Tunnels  []plan.StatusTunnel `json:"tunnels"`
	Prefixes []plan.StatusPrefix `json:"prefixes"`
	// SourceNetworks are the own site's: probes of Reach come from the own
	// address inside them, because that is what other sites know a way back to.
	SourceNetworks []netip.Prefix `json:"source_networks"`
	Reach          []Target       `json:"-"`
	// Probe are hosts of the own site that answer ping.
	Probe []netip.Addr `json:"probe"`
	// Require are the peers that have to be healthy, by the name of the router
	// or of its protocol in BIRD. Nil means all of them.
	Require []string `json:"require"`
	// Refused are networks of Prefixes that have to be refused while no tunnel has a
	// way to them, by routes with the protocol number Floor.
	Refused []netip.Prefix `json:"-"`
	Floor   int            `json:"-"`
	// Silent are peers of which only the sessions count: they answered no ping before either.
	Silent []string `json:"silent"`
	// Pending are the peers whose tunnels wait for something, by name, and for what.
	Pending map[string]string `json:"-"`
	// BFD says that each BGP session has a BFD session.
	BFD bool `json:"bfd"`
	// Socket is BIRD's control socket.
	Socket string `json:"control_socket"`
	// NFTables have to be loaded where their files are.
	NFTables []NFTable `json:"-"`
	// ProbeTimeout is how long one ping may take, lost packets sent again
	// included. 0 means one second.
	ProbeTimeout time.Duration `json:"-"`
	// NoPing leaves the pings out: what counts are handshakes, sessions and routes.
	NoPing bool `json:"-"`
	// Settle ends a wait in which nothing new became healthy for so long. 0: none.
	Settle time.Duration `json:"-"`
	// DrainWarn is from when on a drain is a long one. 0: never.
	DrainWarn time.Duration `json:"-"`
	// KeyWarn and ImageWarn are from when on a key or the image is an old one. 0: never.
	KeyWarn, ImageWarn time.Duration `json:"-"`
	// Failover says that a daemon keeps route tables of the cloud at routers that live.
	Failover bool `json:"failover"`
	// FailoverPlan is what that daemon is planned to watch: with peers it has to run. Nil: not known.
	FailoverPlan *plan.Failover `json:"failover_plan"`
	// Accept are the questions of pkg/preflight whose findings the user knows.
	Accept []string `json:"accept"`
	// Waited is how long the network was left alone before, which Settle counts too.
	Waited time.Duration `json:"-"`
}

// A Target is an address of another router, in its site, that has to answer.
type Target struct {
	Name    string
	Address netip.Addr
}

func (r *Request) isTunnel(device string) bool {
	return slices.ContainsFunc(r.Tunnels, func(t plan.StatusTunnel) bool { return t.Name == device })
}

// requires reports whether any of the names of a peer is required.
func (r *Request) requires(names ...string) bool {
	return r.Require == nil || slices.ContainsFunc(names, func(n string) bool { return slices.Contains(r.Require, n) })
}

// requiresPrefix reports whether a prefix is required: one of the peers that
// announce it is, or every peer is, when it is not known who announces it.
func (r *Request) requiresPrefix(p plan.StatusPrefix) bool {
	anyOne, all := false, true
	for _, t := range r.Tunnels {
		required := r.requires(t.Peer, t.Neighbor)
		all = all && required
		anyOne = anyOne || required && p.AS != 0 && t.AS == p.AS
	}
	return r.Require == nil || all || anyOne
}

// Confine takes out of Reach the addresses that are in no network of their
// router's site, and returns them. A router tells its own addresses, and must not
// be able to have others ask somebody else.
func (r *Request) Confine() (strangers []Target) {
	r.Reach = slices.DeleteFunc(r.Reach, func(to Target) bool {
		i := slices.IndexFunc(r.Tunnels, func(t plan.StatusTunnel) bool { return t.Peer == to.Name })
		if i < 0 || r.Tunnels[i].Networks == nil {
			return false
		}
		inside := slices.ContainsFunc(r.Tunnels[i].Networks, func(n netip.Prefix) bool {
			return n.Contains(to.Address)
		})
		if !inside {
			strangers = append(strangers, to)
		}
		return !inside
	})
	return strangers
}

func (r *Request) timeout() time.Duration { return cmp.Or(r.ProbeTimeout, time.Second) }
