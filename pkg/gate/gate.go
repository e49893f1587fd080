// Package gate is the door at which a router that joins by itself asks another
// one for the tunnel between the two, over SSH.
//
// Three files make it, all of them public data: the state (which tunnels this
// router has, and with whom), the keys that sshd lets in, each bound to the name
// of one router and to one command, and the host keys by which this router knows
// the others. Admit is the check of what comes through the door.
//
// Who was removed from the mesh is kept in the state as well, so that an older
// inventory does not let it in again: see Removed.
//
// Observe reads, Diff decides, Apply writes. The callers are the module mesh_gate, which sets the
// door up, mesh_peer, which reads the state, and the command `wgmesh gate`.
package gate

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/mark"
	"github.com/wgmesh/router/pkg/plan"
)

// The names of the files in the folder of a Want.
const (
	StateFile      = "gate.json"
	AuthorizedKeys = "authorized_keys" // sshd(8)
	KnownHosts     = "known_hosts"     // sshd(8), by the routers' names
)

// Program is the binary that sshd starts for a caller. It has a path that does
// not change with its content, because sudoers(5) names it too.
const Program = plan.JoinProgram

// A Want is what the door should be like.
type Want struct {
	mark.Owner             // whose door it is
	Router          string // this router's name
	ID              int    // and id
	InterfacePrefix string // of tunnels, such as wg
	Tunnels         []plan.Tunnel
	PresharedKeys   []plan.PresharedKey
	Status          []plan.StatusTunnel
	Peers           []plan.GatePeer    // who may call
	Removed         []plan.GateRemoved // who is out by the inventory
	Apart           []plan.GateRemoved // who is in, without a tunnel to this router
	Directory       string             // of the files, an absolute path
	// OnlyUpdate makes no door where there is none.
	OnlyUpdate bool
	// KeepRemoved is for a router that does this by itself: who was removed by
	// somebody else stays out, whatever the inventory says.
	KeepRemoved bool
	// Heard is what other routers answered: who is out, by the name of who says it.
	Heard map[string][]plan.GateRemoved
}

// plainName is what mesh_plan takes as a router's name. It goes into a line that
// sshd and a shell read.
var plainName = plan.Name{First: plan.Alphanumeric, Rest: plan.Alphanumeric + "._-", Most: 63}

// plainKey reports whether a text is a public key without its comment, as mesh_plan gives it.
func plainKey(text string) bool {
	kind, key, _ := strings.Cut(text, " ")
	key = strings.TrimSuffix(strings.TrimSuffix(key, "="), "=")
	return plan.Only(kind, "abcdefghijklmnopqrstuvwxyz0123456789-") && plan.Only(key, plan.Alphanumeric+"+/")
}

// Validate refuses a Want that cannot be right on any host. Errors name the options of mesh_gate.
func (w Want) Validate() error {
	errs := []error{w.Owner.Validate()}
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if !plainName.Fits(w.Router) {
		bad("plan.router.name: %q: expected the name of this router in the inventory, "+
			"of letters, digits, '.', '-' and '_'", w.Router)
	}
	if w.ID < 1 {
		bad("plan.router.id: %d: expected the id of this router in the inventory", w.ID)
	}
	if !filepath.IsAbs(w.Directory) {
		bad("directory: expected an absolute path, got %q", w.Directory)
	}
	seen := map[string]string{}
	for i, p := range w.Peers {
		switch {
		case !plainName.Fits(p.Name) || p.Name == w.Router:
			bad("plan.gate.peers[%d].name: %q: expected the name of another router, "+
				"of letters, digits, '.', '-' and '_'", i, p.Name)
		case !slices.ContainsFunc(w.PresharedKeys, func(k plan.PresharedKey) bool { return k.Peer == p.Name }):
			bad("plan.gate.peers[%d].name: there is no tunnel to %s in preshared_keys; "+
				"take both from one mesh_plan_info", i,
				p.Name)
		}
		if !plainKey(p.HostKey) {
			bad("plan.gate.peers[%d].host_key: expected the type and the key of an SSH public key and no comment", i)
		}
		if other := seen[p.HostKey]; other != "" {
			bad("plan.gate.peers[%d].host_key: it is that of %s too; each router needs its own", i, other)
		}
		seen[p.HostKey] = p.Name
	}
	return errors.Join(errs...)
}

// authorizedKeys returns the lines by which sshd lets the peers in. restrict
// turns off everything that is not running the one command (sshd(8),
// AUTHORIZED_KEYS FILE FORMAT); what the caller asked to run is not looked at.
func (w Want) authorizedKeys() string {
	var b strings.Builder
	b.WriteString(header + w.Line())
	for _, p := range w.Peers {
		fmt.Fprintf(&b, "restrict,command=\"sudo -n %s gate %s\" %s %s\n", Program, p.Name, p.HostKey, p.Name)
	}
	return b.String()
}

func (w Want) knownHosts() string {
	var b strings.Builder
	b.WriteString(header + w.Line())
	for _, p := range w.Peers {
		fmt.Fprintf(&b, "%s %s\n", p.Name, p.HostKey)
	}
	return b.String()
}

const header = "# Written by the Ansible module wgmesh.router.mesh_gate: changes by hand are lost.\n"
