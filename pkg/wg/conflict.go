package wg

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/wgmesh/router/pkg/mark"
	"github.com/wgmesh/router/pkg/order"
	"github.com/wgmesh/router/pkg/plan"
)

// conflicts finds what stands in the way of the changes of d: ports and addresses
// that something else has. Between our own interfaces it makes room; for what is not
// ours it returns an error that names the owner.
func (d *Delta) conflicts(w Want, have Have) error {
	var errs []error
	for _, t := range slices.Clone(d.Tunnels) {
		i := slices.IndexFunc(w.Tunnels, func(o plan.Tunnel) bool { return o.Name == t.Name })
		want := w.Tunnels[i]
		if port := want.ListenPort; port != 0 && (t.Start || t.Device.ListenPort != 0) {
			errs = append(errs, d.port(w, have, t.Name, port))
		}
		add := t.AddAddresses
		if t.Start {
			add = want.Addresses
		}
		for _, a := range add {
			errs = append(errs, d.address(w, have, t.Name, a.Addr()))
		}
	}
	order.By(d.Remove, func(a, b Removal) int { return strings.Compare(a.Name, b.Name) })
	order.By(d.Tunnels, func(a, b TunnelDelta) int { return strings.Compare(a.Name, b.Name) })
	return errors.Join(errs...)
}

// port makes room for an interface that is to listen on a port.
func (d *Delta) port(w Want, have Have, name string, port int) error {
	for _, other := range sortedKeys(have.Interfaces) {
		dev := have.Interfaces[other].Device
		if other == name || dev == nil || dev.ListenPort != port {
			continue
		}
		if _, wanted := w.names()[other]; wanted {
			d.release(other)
			return nil
		}
		return d.replace(w, have, other, fmt.Sprintf("%s: UDP port %d", name, port))
	}
	if owner := have.Ports[port]; owner != "" {
		return fmt.Errorf("%s: UDP port %d is held by %s: end that, "+
			"or give the tunnel another port (listen_port, in a play mesh_port_base)", name, port, owner)
	}
	return nil
}

// address makes room for an interface that is to have an address.
func (d *Delta) address(w Want, have Have, name string, a netip.Addr) error {
	for _, other := range sortedKeys(have.Interfaces) {
		link := have.Interfaces[other].Link
		if _, wanted := w.names()[other]; wanted || link == nil {
			continue // a wanted one gives up what it is not to have
		}
		if slices.ContainsFunc(link.Addresses, func(p netip.Prefix) bool { return p.Addr() == a }) {
			return d.replace(w, have, other, fmt.Sprintf("%s: address %s", name, a))
		}
	}
	if owner := have.Elsewhere[a]; owner != "" {
		return fmt.Errorf("%s: address %s is on interface %s, which wgmesh.router did not make: "+
			"remove it there, or choose other addresses (in a play mesh_link_pool)", name, a, owner)
	}
	return nil
}

// release has an interface listen anywhere for a moment: another one gets its port.
func (d *Delta) release(name string) {
	i := slices.IndexFunc(d.Tunnels, func(t TunnelDelta) bool { return t.Name == name })
	if i < 0 {
		d.Tunnels = append(d.Tunnels, TunnelDelta{Name: name})
		i = len(d.Tunnels) - 1
	}
	d.Tunnels[i].Release = true
}

// replace removes an interface of this mesh that is not wanted and in the way, if what is
// not wanted may be removed.
func (d *Delta) replace(w Want, have Have, name, what string) error {
	file := have.Interfaces[name].File
	switch {
	case file != nil && file.Ours && !w.made(file):
		return fmt.Errorf("%s is that of interface %s, which wg_tunnel made for %s: choose another for one of the two",
			what, name, cmp.Or(file.mesh(), "no mesh"))
	case file == nil || !file.Ours:
		return fmt.Errorf("%s is that of interface %s, which wgmesh.router did not make: "+
			"remove it with `ip link delete %s`", what, name, name)
	case !w.Purge && !w.Replace:
		return fmt.Errorf("%s is that of interface %s, which is not wanted any more: set purge: "+
			"true to have it removed, or a guard to have it replaced", what, name)
	}
	if i := slices.IndexFunc(d.Remove, func(r Removal) bool { return r.Name == name }); i >= 0 {
		d.Remove[i].First = true
	} else {
		d.Remove = append(d.Remove, Removal{Name: name, First: true})
	}
	return nil
}

// mesh is the one that a file of ours says it was made for.
func (f File) mesh() string { return mark.Of(f.record()) }

// made reports whether an interface that w does not name was made for the mesh of w, so that w may
// remove it. Without a mesh those are the user's own. A file of a version before meshes had names
// counts when all of its peers were removed: a router that was taken over has to lose its tunnels.
func (w Want) made(f *File) bool {
	if f == nil || !f.Ours {
		return false
	}
	if mesh := f.mesh(); mesh != "" || w.Mesh == "" {
		return w.Owns(mesh)
	}
	peers := parse(f.record())
	return len(peers) > 0 && !slices.ContainsFunc(peers, func(p plan.Peer) bool {
		return !slices.Contains(w.Removed, p.Name)
	})
}

// Gone is what a look before found stale. What another run has made since is not of it, even
// under the same name.
type Gone struct{ Names, Peers []string }

// purges reports whether a purge is of an interface that w does not name.
func (w Want) purges(name string, f *File) bool {
	return w.made(f) && (w.Stale == nil || slices.Contains(w.Stale.Names, name) &&
		!slices.ContainsFunc(parse(f.record()), func(p plan.Peer) bool {
			return !slices.Contains(w.Stale.Peers, nameOf([]plan.Peer{p}, p.PublicKey))
		}))
}

// others are the interfaces that wg_tunnel made for somebody else, sorted.
func (s Have) others(w Want) []string {
	wanted := w.names()
	var out []string
	for _, name := range sortedKeys(s.Interfaces) {
		f := s.Interfaces[name].File
		if _, ok := wanted[name]; !ok && f != nil && f.Ours && !w.purges(name, f) {
			out = append(out, name)
		}
	}
	return out
}

// notOurs refuses a wanted interface that wg_tunnel made for somebody else. A file of
// a version before meshes had names is taken over when it is this very tunnel.
func (w Want) notOurs(t plan.Tunnel, f File) error {
	file := filepath.Join(w.Directory, t.Name+".conf")
	mesh := f.mesh()
	if w.Owns(mesh) {
		return nil
	}
	if mesh != "" {
		return fmt.Errorf("%s: %s belongs to the mesh %s: "+
			"choose another name for this tunnel (in a play mesh_interface_prefix)", t.Name, file, mesh)
	}
	had := parse(f.record())
	known := func(p plan.Peer) bool {
		return slices.ContainsFunc(t.Peers, func(o plan.Peer) bool {
			return o.Name == p.Name || o.PresharedKeyFile != "" && o.PresharedKeyFile == p.PresharedKeyFile
		})
	}
	if len(had) == 0 || slices.ContainsFunc(had, known) {
		return nil
	}
	return fmt.Errorf("%s: %s was made with wg_tunnel for no mesh, to %s: remove it, "+
		"or choose another name (in a play mesh_interface_prefix)", t.Name, file, nameOf(had, had[0].PublicKey))
}

// Unnamed are warnings about tunnels that look like those of this mesh, from a version
// before meshes had names, to somebody who is not in it any more.
func Unnamed(w Want, s Have) []string {
	var out []string
	for _, name := range s.others(w) {
		f := s.Interfaces[name].File
		number, ok := strings.CutPrefix(name, w.InterfacePrefix)
		if _, err := strconv.Atoi(number); !ok || err != nil || w.Mesh == "" || f.mesh() != "" {
			continue
		}
		for _, p := range parse(f.record()) {
			if path.Base(p.PresharedKeyFile) == number+".psk" {
				out = append(out, fmt.Sprintf("%s: a tunnel to %s that an older version made is left alone: "+
					"if it was one of this mesh, have mesh_state: absent for %s, else end it by hand", name,
					nameOf([]plan.Peer{p}, p.PublicKey), nameOf([]plan.Peer{p}, p.PublicKey)))
			}
		}
	}
	return out
}
