package wg

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

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
