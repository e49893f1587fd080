package psk

import (
	"errors"
	"fmt"

	"github.com/wgmesh/router/pkg/seal"
)

// DiffSealed decides for the tunnels that this router initiates: a key that is
// there and still fits is sealed again, which changes nothing on this host and
// heals a responder that lost it; otherwise a new key has to be made. All
// problems are reported at once.
func DiffSealed(want Want, self Self, have Store) (Delta, error) {
	d := Delta{role: Initiator, tunnels: want.tunnels(Initiator), self: self, have: have, Envelopes: []Envelope{}}
	var errs []error
	for _, t := range d.tunnels {
		peer, here := want.peer(t.Peer)
		if !here {
			continue // not in this run: nothing of this tunnel is touched
		}
		if peer.PublicKey == "" || peer.SealingKey == "" {
			d.wait(t, t.Peer+" has no keys yet")
			continue
		}
		if err := d.sealed(want, t, peer); err != nil {
			errs = append(errs, fmt.Errorf("tunnel %d to %s: %w", t.Number, t.Peer, err))
		}
	}
	if len(errs) > 0 {
		return Delta{}, errors.Join(errs...)
	}
	if want.Purge {
		d.purge()
	}
	return d, nil
}

func (d *Delta) sealed(want Want, t Tunnel, peer Peer) error {
	far, err := seal.ParseWGPublic(peer.PublicKey)
	if err != nil {
		return err
	}
	sealing, err := seal.ParsePublicKey(peer.SealingKey)
	if err != nil {
		return err
	}
	e := d.have.entries[t.Number]
	own := d.self.private.Public()
	if own == far {
		return fmt.Errorf("%s has the same public key as this router: one is a copy of the other; run wg_keypair with regenerate: always on one of them", t.Peer)
	}
	ends := [2]seal.End{{Name: want.Name, Key: own}, {Name: t.Peer, Key: far}}
	d.files(t, e)
	why := whyNew(want, t, e, own, far)
	if why != "" {
		d.Steps = append(d.Steps, Step{
			Action: MakeKey, Tunnel: t.Number, Peer: t.Peer, Why: why, sealing: sealing, ends: ends,
			record: Record{madeBy, t.Number, t.Peer, own.String(), far.String(), next(want, e), ""},
		})
		return nil
	}
	if e.record.Peer != t.Peer {
		r := e.record
		r.Peer = t.Peer
		d.Steps = append(d.Steps, Step{Action: StoreKey, Tunnel: t.Number, Peer: t.Peer, Why: "the peer was called " + e.record.Peer, record: r, key: e.key})
	}
	b := seal.Binding{Initiator: ends[0], Responder: ends[1], Tunnel: t.Number, Generation: e.record.Generation}
	text, err := seal.Seal(sealing, d.self.private, b, e.key)
	if err != nil {
		return err
	}
	d.Envelopes = append(d.Envelopes, Envelope{t.Number, want.Name, t.Peer, b.Generation, text})
	return nil
}

// whyNew says why a new key is needed, or "" when the one that is there fits.
func whyNew(want Want, t Tunnel, e entry, own, far seal.WGPublic) string {
	switch {
	case e.broken != nil:
		return "the file holds no key"
	case e.key.IsZero():
		return "there is none"
	case !e.recorded:
		return "there is no record of the one in the file"
	case !e.holds():
		return "the record is of another key"
	case e.record.PublicKey != own.String():
		return want.Name + " has a new public key"
	case e.record.PeerPublicKey != far.String():
		return t.Peer + " has a new public key"
	case want.rotates(t):
		return "rotate was asked for"
	}
	return ""
}

// next returns a generation above every one that was used before. Only a record
// made by hand can be at the very end; counting begins anew then.
func next(want Want, e entry) int64 {
	g := max(want.Now.UnixMilli(), 1)
	if e.recorded && e.record.Generation+1 < maxGeneration {
		g = max(g, e.record.Generation+1)
	}
	return g
}
