package gate

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/order"
	"github.com/wgmesh/router/pkg/plan"
)

// By whom a router was removed, and so who lets it in again.
const (
	// ByMesh is the operator's word: the mesh play, with the inventory of all. Only
	// the mesh play takes it back, by an inventory that calls the router present.
	// This router's own inventory cannot: it may be older, or a tag in a cloud that
	// still counts a machine which was taken over.
	ByMesh = "mesh"
	// ByInventory is this router's own inventory, which calls it absent. It lasts as
	// long as the inventory says so.
	ByInventory = "inventory"
	// ByPeers is what most of the others said when this router asked them. It lasts
	// until most of them say something else.
	ByPeers = "peers"
)

// A Removed is a router that was taken out of the mesh and must not come back by itself.
type Removed struct {
	plan.GateRemoved
	By string `json:"by"`
}

// Why says in words who removed it.
func (r Removed) Why() string {
	switch r.By {
	case ByMesh:
		return "by a run of the mesh play; one with an inventory that calls it present lets it in again"
	case ByInventory:
		return "by the inventory here, which calls it absent"
	default:
		return "as most of the others say"
	}
}

// settle works out who is out, from the want and from what was known before, and takes those out of
// the want, whatever its plan says. The warnings are about what others say and the plan does not.
func (w Want) settle(old State) (Want, []Removed, []string) {
	var removed []Removed
	var warnings []string
	w.Peers = w.inherit(old)
	if w.KeepRemoved {
		removed, warnings = w.byItself(old)
	} else {
		removed = w.byOperator(old)
	}
	order.By(removed, func(a, b Removed) int { return cmp.Compare(a.Name, b.Name) })
	return w.without(removed), append([]Removed{}, removed...), warnings
}

// byOperator takes the inventory's word for everything: who it calls absent and who has vanished
// from it are out, and who it calls present is in. Who only got another name has not vanished. Who
// was out already stays out when another router gets the number.
func (w Want) byOperator(old State) []Removed {
	gone := peers(w.ID, old.PresharedKeys, old.Peers)
	here := len(gone)
	for _, r := range old.Removed {
		gone = append(gone, r.GateRemoved)
	}
	removed := []Removed{}
	for _, r := range w.Removed {
		// The key may be known here and not there, as in inherit.
		if i := slices.IndexFunc(gone, func(g plan.GateRemoved) bool {
			return g.Name == r.Name && g.ID == r.ID
		}); i >= 0 && r.HostKey == "" {
			r.HostKey = gone[i].HostKey
		}
		removed = append(removed, Removed{r, ByMesh})
	}
	planned := append(peers(w.ID, w.PresharedKeys, w.Peers), w.Apart...)
	for i, r := range gone {
		if !slices.ContainsFunc(planned, func(p plan.GateRemoved) bool {
			return p.Name == r.Name || i < here && p.ID == r.ID
		}) && !listed(removed, r.Name) {
			by := ByMesh
			if i >= here && old.Removed[i-here].By == ByPeers {
				by = ByPeers // what was only heard stays so: a turn of one router plans without it, too
			}
			removed = append(removed, Removed{r, by})
		}
	}
	for i := range removed {
		if slices.ContainsFunc(w.Peers, func(p plan.GatePeer) bool { return p.HostKey == removed[i].HostKey }) {
			removed[i].HostKey = "" // the machine is here under another name
		}
	}
	return removed
}

// inherit lists who may call, with the host keys that are known already of those
// for whom the inventory has none: it may be the routers' own inventories alone that
// have them, and a cloud that limits how often it is asked leaves one out now and then.
func (w Want) inherit(old State) []plan.GatePeer {
	out := []plan.GatePeer{}
	for _, k := range w.PresharedKeys {
		named := func(p plan.GatePeer) bool { return p.Name == k.Peer }
		if i := slices.IndexFunc(w.Peers, named); i >= 0 {
			out = append(out, w.Peers[i])
			continue
		}
		i := slices.IndexFunc(old.Peers, named)
		same := slices.ContainsFunc(old.PresharedKeys, func(o plan.PresharedKey) bool {
			return o.Peer == k.Peer && o.Number == k.Number
		})
		if i >= 0 && same && !slices.ContainsFunc(w.Peers, func(p plan.GatePeer) bool {
			return p.HostKey == old.Peers[i].HostKey
		}) {
			out = append(out, old.Peers[i])
		}
	}
	return out
}

// byItself is for a router that has nobody's word but its own inventory's and the others'.
func (w Want) byItself(old State) (removed []Removed, warnings []string) {
	removed = slices.DeleteFunc(slices.Clone(old.Removed), func(r Removed) bool { return r.By != ByMesh })
	for _, r := range w.Removed {
		if !listed(removed, r.Name) {
			removed = append(removed, Removed{r, ByInventory})
		}
	}
	warn := func(format string, a ...any) { warnings = append(warnings, fmt.Sprintf(format, a...)) }
	for _, r := range old.Removed {
		if r.By != ByPeers || listed(removed, r.Name) {
			continue
		}
		if _, against, all := w.vote(r.GateRemoved); carried(against, all) {
			warn("%s is in the mesh again, say %s (%d of the %d that answered)", r.Name,
				strings.Join(against, ", "), len(against), all)
		} else {
			removed = append(removed, r)
		}
	}
	for _, r := range peers(w.ID, w.PresharedKeys, w.Peers) {
		voices, _, all := w.vote(r)
		switch {
		case len(voices) == 0 || listed(removed, r.Name):
		case carried(voices, all):
			removed = append(removed, Removed{r, ByPeers})
			warn("%s was removed from the mesh, say %s (%d of the %d that answered): "+
				"its tunnel, its keys and its entry in the gate go here too",
				r.Name, strings.Join(voices, ", "), len(voices), all)
		default:
			warn("%s was removed from the mesh, says %s, which is not believed: it takes two, "+
				"and more than half of the %d that answered; if it is true, run the mesh play, and if not, "+
				"look at who says it", r.Name, strings.Join(voices, ", "), all)
		}
	}
	return removed, warnings
}

func listed(removed []Removed, name string) bool {
	return slices.ContainsFunc(removed, func(r Removed) bool { return r.Name == name })
}

func peers(id int, keys []plan.PresharedKey, known []plan.GatePeer) []plan.GateRemoved {
	var out []plan.GateRemoved
	for _, k := range keys {
		r := plan.GateRemoved{Name: k.Peer, ID: plan.Other(id, k.Number)}
		if i := slices.IndexFunc(known, func(p plan.GatePeer) bool { return p.Name == k.Peer }); i >= 0 {
			r.HostKey = known[i].HostKey
		}
		out = append(out, r)
	}
	return out
}

// vote asks what was heard about a router. It has no voice itself, and neither has
// anybody that the plan does not know.
func (w Want) vote(about plan.GateRemoved) (with, against []string, all int) {
	for _, voter := range slices.Sorted(maps.Keys(w.Heard)) {
		known := State{PresharedKeys: w.PresharedKeys}.Knows(voter)
		switch {
		case voter == about.Name || !known:
		case slices.ContainsFunc(w.Heard[voter], func(r plan.GateRemoved) bool {
			return r.Name == about.Name && r.ID == about.ID
		}):
			with = append(with, voter)
		default:
			against = append(against, voter)
		}
	}
	return with, against, len(with) + len(against)
}

// carried reports whether these voices are enough, so that one router that lies can neither remove
// another one nor bring one back: at least two, and most of those that answered.
func carried(voices []string, all int) bool { return len(voices) >= 2 && 2*len(voices) > all }

// without takes routers out of a want, by their names and by their host keys.
func (w Want) without(removed []Removed) Want {
	out := func(name string) bool { return listed(removed, name) }
	w.PresharedKeys = slices.DeleteFunc(slices.Clone(w.PresharedKeys), func(k plan.PresharedKey) bool {
		return out(k.Peer)
	})
	w.Status = slices.DeleteFunc(slices.Clone(w.Status), func(t plan.StatusTunnel) bool { return out(t.Peer) })
	w.Tunnels = slices.DeleteFunc(slices.Clone(w.Tunnels), func(t plan.Tunnel) bool {
		return slices.ContainsFunc(t.Peers, func(p plan.Peer) bool { return out(p.Name) })
	})
	w.Peers = slices.DeleteFunc(slices.Clone(w.Peers), func(p plan.GatePeer) bool {
		return out(p.Name) || slices.ContainsFunc(removed, func(r Removed) bool { return r.HostKey == p.HostKey })
	})
	return w
}

// FirstHand lists who is out by this router's own knowledge, for others that ask. What it only
// heard of others it does not repeat: a rumour would keep itself alive.
func (s State) FirstHand() []plan.GateRemoved {
	out := []plan.GateRemoved{}
	for _, r := range s.Removed {
		if r.By != ByPeers {
			out = append(out, plan.GateRemoved{Name: r.Name, ID: r.ID})
		}
	}
	return out
}

// Out returns the entry that keeps a router out against this router's inventory:
// by its name, or by its host key if it comes under another name.
func (s State) Out(name, hostKey string) (Removed, bool) {
	for _, r := range s.Removed {
		if r.By != ByInventory && (r.Name == name || r.HostKey != "" && r.HostKey == hostKey) {
			return r, true
		}
	}
	return Removed{}, false
}
