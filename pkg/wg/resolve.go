package wg

import (
	"fmt"
	"slices"
	"strings"
)

// resolved is a Tunnel with the keys of its peers found.
type resolved struct {
	Tunnel
	peers   []FilePeer // to configure, sorted by name
	kept    []FilePeer // in the file and not to be touched, since something is pending
	pending []Pending
}

// resolve finds the key of every peer: as given, else as the file remembers it
// under the same name, so that a run that does not know all routers (--limit,
// an unreachable host) changes nothing about the others.
func resolve(w Want, t Tunnel, s State) resolved {
	out := resolved{Tunnel: t}
	have := s.Interfaces[t.Name]
	var recorded []FilePeer
	if have.File != nil { // the text of another's file is empty
		recorded = parse(have.File.record())
	}
	for _, p := range t.Peers {
		key := w.keyOf(p)
		old := slices.IndexFunc(recorded, func(f FilePeer) bool { return f.Name == p.Name })
		if key.IsZero() && old >= 0 {
			key = recorded[old].PublicKey
		}
		reason := ""
		_, havePSK := s.PresharedKeys[p.PresharedKeyFile]
		switch {
		case key.IsZero():
			reason = "its public key is not known yet"
		case p.PresharedKeyFile != "" && !havePSK:
			reason = fmt.Sprintf("its pre-shared key file %s does not exist yet", p.PresharedKeyFile)
		}
		if reason != "" {
			out.pending = append(out.pending, Pending{Tunnel: t.Name, Peer: p.Name, Reason: reason})
			continue
		}
		out.peers = append(out.peers, FilePeer{
			Name: p.Name, PublicKey: key, Endpoint: p.Endpoint, AllowedIPs: networks(p.AllowedIPs),
			PersistentKeepalive: p.PersistentKeepalive, PresharedKeyFile: p.PresharedKeyFile,
		})
	}
	if len(out.pending) > 0 {
		out.kept = slices.DeleteFunc(recorded, func(f FilePeer) bool {
			return slices.ContainsFunc(out.peers, func(p FilePeer) bool {
				return p.Name == f.Name || p.PublicKey == f.PublicKey
			})
		})
	}
	slices.SortFunc(out.peers, comparePeers)
	return out
}

func comparePeers(a, b FilePeer) int {
	return strings.Compare(a.Name+" "+a.PublicKey.String(), b.Name+" "+b.PublicKey.String())
}

// text is the wg-quick file that t should have.
func (t resolved) text(w Want, s State) string {
	table := tableHook{closed: slices.Contains(w.filter(s).tunnels, t.Name)}
	if w.MSSClamp || table.closed {
		table.file = w.mssFile()
	}
	peers := append(slices.Clone(t.peers), t.kept...)
	slices.SortFunc(peers, comparePeers)
	return render(t.Tunnel, peers, w.PrivateKeyFile, table)
}

// PendingPeers lists the peers that cannot be configured yet, sorted.
func PendingPeers(w Want, s State) []Pending {
	out := []Pending{}
	for _, t := range w.Tunnels {
		out = append(out, resolve(w, t, s).pending...)
	}
	slices.SortFunc(out, func(a, b Pending) int {
		return strings.Compare(a.Tunnel+" "+a.Peer, b.Tunnel+" "+b.Peer)
	})
	return out
}

// Stale lists the interfaces we made that are not wanted any more, sorted.
func Stale(w Want, s State) []string {
	if out := s.stale(w); out != nil {
		return out
	}
	return []string{}
}
