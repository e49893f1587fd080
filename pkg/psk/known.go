package psk

import (
	"slices"

	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/seal/keyfile"
)

// A Bound is a key that this router holds, and what it is bound to at the other end.
type Bound struct {
	Held
	PeerPublicKey string `json:"peer_public_key"`
}

// Known lists the keys that nothing has to be done about here: each is whole, is this
// mesh's, and is bound to the public key that this router has. When the other end knows
// the same key for the same two public keys, there is nothing to seal.
func Known(want Want, have Have) []Bound {
	out := []Bound{}
	for _, t := range append(want.tunnels(plan.Initiator), want.tunnels(plan.Responder)...) {
		e := have.entries[t.Number]
		if have.self.absent == nil && e.holds() && e.tidy() && e.record.Peer == t.Peer && e.record.Mesh == want.Mesh &&
			e.record.PublicKey == have.self.private.Public().String() {
			out = append(out, Bound{e.record.held(t.Peer), e.record.PeerPublicKey})
		}
	}
	return out
}

// tidy reports whether the files of a tunnel are as they should be.
func (e entry) tidy() bool {
	faulty := func(f keyfile.Info) bool { return len(f.Faults()) > 0 }
	return len(e.leftovers) == 0 && !slices.ContainsFunc(e.files, faulty)
}
