package wg

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/wgmesh/router/pkg/plan"
)

var (
	// What ip(8), wg-quick and a systemd unit can all have as a name.
	interfaceName = plan.Name{First: plan.Alphanumeric, Rest: plan.Alphanumeric + "_.-", Most: 15}
	peerName      = plan.Name{First: plan.Alphanumeric, Rest: plan.Alphanumeric + "._:@+-", Most: 253}
)

// hookPath reports whether a path can stand in a wg-quick hook, as names do. Bash evaluates those.
func hookPath(path string) bool {
	return plan.Only(path, plan.Alphanumeric+"._/@+=-") && path[0] == '/' && !strings.HasSuffix(path, "/")
}

// Validate lists everything that is wrong with w, without looking at the host.
func (w Want) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, p := range [][2]string{{"private_key_file", w.PrivateKeyFile}, {"directory", w.Directory}} {
		if !hookPath(p[1]) {
			bad("%s: %q: expected an absolute path of letters, digits and ._/@+=-", p[0], p[1])
		}
	}
	if !interfaceName.Fits(w.InterfacePrefix) || len(w.InterfacePrefix) > 14 {
		bad("interface_prefix: %q: expected 1 to 14 of letters, digits and _.-", w.InterfacePrefix)
	}
	if w.Input != "" && w.Input != InputAccept && w.Input != InputMesh {
		bad("input: %q: expected accept or mesh", w.Input)
	}
	for _, p := range w.InputPorts {
		if p < 1 || p > 65535 {
			bad("input_ports: %d: expected TCP ports from 1 to 65535", p)
		}
	}
	errs = append(errs, w.Owner.Validate())
	names, ports := map[string]int{}, map[int]string{}
	for i, t := range w.Tunnels {
		where := fmt.Sprintf("tunnels[%d] %s", i, t.Name)
		if other, twice := names[t.Name]; twice {
			bad("%s: name is already that of tunnels[%d]", where, other)
		}
		names[t.Name] = i
		if other, twice := ports[t.ListenPort]; twice && t.ListenPort != 0 {
			bad("%s: listen_port %d is already that of %s", where, t.ListenPort, other)
		}
		ports[t.ListenPort] = t.Name
		for _, err := range append(checkTunnel(t), w.checkPeers(t)...) {
			bad("%s: %w", where, err)
		}
	}
	return errors.Join(errs...)
}

func checkTunnel(t plan.Tunnel) []error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !interfaceName.Fits(t.Name) {
		bad("name %q: expected 1 to 15 of letters, digits and _.-, a letter or digit first", t.Name)
	}
	if t.ListenPort < 0 || t.ListenPort > 65535 {
		bad("listen_port %d: expected 1 to 65535, or 0 for any", t.ListenPort)
	}
	least, why := 576, ""
	seen := map[netip.Addr]bool{}
	for _, a := range t.Addresses {
		switch {
		case !a.IsValid():
			bad("addresses: expected an address and its prefix length, such as 198.18.20.1/31")
			continue
		case a.Addr().Is4In6() || a.Addr().IsUnspecified() || a.Addr().IsMulticast():
			bad("address %s: not an address an interface can have", a)
		case seen[a.Addr()]:
			bad("address %s: twice", a)
		}
		seen[a.Addr()] = true
		if a.Addr().Is6() {
			least, why = 1280, " with an IPv6 address (RFC 8200)"
		}
	}
	if t.MTU != 0 && (t.MTU < least || t.MTU > 65535) {
		bad("mtu %d: expected %d to 65535%s", t.MTU, least, why)
	}
	return errs
}

func (w Want) checkPeers(t plan.Tunnel) []error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	names, keys, owner := map[string]bool{}, map[plan.PublicKey]plan.Peer{}, map[netip.Prefix]string{}
	for i, p := range t.Peers {
		where := fmt.Sprintf("peers[%d] %s", i, p.Name)
		if !peerName.Fits(p.Name) {
			bad("peers[%d]: name %q: expected letters, digits and ._:@+-, a letter or digit first", i, p.Name)
		}
		if names[p.Name] {
			bad("%s: name is already that of another peer of this tunnel", where)
		}
		names[p.Name] = true
		if k := w.keyOf(p); !k.IsZero() {
			// Of two that were told, one is refused alone.
			if other, twice := keys[k]; twice && (!w.told(p) || !w.told(other)) {
				bad("%s: public key %s is already that of peer %s", where, k, other.Name)
			}
			keys[k] = p
		}
		if e := p.Endpoint; e.IsValid() && (e.Port() == 0 || e.Addr().IsUnspecified() || e.Addr().IsMulticast()) {
			bad("%s: endpoint %s: expected the address and port that the peer listens on", where, e)
		}
		// The kernel is told no zone.
		if a := p.Endpoint.Addr(); a.Zone() != "" || a.Is6() && a.IsLinkLocalUnicast() {
			bad("%s: endpoint %s: a link-local address is one of a link, which WireGuard is not told: expected another",
				where, p.Endpoint)
		}
		if k := p.PersistentKeepalive; k < 0 || k > 65535 {
			bad("%s: persistent_keepalive %d: expected 0 to 65535 seconds", where, k)
		}
		if f := p.PresharedKeyFile; f != "" && (!hookPath(f) || strings.Contains(f, "/../")) {
			bad("%s: preshared_key_file %q: expected an absolute path of letters, digits and ._/@+=-", where, f)
		}
		for _, a := range p.AllowedIPs {
			if !a.IsValid() || a.Addr().Is4In6() {
				bad("%s: allowed_ips: expected networks, such as 10.1.0.0/16", where)
				continue
			}
			if other, twice := owner[a.Masked()]; twice && other != p.Name {
				bad("%s: allowed_ips %s is already that of peer %s, and WireGuard gives a network to one peer only",
					where, a.Masked(), other)
			}
			owner[a.Masked()] = p.Name
		}
	}
	return errs
}
