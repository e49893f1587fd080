package wg

import (
	"fmt"
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/order"
	"github.com/wgmesh/router/pkg/plan"
)

// resolved is a Tunnel with the keys of its peers found.
type resolved struct {
	plan.Tunnel
	peers   []plan.Peer // to configure, sorted by name
	kept    []plan.Peer // in the file and not to be touched, since something is pending
	pending []plan.Pending
	refused []plan.Pending // told something that is not used, and keep the key they have
}

// resolve finds the key of every peer: as given, else as the file remembers it
// under the same name, so that a run that does not know all routers (--limit,
// an unreachable host) changes nothing about the others.
func resolve(w Want, t plan.Tunnel, s Have) resolved {
	out := resolved{Tunnel: t}
	have := s.Interfaces[t.Name]
	var recorded []plan.Peer
	if have.File != nil { // the text of another's file is empty
		recorded = parse(have.File.record())
	}
	for _, p := range t.Peers {
		key, refused := w.keyOf(p), w.refusal(t, p, recorded, s.PublicKey)
		if key.IsZero() || refused != "" {
			key = recordedKey(recorded, p.Name)
		}
		_, havePSK := s.PresharedKeys[p.PresharedKeyFile]
		wait := plan.Pending{Tunnel: t.Name, Peer: p.Name, Refused: refused != ""}
		switch {
		case wait.Refused:
			wait.Reason = p.Name + ": " + refused
		case key.IsZero():
			wait.Reason = "its public key is not known yet"
		case s.Unreadable[p.PresharedKeyFile] != nil:
			wait.Reason = fmt.Sprintf("its pre-shared %v: remove it, then run the mesh play for both ends",
				s.Unreadable[p.PresharedKeyFile])
		case p.PresharedKeyFile != "" && !havePSK:
			wait.Reason = fmt.Sprintf("its pre-shared key file %s does not exist yet", p.PresharedKeyFile)
		}
		waits := key.IsZero() || p.PresharedKeyFile != "" && !havePSK
		if !waits && key != w.keyOf(p) && have.Device.unused(key, recorded) {
			waits = true
			if !wait.Refused {
				wait.Reason = "it told a new public key and goes on with the one before: expected it in this run"
			}
		}
		if waits {
			out.pending = append(out.pending, wait)
			continue
		}
		if wait.Refused {
			out.refused = append(out.refused, wait)
		}
		out.peers = append(out.peers, plan.Peer{
			Name: p.Name, PublicKey: key, Endpoint: p.Endpoint, AllowedIPs: networks(p.AllowedIPs),
			PersistentKeepalive: p.PersistentKeepalive, PresharedKeyFile: p.PresharedKeyFile,
		})
	}
	if len(out.pending) > 0 {
		renamed := len(t.Peers) == 1 && len(recorded) == 1 // perhaps: it may be the same router
		out.kept = slices.DeleteFunc(recorded, func(f plan.Peer) bool {
			is := func(p plan.Peer) bool { return p.Name == f.Name || p.PublicKey == f.PublicKey }
			return slices.ContainsFunc(out.peers, is) || !renamed && !slices.ContainsFunc(t.Peers, is)
		})
	}
	order.By(out.peers, comparePeers)
	return out
}

// unused reports whether a peer that is recorded has no networks yet, since somebody who is
// not recorded has them: whoever told the key goes on with the one before.
func (d *Device) unused(key plan.PublicKey, recorded []plan.Peer) bool {
	if d == nil {
		return false
	}
	var without, other bool
	for _, l := range d.Peers {
		if l.PublicKey == key {
			without = len(l.AllowedIPs) == 0
		} else if len(l.AllowedIPs) > 0 {
			other = other || !has(recorded, l.PublicKey)
		}
	}
	return without && other
}

// refusal says why the key that p told is not used, "" when it is, or when p told
// none. Of two peers of a tunnel that tell the same key it stays with the one that
// has it, or else goes to the first.
func (w Want) refusal(t plan.Tunnel, p plan.Peer, recorded []plan.Peer, own plan.PublicKey) string {
	if !w.told(p) {
		return ""
	}
	key := w.keyOf(p)
	if key.IsZero() {
		return w.Refused[p.Name]
	}
	if key == own {
		return fmt.Sprintf("%s is this router's own public key: expected the peer's", key)
	}
	for i, other := range t.Peers {
		mine := slices.IndexFunc(t.Peers, func(o plan.Peer) bool { return o.Name == p.Name })
		has := recordedKey(recorded, p.Name) == key
		if other.Name != p.Name &&
			(recordedKey(recorded, other.Name) == key || !has && i < mine && w.keyOf(other) == key) {
			return fmt.Sprintf("public key %s is already that of peer %s: make new keys on one of them",
				key, other.Name)
		}
	}
	return ""
}

// recordedKey is the key that a file has for a peer of this name, zero for none.
func recordedKey(recorded []plan.Peer, name string) plan.PublicKey {
	for _, f := range recorded {
		if f.Name == name {
			return f.PublicKey
		}
	}
	return plan.PublicKey{}
}

func comparePeers(a, b plan.Peer) int {
	return strings.Compare(a.Name+" "+a.PublicKey.String(), b.Name+" "+b.PublicKey.String())
}

// text is the wg-quick file that t should have.
func (t resolved) text(w Want, s Have) string {
	table := tableHook{closed: slices.Contains(w.filter(s).tunnels, t.Name)}
	if w.MSSClamp || table.closed {
		table.file = w.mssFile()
	}
	peers := append(slices.Clone(t.peers), t.kept...)
	order.By(peers, comparePeers)
	return render(w.Owner, t.Tunnel, peers, w.PrivateKeyFile, table)
}

// PendingPeers lists the peers that cannot be configured yet, sorted.
func PendingPeers(w Want, s Have) []plan.Pending {
	out := []plan.Pending{}
	for _, t := range w.Tunnels {
		if why := s.Interfaces[t.Name].Silent; why != nil {
			for _, p := range t.Peers {
				out = append(out, plan.Pending{Tunnel: t.Name, Peer: p.Name, Reason: why.Error(), Refused: true})
			}
			continue
		}
		r := resolve(w, t, s)
		out = append(append(out, r.pending...), r.refused...)
	}
	order.By(out, func(a, b plan.Pending) int {
		return strings.Compare(a.Tunnel+" "+a.Peer, b.Tunnel+" "+b.Peer)
	})
	return out
}

// A NewKey is a peer that told another public key than the one it has.
type NewKey struct {
	Tunnel, Peer string
	Have, Told   plan.PublicKey
}

// NewKeys lists the peers that told another public key than the one they have. Who asks whether the
// machine that has the old one is there puts the answer into Want.Refused.
func NewKeys(w Want, s Have) []NewKey {
	var out []NewKey
	for _, t := range w.Tunnels {
		have := s.Interfaces[t.Name]
		if have.File == nil {
			continue
		}
		for _, p := range t.Peers {
			key, old := w.keyOf(p), recordedKey(parse(have.File.record()), p.Name)
			if w.told(p) && !key.IsZero() && !old.IsZero() && key != old {
				out = append(out, NewKey{t.Name, p.Name, old, key})
			}
		}
	}
	return out
}

// Twins are warnings about one public key that peers of two interfaces have. The
// tunnels do not disturb each other, but only one of the two can be its owner.
func Twins(w Want, s Have) []string {
	type end struct{ tunnel, peer string }
	seen := map[plan.PublicKey]end{}
	var out []string
	for _, t := range w.Tunnels {
		for _, p := range resolve(w, t, s).peers {
			if first, twice := seen[p.PublicKey]; twice && first.peer != p.Name {
				out = append(out,
					fmt.Sprintf("%s to %s and %s to %s have the same public key %s: one of the two is not what it says",
						first.tunnel, first.peer, t.Name, p.Name, p.PublicKey))
			}
			seen[p.PublicKey] = end{t.Name, p.Name}
		}
	}
	return out
}

// Stale lists the interfaces we made that are not wanted any more, sorted.
func Stale(w Want, s Have) []string {
	if out := s.stale(w); out != nil {
		return out
	}
	return []string{}
}

// StalePeers lists who is at the other ends of those interfaces, sorted.
func StalePeers(w Want, s Have) []string {
	out := []string{}
	for _, name := range s.stale(w) {
		for _, p := range parse(s.Interfaces[name].File.record()) {
			out = append(out, nameOf([]plan.Peer{p}, p.PublicKey))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
