// Package psk looks after the pre-shared keys of a router's tunnels. The
// initiator of a tunnel makes the key and seals it to the responder; the
// responder opens the envelope. The key itself never leaves the two routers.
//
// Every tunnel has two files in the store: <number>.psk, the key as `wg genpsk` writes it, and
// <number>.json, a Record: which generation it is, its id, and the two public keys it is bound to.
// The record is written first. A crash between the two leaves a record whose id is not that of the
// key: the next run makes or stores a key again, and no generation is ever used twice. The old key
// stays in place until then, so the tunnel goes on.
//
// A generation is the millisecond (Unix time) in which the key was made, or one
// more than the recorded generation where that is higher. So it grows also when
// an initiator has lost its store, without asking the responder.
//
// Observe reads, Diff decides, Apply writes. The one caller is the module wg_psk.
package psk

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wgmesh/router/pkg/mark"
	"github.com/wgmesh/router/pkg/order"
	"github.com/wgmesh/router/pkg/plan"
)

// maxGeneration is above every generation; JSON carries it without a loss.
const maxGeneration = 1 << 53

// A Peer is what a router of this run told about itself. A key that it does not have yet is "".
type Peer struct {
	Name       string `json:"name"`
	PublicKey  string `json:"public_key"`  // WireGuard, base64
	SealingKey string `json:"sealing_key"` // MLKEM768-X25519, base64
}

// An Envelope carries one pre-shared key from the initiator to the responder.
type Envelope struct {
	Tunnel     int    `json:"tunnel"`
	From       string `json:"from"`
	To         string `json:"to"`
	Generation int64  `json:"generation"`
	Sealed     string `json:"sealed"` // base64, see package seal
}

// Want is what the store of this router should be like.
type Want struct {
	Name       string              `json:"name"`      // of this router
	Tunnels    []plan.PresharedKey `json:"tunnels"`   // all of this router's tunnels
	Peers      []Peer              `json:"peers"`     // the routers of this run; the tunnels of others are left alone
	Rotate     []string            `json:"rotate"`    // sealing: tunnel numbers, peer names, or "true" for all
	Envelopes  []Envelope          `json:"envelopes"` // opening: those for other routers are ignored
	mark.Owner                     // for whom the keys are
	Removed    []string            `json:"removed"`     // peers that are out of the mesh
	Purge      bool                `json:"purge"`       // remove the owner's keys whose tunnel is not in Tunnels
	StalePeers []string            `json:"stale_peers"` // and of these only; nil: of all
	Directory  string              `json:"directory"`   // the store, an absolute path
	Now        time.Time           `json:"-"`
}

// Validate refuses a Want that cannot be right on any host, with all problems at
// once. Errors name the options of wg_psk. What other routers told (peers and
// envelopes) is not looked at: it is wrong for their own tunnels only.
func (w Want) Validate() error {
	errs := []error{w.Owner.Validate()}
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if !strings.HasPrefix(w.Directory, "/") {
		bad("directory: expected an absolute path, got %q", w.Directory)
	}
	numbers := map[int]plan.PresharedKey{}
	for i, t := range w.Tunnels {
		if t.Number < 1 {
			bad("tunnels[%d].number: expected 1 or more, got %d", i, t.Number)
		} else if other, taken := numbers[t.Number]; taken {
			bad("tunnels[%d].number: %d is already the tunnel to %s", i, t.Number, other.Peer)
		}
		if t.Peer == "" || t.Peer == w.Name {
			bad("tunnels[%d].peer: expected the name of another router, got %q", i, t.Peer)
		}
		if t.Role != plan.Initiator && t.Role != plan.Responder {
			bad("tunnels[%d].role: expected initiator or responder, got %q", i, t.Role)
		}
		numbers[t.Number] = t
	}
	return errors.Join(errs...)
}

// tunnels returns the tunnels in which this router has the role, by number.
func (w Want) tunnels(role string) []plan.PresharedKey {
	out := slices.DeleteFunc(slices.Clone(w.Tunnels), func(t plan.PresharedKey) bool { return t.Role != role })
	order.By(out, func(a, b plan.PresharedKey) int { return a.Number - b.Number })
	return out
}

func (w Want) peers(name string) []Peer {
	return slices.DeleteFunc(slices.Clone(w.Peers), func(p Peer) bool { return p.Name != name })
}

// rotates reports whether a new key was asked for. Words that name no tunnel of
// this router are for other routers: the same list goes to all of them.
func (w Want) rotates(t plan.PresharedKey) bool {
	for _, word := range w.Rotate {
		switch strings.ToLower(word) {
		case "true", "yes", "on", "all":
			return true
		}
		if word == t.Peer || word == strconv.Itoa(t.Number) {
			return true
		}
	}
	return false
}
