package psk

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/wgmesh/router/pkg/atomicfile"
	"github.com/wgmesh/router/pkg/order"
	"github.com/wgmesh/router/pkg/seal"
	"github.com/wgmesh/router/pkg/seal/keyfile"
)

// An Outcome is what Apply adds to what the delta knew.
type Outcome struct {
	Envelopes []Envelope // all of them, by tunnel
	Held      []Held     // all of them, by tunnel
	Done      []string   // what was done, in words
}

// Outcome returns what there is without Apply.
func (d Delta) Outcome() Outcome { return Outcome{Envelopes: d.Envelopes, Held: d.Held()} }

// Apply does the steps in their order and stops at the first error. It returns
// the outcome so far. An envelope is returned only for a key that is on the disk.
func (Host) Apply(_ context.Context, d Delta) (Outcome, error) {
	defer d.Wipe()
	out := d.Outcome()
	for _, s := range d.Steps {
		word, err := d.step(s, &out)
		if err != nil {
			return out, fmt.Errorf("tunnel %d to %s: %w", s.Tunnel, s.Peer, err)
		}
		out.Done = append(out.Done, fmt.Sprintf("%s tunnel %d to %s (%s)", word, s.Tunnel, s.Peer, s.Why))
	}
	order.By(out.Envelopes, func(a, b Envelope) int { return a.Tunnel - b.Tunnel })
	order.By(out.Held, func(a, b Held) int { return a.Tunnel - b.Tunnel })
	return out, nil
}

func (d Delta) step(s Step, out *Outcome) (done string, err error) {
	switch s.Action {
	case Mend:
		return "mended mode or owner of " + s.path + ",", keyfile.Mend(s.path)
	case ClearFile:
		return "removed " + s.path + ",", atomicfile.Remove(s.path)
	case MakeKey:
		return "made a key for", d.makeKey(s, out)
	case StoreKey:
		return "stored the key of", d.write(s.record, s.key)
	case RemoveKey:
		return "removed the key of", d.remove(s.record)
	}
	return "", fmt.Errorf("unknown action %d", s.Action)
}

func (d Delta) makeKey(s Step, out *Outcome) error {
	if d.have.self.absent != nil {
		return d.have.self.absent
	}
	key := seal.NewPSK()
	defer key.Wipe()
	s.record.PSKID = key.ID()
	// Sealing first: when the peer's keys are no good, nothing is written.
	text, err := seal.Seal(s.sealing, d.have.self.private, seal.Binding{
		Initiator: s.ends[0], Responder: s.ends[1], Tunnel: s.Tunnel, Generation: s.record.Generation,
	}, key)
	if err != nil {
		return err
	}
	if err := d.write(s.record, key); err != nil {
		return err
	}
	out.Envelopes = append(out.Envelopes, Envelope{s.Tunnel, s.ends[0].Name, s.ends[1].Name, s.record.Generation, text})
	out.Held = append(out.Held, s.record.held(s.Peer))
	return nil
}

// write puts the record first, see the package comment.
func (d Delta) write(r Record, key seal.PSK) error {
	if _, err := keyfile.MakeDir(d.have.dir); err != nil {
		return err
	}
	record, err := json.Marshal(r)
	if err != nil {
		return err
	}
	text := key.Encode()
	defer seal.Wipe(text)
	recordPath, keyPath := paths(d.have.dir, r.Tunnel)
	if err := atomicfile.Write(recordPath, append(record, '\n'), keyfile.Mode); err != nil {
		return err
	}
	return atomicfile.Write(keyPath, text, keyfile.Mode)
}

// remove takes the key first: the record is what says that it is ours.
func (d Delta) remove(r Record) error {
	recordPath, keyPath := paths(d.have.dir, r.Tunnel)
	left, err := atomicfile.Leftovers(keyPath)
	if err != nil {
		return err
	}
	for _, path := range append(left, keyPath, recordPath) {
		if err := atomicfile.Remove(path); err != nil {
			return err
		}
	}
	return nil
}
