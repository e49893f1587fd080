package psk

import (
	"errors"
	"fmt"

	"github.com/wgmesh/router/pkg/seal"
)

// DiffOpened decides for the tunnels that this router responds to: it opens the
// envelopes addressed to it and stores each key that it does not hold already.
//
// An envelope of a lower generation than the recorded one is refused: somebody
// sends an old envelope again. This counts only between the same two public
// keys. A router that was rebuilt has new keys, its envelopes may begin at any
// generation, and envelopes for its old keys do not open any more.
//
// All problems are reported at once.
func DiffOpened(want Want, self Self, have Store) (Delta, error) {
	d := Delta{role: Responder, tunnels: want.tunnels(Responder), self: self, have: have}
	var errs []error
	for _, t := range d.tunnels {
		peer, here := want.peer(t.Peer)
		if !here {
			continue // not in this run: nothing of this tunnel is touched
		}
		if peer.PublicKey == "" {
			d.wait(t, t.Peer+" has no keys yet")
			continue
		}
		env, found := want.envelope(t)
		if !found {
			d.wait(t, "no envelope came from "+t.Peer)
			continue
		}
		if err := d.opened(want, t, peer, env); err != nil {
			errs = append(errs, fmt.Errorf("tunnel %d: envelope from %s, generation %d: %w", t.Number, t.Peer, env.Generation, err))
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

func (w Want) envelope(t Tunnel) (Envelope, bool) {
	for _, e := range w.Envelopes {
		if e.To == w.Name && e.Tunnel == t.Number {
			return e, true
		}
	}
	return Envelope{}, false
}

func (d *Delta) opened(want Want, t Tunnel, peer Peer, env Envelope) error {
	if d.self.absent != nil {
		return d.self.absent
	}
	far, err := seal.ParseWGPublic(peer.PublicKey)
	if err != nil {
		return err
	}
	own := d.self.private.Public()
	e := d.have.entries[t.Number]
	if e.recorded && e.record.bound(own, far) && env.Generation < e.record.Generation {
		record, _ := paths(d.have.dir, t.Number)
		return fmt.Errorf("expected %d or higher: an old envelope was sent again; if %s lost its keys' store and its clock is slow, set its clock, or remove %s here, and run again", e.record.Generation, t.Peer, record)
	}
	key, err := seal.Open(d.self.sealing, d.self.private, seal.Binding{
		Initiator: seal.End{Name: t.Peer, Key: far}, Responder: seal.End{Name: want.Name, Key: own},
		Tunnel: t.Number, Generation: env.Generation,
	}, env.Sealed)
	if errors.Is(err, seal.ErrNotOpened) {
		return fmt.Errorf("%w; run the play again with both routers in it", err)
	}
	if err != nil {
		return err
	}
	d.files(t, e)
	record := Record{madeBy, t.Number, t.Peer, own.String(), far.String(), env.Generation, key.ID()}
	if e.holds() && e.record == record {
		key.Wipe()
		return nil
	}
	d.Steps = append(d.Steps, Step{Action: StoreKey, Tunnel: t.Number, Peer: t.Peer, Why: whyStore(e, record), record: record, key: key})
	return nil
}

func whyStore(e entry, want Record) string {
	switch {
	case e.broken != nil:
		return "the file holds no key"
	case e.key.IsZero():
		return "there was none"
	case e.key.ID() != want.PSKID:
		return want.Peer + " has made a new one"
	}
	return "its record was not right"
}
