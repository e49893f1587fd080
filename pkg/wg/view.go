package wg

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/wgmesh/router/pkg/plan"
)

// A View is what people see of a router's tunnels: sorted, without secrets and
// without what changes by itself (counters, handshakes, roaming).
type View struct {
	Tunnels  map[string]TunnelView `json:"tunnels"`
	MSSClamp string                `json:"mss_clamp"`
	Input    string                `json:"input_mesh,omitempty"` // tunnels with that filter, and its open ports
	DropIn   Boot                  `json:"drop_in,omitempty"`    // of the units
	Unloaded []string              `json:"not_loaded,omitempty"` // files of tables that somebody flushed
}

// A TunnelView is one interface in a View.
type TunnelView struct {
	State      string              `json:"state"` // absent, dead, down or up
	File       string              `json:"file"`  // absent, outdated or current
	Enabled    *bool               `json:"enabled,omitempty"`
	PublicKey  string              `json:"public_key,omitempty"`
	ListenPort int                 `json:"listen_port,omitempty"`
	MTU        int                 `json:"mtu,omitempty"`
	Addresses  []string            `json:"addresses,omitempty"`
	Peers      map[string]PeerView `json:"peers,omitempty"`
}

// A PeerView is one peer in a View.
type PeerView struct {
	PublicKey           string   `json:"public_key"`
	PresharedKey        string   `json:"preshared_key"` // (set), (unset) or (differs)
	Endpoint            string   `json:"endpoint,omitempty"`
	AllowedIPs          []string `json:"allowed_ips"`
	PersistentKeepalive int      `json:"persistent_keepalive"`
}

// Views returns what is there before d is applied and what will be there after.
// They are equal exactly when d is empty.
func Views(w Want, s Have, d Delta) (before, after View) {
	before = View{
		Tunnels: map[string]TunnelView{}, MSSClamp: "current",
		Input: parseFilter(s.MSS.File).words(), DropIn: s.Boot, Unloaded: d.Load,
	}
	changes := map[string]TunnelDelta{}
	for _, td := range d.Tunnels {
		changes[td.Name] = td
	}
	for _, t := range w.Tunnels {
		before.Tunnels[t.Name] = viewNow(resolve(w, t, s), s, changes[t.Name])
	}
	for _, r := range d.Remove {
		before.Tunnels[r.Name] = viewNow(resolved{Tunnel: plan.Tunnel{Name: r.Name}}, s, TunnelDelta{})
	}
	after = View{
		Tunnels: maps.Clone(before.Tunnels), MSSClamp: before.MSSClamp,
		Input: before.Input, DropIn: before.DropIn,
	}
	if d.Boot != nil {
		after.DropIn = BootCurrent
		if !*d.Boot {
			after.DropIn = BootAbsent
		}
	}
	for _, t := range w.Tunnels {
		if td, ok := changes[t.Name]; ok {
			after.Tunnels[t.Name] = viewAfter(w, resolve(w, t, s), s, td, before.Tunnels[t.Name])
		}
	}
	for _, r := range d.Remove {
		delete(after.Tunnels, r.Name)
	}
	if d.MSS != nil {
		after.Input = parseFilter(*d.MSS).words()
		before.MSSClamp, after.MSSClamp = "outdated", "current"
		if s.MSS == (MSS{}) {
			before.MSSClamp = "absent"
		}
		if *d.MSS == "" {
			before.MSSClamp, after.MSSClamp = "current", "absent"
		}
	}
	return before, after
}

func viewNow(t resolved, s Have, d TunnelDelta) TunnelView {
	now := s.Interfaces[t.Name]
	v := TunnelView{State: "absent", File: "absent"}
	if now.File != nil {
		v.File = "current"
		if d.File != nil {
			v.File = "outdated"
		}
	}
	if s.Systemd {
		enabled := now.Unit.Enabled
		v.Enabled = &enabled
	}
	if now.Link == nil {
		return v
	}
	v.State = "dead"
	if now.Device == nil {
		return v
	}
	v.State = "down"
	if now.Link.Up {
		v.State = "up"
	}
	v.PublicKey, v.MTU, v.Addresses = now.Device.PublicKey.String(), now.Link.MTU, texts(now.Link.Addresses)
	v.ListenPort = now.Device.ListenPort
	v.Peers = map[string]PeerView{}
	var recorded []plan.Peer
	if now.File != nil {
		recorded = parse(now.File.record())
	}
	for _, l := range now.Device.Peers {
		name := nameOf(append(slices.Clone(t.peers), recorded...), l.PublicKey)
		if _, twice := v.Peers[name]; twice {
			name = l.PublicKey.String()
		}
		v.Peers[name] = viewPeer(t, s, d, l)
	}
	return v
}

func viewPeer(t resolved, s Have, d TunnelDelta, l LivePeer) PeerView {
	v := PeerView{
		PublicKey: l.PublicKey.String(), PresharedKey: l.PresharedKey.String(),
		AllowedIPs: texts(t.says(l)), PersistentKeepalive: l.PersistentKeepalive,
	}
	for _, p := range t.peers {
		if p.PublicKey != l.PublicKey {
			continue
		}
		// Where a peer is now is its own affair, unless it has to change.
		v.Endpoint = endpointText(p.Endpoint)
		wanted := s.PresharedKeys[p.PresharedKeyFile]
		if !l.PresharedKey.IsZero() && !wanted.IsZero() && l.PresharedKey != wanted {
			v.PresharedKey = "(differs)"
		}
	}
	for _, c := range d.Device.Peers {
		if c.PublicKey == l.PublicKey && (c.Endpoint.IsValid() || c.Remove) {
			v.Endpoint = endpointText(l.Endpoint)
		}
	}
	return v
}

func viewAfter(w Want, t resolved, s Have, d TunnelDelta, before TunnelView) TunnelView {
	v := before
	v.File, v.State = "current", "up"
	if s.Systemd {
		enabled := true
		v.Enabled = &enabled
	}
	if d.Start || d.Device.PrivateKeyFile != "" {
		v.PublicKey = s.PublicKey.String()
		if s.PublicKey.IsZero() {
			v.PublicKey = "(of " + w.PrivateKeyFile + ", not made yet)"
		}
	}
	if d.Start || d.Device.ListenPort != 0 {
		v.ListenPort = t.ListenPort
	}
	if d.Start || d.MTU != 0 {
		v.MTU = t.MTU
	}
	if d.Start || len(d.AddAddresses)+len(d.RemoveAddresses) > 0 {
		v.Addresses = texts(sorted(t.Addresses))
	}
	if d.Start {
		v.Peers = map[string]PeerView{}
		for _, p := range append(slices.Clone(t.peers), t.kept...) {
			v.Peers[nameOf([]plan.Peer{p}, p.PublicKey)] = viewWanted(p)
		}
		return v
	}
	v.Peers = maps.Clone(before.Peers)
	for _, c := range d.Device.Peers {
		maps.DeleteFunc(v.Peers, func(_ string, p PeerView) bool { return p.PublicKey == c.PublicKey.String() })
	}
	for _, c := range d.Device.Peers {
		for _, p := range t.peers {
			if p.PublicKey == c.PublicKey {
				v.Peers[p.Name] = viewWanted(p)
			}
		}
	}
	return v
}

func viewWanted(p plan.Peer) PeerView {
	v := PeerView{
		PublicKey: p.PublicKey.String(), PresharedKey: "(unset)", Endpoint: endpointText(p.Endpoint),
		AllowedIPs: texts(p.AllowedIPs), PersistentKeepalive: p.PersistentKeepalive,
	}
	if p.PresharedKeyFile != "" {
		v.PresharedKey = "(set)"
	}
	return v
}

func endpointText(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func texts(list []netip.Prefix) []string {
	out := make([]string, len(list))
	for i, p := range list {
		out[i] = p.String()
	}
	return out
}
