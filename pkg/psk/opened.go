package psk

import (
	"errors"
	"fmt"
	"slices"

	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/seal"
)

// diffOpened decides for the tunnels that this router responds to: it opens the
// envelopes addressed to it and stores each key that it does not hold already.
//
// An envelope of a lower generation than the recorded one is refused: somebody
// sends an old envelope again. This counts only between the same two public
// keys. A router that was rebuilt has new keys, its envelopes may begin at any
// generation, and envelopes for its old keys do not open any more.
//
// What is wrong with the word of one peer makes that one tunnel wait, and no
// other: Pending says why.
func diffOpened(want Want, have Have) (Delta, error) {
	d := Delta{role: plan.Responder, tunnels: want.tunnels(plan.Responder), have: have}
	for _, t := range d.tunnels {
		_, far, ok := d.far(want, t)
		if !ok {
			continue
		}
		env, found, err := want.envelope(t)
		switch {
		case err == nil && !found:
			d.wait(t, "no envelope came from "+t.Peer)
			continue
		case err == nil && have.self.absent != nil:
			return Delta{}, fmt.Errorf("tunnel %d to %s: %w", t.Number, t.Peer, have.self.absent)
		case err == nil:
			err = d.opened(want, t, far, env)
		}
		if err != nil {
			d.refuse(t, err)
		}
	}
	if want.Purge {
		d.purge(want)
	}
	return d, nil
}

// envelope is the one that the peer of a tunnel sent for it. What it sent for
// tunnels that are none between the two is an error, and so is a second one.
func (w Want) envelope(t plan.PresharedKey) (env Envelope, found bool, err error) {
	for _, e := range w.Envelopes {
		if e.To != w.Name || e.From != t.Peer {
			continue
		}
		switch between := func(p plan.PresharedKey) bool { // whatever its interface is called
			return p.Number == e.Tunnel && p.Peer == t.Peer && p.Role == plan.Responder
		}; {
		case e.Tunnel != t.Number && !slices.ContainsFunc(w.Tunnels, between):
			return env, false, fmt.Errorf(
				"it sent an envelope for tunnel %d: expected one for tunnel %d, which it initiates", e.Tunnel, t.Number)
		case e.Tunnel != t.Number:
		case found:
			return env, false, fmt.Errorf("it sent a second envelope for tunnel %d: expected one", t.Number)
		case e.Generation < 1 || e.Generation >= maxGeneration:
			return env, false, fmt.Errorf("its envelope has generation %d: expected 1 to %d",
				e.Generation, int64(maxGeneration-1))
		default:
			env, found = e, true
		}
	}
	return env, found, nil
}

func (d *Delta) opened(want Want, t plan.PresharedKey, far plan.PublicKey, env Envelope) error {
	own := d.have.self.private.Public()
	e := d.have.entries[t.Number]
	if e.recorded && e.record.bound(own, far) && env.Generation < e.record.Generation {
		record, _ := paths(d.have.dir, t.Number)
		return fmt.Errorf("its envelope is an old one, from a backup, "+
			"by a slow clock of %s or sent again (generation %d, expected %d or higher): "+
			"run the mesh play for both; else remove %s", t.Peer, env.Generation, e.record.Generation, record)
	}
	key, err := seal.Open(d.have.self.sealing, d.have.self.private, seal.Binding{
		Initiator: seal.End{Name: t.Peer, Key: far}, Responder: seal.End{Name: want.Name, Key: own},
		Tunnel: t.Number, Generation: env.Generation,
	}, env.Sealed)
	if errors.Is(err, seal.ErrNotOpened) {
		return fmt.Errorf("its envelope of generation %d: %w; run the play again with both routers in it",
			env.Generation, err)
	}
	if err != nil {
		return fmt.Errorf("its envelope of generation %d: %w", env.Generation, err)
	}
	d.files(t, e)
	record := Record{madeBy, want.Mesh, t.Number, t.Peer, own.String(), far.String(), env.Generation, key.ID()}
	if e.holds() && e.record == record {
		key.Wipe()
		return nil
	}
	d.Steps = append(d.Steps, Step{
		Action: StoreKey, Tunnel: t.Number, Peer: t.Peer, Why: whyStore(e, record), record: record, key: key,
	})
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
	case e.record.Mesh != want.Mesh:
		return whyMesh
	}
	return "its record was not right"
}
