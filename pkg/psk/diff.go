package psk

import (
	"errors"
	"fmt"
	"slices"

	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/seal"
)

// diffSealed decides for the tunnels that this router initiates: a key that is
// there and still fits is sealed again, which changes nothing on this host and
// heals a responder that lost it; otherwise a new key has to be made.
//
// What is wrong with the word of one peer makes that one tunnel wait, and no
// other: Pending says why.
func diffSealed(want Want, have Have) (Delta, error) {
	d := Delta{role: plan.Initiator, tunnels: want.tunnels(plan.Initiator), have: have, Envelopes: []Envelope{}}
	for _, t := range d.tunnels {
		if peer, far, ok := d.far(want, t); ok {
			if err := d.sealed(want, t, peer, far); err != nil {
				d.refuse(t, err)
			}
		}
	}
	if want.Purge {
		d.purge(want)
	}
	return d, nil
}

// far is what the peer of a tunnel told, and its public key. Without one that can be used the
// tunnel waits, and when the peer is not in this run nothing of it is touched.
func (d *Delta) far(want Want, t plan.PresharedKey) (peer Peer, key plan.PublicKey, ok bool) {
	told := want.peers(t.Peer)
	switch {
	case len(told) == 0:
		return peer, key, false
	case len(told) > 1:
		d.refuse(t, fmt.Errorf("%d routers are called so: give each its own name", len(told)))
		return peer, key, false
	}
	peer = told[0]
	if peer.PublicKey == "" || d.role == plan.Initiator && peer.SealingKey == "" {
		d.wait(t, t.Peer+" has no keys yet")
		return peer, key, false
	}
	key, err := plan.ParsePublicKey(peer.PublicKey)
	e := d.have.entries[t.Number]
	switch sign := d.have.Alive[t.Number]; {
	case err != nil:
	case e.recorded && e.record.Mesh != "" && !want.Owns(e.record.Mesh):
		record, _ := paths(d.have.dir, t.Number)
		err = fmt.Errorf("%s is of a tunnel of the mesh %s", record, e.record.Mesh)
	case key == d.have.self.private.Public():
		err = errors.New("it has the same public key as this router, so one is a copy: " +
			"run wg_keypair with regenerate=always on one of them")
	case sign != "" && e.recorded && e.record.PeerPublicKey != key.String():
		err = fmt.Errorf("it has a new public key, and whoever has the one before %s: "+
			"stop the wrong one, or name it in mesh_replaced", sign)
	}
	if err != nil {
		d.refuse(t, err)
	}
	return peer, key, err == nil
}

func (d *Delta) sealed(want Want, t plan.PresharedKey, peer Peer, far plan.PublicKey) error {
	sealing, err := seal.ParsePublicKey(peer.SealingKey)
	if err != nil {
		return err
	}
	e := d.have.entries[t.Number]
	own := d.have.self.private.Public()
	ends := [2]seal.End{{Name: want.Name, Key: own}, {Name: t.Peer, Key: far}}
	why := whyNew(want, t, e, own, far)
	if why != "" {
		d.files(t, e)
		d.Steps = append(d.Steps, Step{
			Action: MakeKey, Tunnel: t.Number, Peer: t.Peer, Why: why, sealing: sealing, ends: ends,
			record: Record{madeBy, want.Mesh, t.Number, t.Peer, own.String(), far.String(), next(want, e), ""},
		})
		return nil
	}
	b := seal.Binding{Initiator: ends[0], Responder: ends[1], Tunnel: t.Number, Generation: e.record.Generation}
	text, err := seal.Seal(sealing, d.have.self.private, b, e.key)
	if err != nil {
		return err
	}
	d.files(t, e)
	if r := e.record; r.Peer != t.Peer || r.Mesh != want.Mesh {
		why := whyMesh
		if r.Peer != t.Peer {
			why = "the peer was called " + r.Peer
		}
		r.Peer, r.Mesh = t.Peer, want.Mesh
		d.Steps = append(d.Steps, Step{
			Action: StoreKey, Tunnel: t.Number, Peer: t.Peer, Why: why, record: r, key: e.key,
		})
	}
	d.Envelopes = append(d.Envelopes, Envelope{t.Number, want.Name, t.Peer, b.Generation, text})
	return nil
}

// NewKeys lists the tunnels whose peer told another public key than the one in the tunnel's record,
// with the latter. Who asks whether the peer that has it is there puts the answer into Have.Alive.
func NewKeys(want Want, have Have) map[int]string {
	out := map[int]string{}
	for _, t := range want.Tunnels {
		e := have.entries[t.Number]
		for _, p := range want.peers(t.Peer) {
			if e.recorded && p.PublicKey != "" && p.PublicKey != e.record.PeerPublicKey {
				out[t.Number] = e.record.PeerPublicKey
			}
		}
	}
	return out
}

// whyNew says why a new key is needed, or "" when the one that is there fits.
func whyNew(want Want, t plan.PresharedKey, e entry, own, far plan.PublicKey) string {
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
