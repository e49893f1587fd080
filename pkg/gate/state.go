package gate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/plan"
)

// A State is what this router knows of its own tunnels. A caller's word counts
// for nothing of this: only public keys and envelopes come from outside.
type State struct {
	MadeBy          string              `json:"made_by"`
	Mesh            string              `json:"mesh,omitempty"`
	Router          string              `json:"router"`
	InterfacePrefix string              `json:"interface_prefix"`
	Tunnels         []plan.Tunnel       `json:"tunnels"`
	PresharedKeys   []plan.PresharedKey `json:"preshared_keys"`
	Status          []plan.StatusTunnel `json:"status"`
	Peers           []plan.GatePeer     `json:"peers"`
	Removed         []Removed           `json:"removed"` // by name
}

const madeBy = "wgmesh.router"

// A Link is the one tunnel between this router and a peer.
type Link struct {
	Tunnel       plan.Tunnel
	PresharedKey plan.PresharedKey
	Status       plan.StatusTunnel
}

func (w Want) state(removed []Removed) (string, error) {
	text, err := json.MarshalIndent(State{
		MadeBy: madeBy, Mesh: w.Mesh, Router: w.Router, InterfacePrefix: w.InterfacePrefix,
		Tunnels: w.Tunnels, PresharedKeys: w.PresharedKeys, Status: w.Status, Peers: w.Peers, Removed: removed,
	}, "", "  ")
	return string(text) + "\n", err
}

// Read returns the state of this router. An error says what to do about it.
func Read(path string) (State, error) {
	var s State
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, fmt.Errorf("%s does not exist: "+
			"this router has not joined yet; its own `wgmesh join`, or the module mesh_gate, makes it", path)
	}
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil || s.MadeBy != madeBy {
		return s, fmt.Errorf(
			"%s is damaged or not ours: run `wgmesh join` or the module mesh_gate on this router", path)
	}
	return s, nil
}

// Link finds the tunnel between this router and a peer.
func (s State) Link(peer string) (Link, error) {
	if i := slices.IndexFunc(s.Removed, func(r Removed) bool { return r.Name == peer }); i >= 0 {
		return Link{}, fmt.Errorf("%s has no tunnel to %s, which was removed from the mesh, %s",
			s.Router, peer, s.Removed[i].Why())
	}
	k := slices.IndexFunc(s.PresharedKeys, func(k plan.PresharedKey) bool { return k.Peer == peer })
	t := slices.IndexFunc(s.Tunnels, func(t plan.Tunnel) bool {
		return slices.ContainsFunc(t.Peers, func(p plan.Peer) bool { return p.Name == peer })
	})
	u := slices.IndexFunc(s.Status, func(t plan.StatusTunnel) bool { return t.Peer == peer })
	if k < 0 || t < 0 || u < 0 {
		var names []string
		for _, k := range s.PresharedKeys {
			names = append(names, k.Peer)
		}
		return Link{}, fmt.Errorf("%s has no tunnel to %q: its inventory knows %s; "+
			"it looks again when its wgmesh-join.timer runs", s.Router, peer, strings.Join(names, ", "))
	}
	return Link{Tunnel: s.Tunnels[t], PresharedKey: s.PresharedKeys[k], Status: s.Status[u]}, nil
}

// Knows reports whether this router has a tunnel to a peer of that name.
func (s State) Knows(peer string) bool {
	return slices.ContainsFunc(s.PresharedKeys, func(k plan.PresharedKey) bool { return k.Peer == peer })
}
