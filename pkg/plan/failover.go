package plan

import "net/netip"

// Failover is for wgmesh-cloud failover: the cloud's route tables that this
// router keeps pointed at itself, and the BFD sessions by which it knows when
// to take those of another one. All lists are empty at a site that has no such
// tables.
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
