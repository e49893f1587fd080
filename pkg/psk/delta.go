package psk

import (
	"slices"
	"strconv"
	"strings"

	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/seal"
)

// An Action is a kind of Step.
type Action int

// The actions. Removal comes last.
const (
	Mend      Action = iota // give a file its mode and owner
	MakeKey                 // make a key of the next generation, and seal it
	StoreKey                // write a key that is known, with its record
	ClearFile               // remove a temporary file of a killed run
	RemoveKey               // remove the key of a tunnel that is gone
)

// A Step is one thing that Apply does.
type Step struct {
	Action Action
	Tunnel int
	Peer   string
	Why    string

	path    string         // Mend, ClearFile
	record  Record         // MakeKey: without its PSKID; StoreKey
	key     seal.PSK       // StoreKey
	sealing seal.PublicKey // MakeKey: of the peer
	ends    [2]seal.End    // MakeKey: initiator, responder
}

// A Pending is a tunnel whose key has to wait for something.
type Pending struct {
	Tunnel int    `json:"tunnel"`
	Peer   string `json:"peer"`
	Reason string `json:"reason"`
	// Refused says that the peer told something that is not used. Time does not mend that.
	Refused bool `json:"refused,omitempty"`
}

// A Held is a key that this router holds, by its id.
type Held struct {
	Tunnel     int    `json:"tunnel"`
	Peer       string `json:"peer"`
	PSKID      string `json:"psk_id"`
	Generation int64  `json:"generation"`
}

// held is the key of a record, by the name that the peer has now.
func (r Record) held(peer string) Held { return Held{r.Tunnel, peer, r.PSKID, r.Generation} }

// A Delta is what has to be done, and what came out of planning it.
type Delta struct {
	Steps     []Step
	Pending   []Pending
	Envelopes []Envelope // of keys that exist; Apply adds those it makes

	warnings []string
	role     string
	tunnels  []plan.PresharedKey
	have     Have
}

// Empty reports whether there is nothing to do.
func (d Delta) Empty() bool { return len(d.Steps) == 0 }

// Warnings are about keys that others may have read.
func (d Delta) Warnings() []string { return d.warnings }

// Wipe overwrites all keys that the delta knows. Apply does it at its end.
func (d Delta) Wipe() {
	d.have.Wipe()
	for _, s := range d.Steps {
		s.key.Wipe()
	}
}

// Touched lists the files of keys and records that Apply writes or removes.
func (d Delta) Touched() []string {
	var out []string
	for _, s := range d.Steps {
		if s.Action == ClearFile { // nobody reads it
			continue
		}
		record, key := paths(d.have.dir, s.Tunnel)
		out = append(out, record, key)
	}
	return out
}

// files adds the steps that mend or clear the files of a tunnel. They come
// before a new key is written: a replaced file keeps its owner.
func (d *Delta) files(t plan.PresharedKey, e entry) {
	for _, f := range e.files {
		if faults := f.Faults(); len(faults) > 0 {
			why := strings.Join(faults, ", ")
			d.Steps = append(d.Steps, Step{Action: Mend, Tunnel: t.Number, Peer: t.Peer, Why: why, path: f.Path})
			if f.Exposed() && strings.HasSuffix(f.Path, ".psk") {
				d.warnings = append(d.warnings,
					f.Path+" was open to other users ("+why+
						"); if anybody may have read it, make a new key with rotate: ["+strconv.Itoa(t.Number)+"]")
			}
		}
	}
	for _, path := range e.leftovers {
		d.Steps = append(d.Steps,
			Step{Action: ClearFile, Tunnel: t.Number, Peer: t.Peer, Why: "left by a run that was killed", path: path})
	}
}

func (d *Delta) wait(t plan.PresharedKey, reason string) {
	d.Pending = append(d.Pending, Pending{Tunnel: t.Number, Peer: t.Peer, Reason: reason})
}

// refuse is wait for what the peer told and is not used.
func (d *Delta) refuse(t plan.PresharedKey, why error) {
	d.Pending = append(d.Pending, Pending{t.Number, t.Peer, t.Peer + ": " + why.Error(), true})
}

// purge removes what is the owner's. A record of a version before meshes had names is
// a mesh's when its peer was removed.
func (d *Delta) purge(want Want) {
	for _, r := range d.have.orphans {
		if r.Mesh == "" && want.Mesh != "" && !slices.Contains(want.Removed, r.Peer) ||
			r.Mesh != "" && !want.Owns(r.Mesh) ||
			want.StalePeers != nil && !slices.Contains(want.StalePeers, r.Peer) {
			continue
		}
		d.Steps = append(d.Steps, Step{
			Action: RemoveKey, Tunnel: r.Tunnel, Peer: r.Peer, Why: "the tunnel is gone", record: r,
		})
	}
}

// A Row is one line of what --diff shows. Nothing in it is secret.
type Row struct {
	Tunnel     int    `json:"tunnel"`
	Peer       string `json:"peer"`
	Mesh       string `json:"mesh,omitempty"`
	Generation string `json:"generation"`
	PSKID      string `json:"psk_id"`
	Files      string `json:"files"`
}

const (
	whole   = "as they should be"
	whyMesh = "it says for which mesh from now on"
)

// Views returns the keys of the tunnels in question as they are and as Apply
// makes them. A key that Apply makes is named, not shown: it does not exist yet.
func (d Delta) Views() (before, after []Row) {
	before, after = []Row{}, []Row{}
	for _, t := range d.tunnels {
		e := d.have.entries[t.Number]
		was := Row{Tunnel: t.Number, Peer: t.Peer, Generation: "none", PSKID: "none", Files: "absent"}
		if e.recorded || !e.key.IsZero() || e.broken != nil {
			was.Files = whole
		}
		if e.recorded {
			was.Peer, was.Mesh, was.Generation = e.record.Peer, e.record.Mesh, e.record.generation()
		}
		if id := e.key.ID(); id != "" {
			was.PSKID = id
		}
		is := was
		var wrong []string
		for _, s := range d.Steps {
			if s.Tunnel != t.Number {
				continue
			}
			switch s.Action {
			case Mend, ClearFile:
				wrong = append(wrong, s.path+": "+s.Why)
				is.Files = whole
			case MakeKey:
				is = Row{t.Number, t.Peer, s.record.Mesh, "next", "a new key: " + s.Why, whole}
			case StoreKey:
				is = Row{t.Number, t.Peer, s.record.Mesh, s.record.generation(), s.record.PSKID, whole}
			}
		}
		if len(wrong) > 0 {
			was.Files = strings.Join(wrong, "; ")
		}
		before, after = append(before, was), append(after, is)
	}
	for _, s := range d.Steps {
		if s.Action == RemoveKey {
			before = append(before, Row{
				s.Tunnel, s.Peer, s.record.Mesh, s.record.generation(), s.record.PSKID, "of a tunnel that is gone",
			})
		}
	}
	return before, after
}

func (r Record) generation() string { return strconv.FormatInt(r.Generation, 10) }

// Held returns the keys that there will be when Apply is done, but for those that it makes.
func (d Delta) Held() []Held {
	out := []Held{}
	for _, t := range d.tunnels {
		e := d.have.entries[t.Number]
		h, ok := e.record.held(t.Peer), e.holds()
		for _, s := range d.Steps {
			switch {
			case s.Tunnel != t.Number:
			case s.Action == MakeKey:
				ok = false
			case s.Action == StoreKey:
				h, ok = s.record.held(t.Peer), true
			}
		}
		if ok {
			out = append(out, h)
		}
	}
	return out
}
