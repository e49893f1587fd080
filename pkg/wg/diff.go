package wg

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wgmesh/router/pkg/order"
	"github.com/wgmesh/router/pkg/plan"
)

// staleHandshake is the age after which no session is left (REJECT_AFTER_TIME
// of the protocol), so that a moved endpoint works no more.
const staleHandshake = 180 * time.Second

// Diff compares want and have. It does no I/O. The error lists every interface
// that must not be touched, because it is not ours or would not work.
func Diff(want Want, have Have) (Delta, error) {
	var d Delta
	var errs []error
	tunnels := slices.Clone(want.Tunnels)
	order.By(tunnels, func(a, b plan.Tunnel) int { return strings.Compare(a.Name, b.Name) })
	for _, t := range tunnels {
		now := have.Interfaces[t.Name]
		if now.Silent != nil { // PendingPeers names it
			continue
		}
		r := resolve(want, t, have)
		if err := errors.Join(foreign(want, t, now, have.PublicKey), r.check(have.PublicKey)); err != nil {
			errs = append(errs, err)
			continue
		}
		td := diffTunnel(want, r, now, have)
		if td.empty() {
			continue
		}
		if have.PublicKey.IsZero() && (td.Start || td.Device.PrivateKeyFile != "") {
			d.keys = []string{want.PrivateKeyFile}
		}
		d.Tunnels = append(d.Tunnels, td)
	}
	if want.Purge {
		for _, name := range have.stale(want) {
			d.Remove = append(d.Remove, Removal{Name: name})
		}
	}
	errs = append(errs, d.conflicts(want, have))
	d.MSS, d.Boot, d.Load = diffMSS(want, have, d.Remove), diffBoot(want, have), have.Unloaded
	return d, errors.Join(errs...)
}

// foreign refuses an interface that we did not make.
func foreign(w Want, t plan.Tunnel, now Interface, own plan.PublicKey) error {
	file := filepath.Join(w.Directory, t.Name+".conf")
	switch {
	case now.File != nil && !now.File.Ours && !now.File.Blank:
		return fmt.Errorf("%s: %s was not made by wgmesh.router (its first line is not %q): "+
			"move it away, or choose another name for this tunnel", t.Name, file, Mark+" ...")
	case now.File != nil && now.File.Ours && w.notOurs(t, *now.File) != nil:
		return w.notOurs(t, *now.File)
	case now.Link == nil:
		return nil
	case now.Link.Kind != kindKernel && now.Link.Kind != kindUserspace:
		return fmt.Errorf("%s: there is an interface of this name that is not WireGuard (%s): "+
			"remove it, or choose another name for this tunnel", t.Name, now.Link.Kind)
	case now.File != nil && now.File.Blank && now.Device != nil && now.Device.PublicKey.IsZero():
		return nil // wg-quick made it from that file
	case (now.File == nil || now.File.Blank) && (now.Device == nil || own.IsZero() || now.Device.PublicKey != own):
		return fmt.Errorf("%s: an interface of this name is not of wgmesh.router (no %s, and another key): "+
			"remove it (ip link delete %s), or choose another name", t.Name, file, t.Name)
	}
	return nil
}

// check refuses peers that WireGuard drops without a word.
func (t resolved) check(own plan.PublicKey) error {
	var errs []error
	seen := map[plan.PublicKey]string{}
	for _, p := range append(slices.Clone(t.peers), t.kept...) {
		if p.PublicKey == own {
			errs = append(errs, fmt.Errorf("%s: peer %s: %s is this router's own public key: give the peer's",
				t.Name, p.Name, p.PublicKey))
		}
		if other, twice := seen[p.PublicKey]; twice {
			errs = append(errs,
				fmt.Errorf("%s: peer %s: public key %s is already that of peer %s", t.Name, p.Name, p.PublicKey, other))
		}
		seen[p.PublicKey] = p.Name
	}
	return errors.Join(errs...)
}

func diffTunnel(w Want, t resolved, now Interface, have Have) TunnelDelta {
	d := TunnelDelta{Name: t.Name, Enable: have.Systemd && !now.Unit.Enabled}
	if text := t.text(w, have); now.File == nil || now.File.Text != text || now.File.Copy != text {
		d.File = &text
	}
	if now.Link == nil || now.Device == nil {
		d.Start, d.DeleteLink, d.Reset = true, now.Link != nil, now.Unit.Failed
		// wg-quick finds out an MTU that nobody gave, and a peer that waits for its
		// keys may be in the file alone.
		if d.Fresh = t.MTU != 0 && len(t.kept) == 0; !d.Fresh {
			return d
		}
		now.Link, now.Device = &Link{}, &Device{}
	}
	if t.MTU != 0 && now.Link.MTU != t.MTU {
		d.MTU = t.MTU
	}
	d.Up = !now.Link.Up
	d.AddAddresses = minus(sorted(t.Addresses), now.Link.Addresses)
	d.RemoveAddresses = minus(sorted(now.Link.Addresses), t.Addresses)
	for _, a := range sorted(t.Addresses) {
		if slices.ContainsFunc(d.RemoveAddresses, func(r netip.Prefix) bool {
			return r.Addr().Is4() && r.Masked() == a.Masked()
		}) {
			d.RestoreAddresses = append(d.RestoreAddresses, a)
		}
	}
	if have.PublicKey.IsZero() || now.Device.PublicKey != have.PublicKey {
		d.Device.PrivateKeyFile = w.PrivateKeyFile
	}
	if t.ListenPort != 0 && now.Device.ListenPort != t.ListenPort {
		d.Device.ListenPort = t.ListenPort
	}
	d.Handovers = t.handovers(w, now.Device)
	d.Device.Peers = diffPeers(t, now, have, d.Handovers)
	if d.Device.PrivateKeyFile != "" && !d.Start && w.Hold > 0 {
		d.Device.hold(w.Hold, t, now.Device)
	}
	return d
}

// diffPeers lists removals before anything else: the kernel takes the peers of a message in their
// order, and a network that is given to a second peer is taken from the first.
func diffPeers(t resolved, now Interface, have Have, handovers []Handover) []PeerChange {
	var recorded []plan.Peer
	if now.File != nil {
		recorded = parse(now.File.record())
	}
	var remove, change []PeerChange
	live := map[plan.PublicKey]LivePeer{}
	for _, l := range now.Device.Peers {
		live[l.PublicKey] = l
		// Who is not recorded may be one that is pending.
		gone := len(t.pending) == 0 || has(recorded, l.PublicKey) && !has(t.kept, l.PublicKey)
		if gone && !has(t.peers, l.PublicKey) && !involved(handovers, l.PublicKey) {
			remove = append(remove, PeerChange{
				Name: nameOf(recorded, l.PublicKey), PublicKey: l.PublicKey, Remove: true,
			})
		}
	}
	order.By(remove, func(a, b PeerChange) int { return strings.Compare(a.PublicKey.String(), b.PublicKey.String()) })
	for _, p := range t.peers {
		l, ok := live[p.PublicKey]
		if involved(handovers, p.PublicKey) {
			if ok { // its counters begin anew
				remove = append(remove, PeerChange{Name: p.Name, PublicKey: p.PublicKey, Remove: true})
			}
			change = append(change, heir(p))
			continue
		}
		if !ok {
			change = append(change, addPeer(p))
			continue
		}
		old := slices.IndexFunc(recorded, func(f plan.Peer) bool { return f.PublicKey == p.PublicKey })
		var last *plan.Peer
		if old >= 0 {
			last = &recorded[old]
		}
		l.AllowedIPs = t.says(l)
		c := diffPeer(p, l, last, have)
		for _, other := range t.peers { // to whom it moves
			c.RemoveAllowedIPs = minus(c.RemoveAllowedIPs, other.AllowedIPs)
		}
		if !c.empty() {
			change = append(change, c)
		}
	}
	return append(remove, change...)
}

// says are the networks of a live peer without those that say nothing more: the smallest
// wanted network around such a one is that peer's as well, so the same packets go to it and
// come from it with and without. Nothing takes it away without dropping packets: whoever has
// it for a moment has them.
func (t resolved) says(l LivePeer) (out []netip.Prefix) {
	for _, n := range l.AllowedIPs {
		bits, same := -1, false
		for _, p := range append(slices.Clone(t.peers), t.kept...) {
			for _, w := range p.AllowedIPs {
				if w.Bits() > bits && w.Bits() <= n.Bits() && w.Contains(n.Addr()) {
					bits, same = w.Bits(), p.PublicKey == l.PublicKey
				}
			}
		}
		if !same || bits == n.Bits() {
			out = append(out, n)
		}
	}
	return out
}

func has(peers []plan.Peer, key plan.PublicKey) bool {
	return slices.ContainsFunc(peers, func(p plan.Peer) bool { return p.PublicKey == key })
}

func addPeer(p plan.Peer) PeerChange {
	c := PeerChange{
		Name: p.Name, PublicKey: p.PublicKey, Add: true, Endpoint: p.Endpoint,
		Keepalive: &p.PersistentKeepalive, AddAllowedIPs: p.AllowedIPs,
	}
	if p.PresharedKeyFile != "" {
		c.PresharedKeyFile = &p.PresharedKeyFile
	}
	return c
}

func diffPeer(p plan.Peer, l LivePeer, last *plan.Peer, have Have) PeerChange {
	c := PeerChange{Name: p.Name, PublicKey: p.PublicKey}
	if l.PresharedKey != have.PresharedKeys[p.PresharedKeyFile] {
		c.PresharedKeyFile = &p.PresharedKeyFile
	}
	if endpointDue(p.Endpoint, l, last, have.Now) {
		c.Endpoint = p.Endpoint
	}
	if l.PersistentKeepalive != p.PersistentKeepalive {
		c.Keepalive = &p.PersistentKeepalive
	}
	c.AddAllowedIPs, c.RemoveAllowedIPs = minus(p.AllowedIPs, l.AllowedIPs), minus(l.AllowedIPs, p.AllowedIPs)
	return c
}

// endpointDue reports whether the endpoint must be set. A peer that roamed and
// answers is left alone: to set the endpoint again would cut it off.
func endpointDue(want netip.AddrPort, live LivePeer, last *plan.Peer, now time.Time) bool {
	switch {
	case !want.IsValid() || want == live.Endpoint:
		return false
	case !live.Endpoint.IsValid():
		return true
	case last != nil && last.Endpoint != want:
		return true // configured anew since the last apply
	default:
		// One of the future is of before the clock was set back.
		return now.Sub(live.LastHandshake).Abs() > staleHandshake
	}
}

func nameOf(peers []plan.Peer, key plan.PublicKey) string {
	for _, p := range peers {
		if p.PublicKey == key && p.Name != "" {
			return p.Name
		}
	}
	return key.String()
}

// A Delta is what has to change. It holds no secret, only names of key files.
type Delta struct {
	Tunnels []TunnelDelta // sorted by name
	Remove  []Removal     // sorted by name
	MSS     *string       // new text of the clamp's file, empty: no clamp; nil: right as it is
	Load    []string      // files of nftables: somebody flushed their tables
	Boot    *bool         // whether the units' drop-in is to be there; nil: right as it is
	keys    []string      // files that must be there before anything is done
}

// Empty tells that nothing has to change.
func (d Delta) Empty() bool {
	return len(d.Tunnels) == 0 && len(d.Remove) == 0 && d.MSS == nil && len(d.Load) == 0 && d.Boot == nil
}

// A TunnelDelta is what has to change about one interface.
type TunnelDelta struct {
	Name       string
	File       *string // new text of the wg-quick file
	DeleteLink bool    // what is there is dead
	Start      bool    // bring it up: from the file, or Fresh
	Fresh      bool    // make it as this delta says, which is all of it: much quicker than wg-quick
	Reset      bool    // its unit has failed before
	Enable     bool    // at boot
	Release    bool    // leave its port first: another interface gets it

	MTU             int // 0: right as it is
	Up              bool
	AddAddresses    []netip.Prefix
	RemoveAddresses []netip.Prefix
	// RestoreAddresses are the ones that the kernel may take along when it
	// removes the first address of their subnet.
	RestoreAddresses []netip.Prefix
	Device           DeviceChange
	Handovers        []Handover
}

func (d TunnelDelta) empty() bool {
	return d.File == nil && !d.DeleteLink && !d.Start && !d.Enable && !d.Release && d.MTU == 0 && !d.Up &&
		len(d.AddAddresses) == 0 && len(d.RemoveAddresses) == 0 && d.Device.empty()
}

// A DeviceChange is one message to the kernel or wireguard-go. Zero fields stay as they are.
type DeviceChange struct {
	PrivateKeyFile string
	Hold           time.Duration // how long packets wait for the peers to know the new key; 0: not at all
	ListenPort     int
	AnyPort        bool         // one that is free
	Peers          []PeerChange // removals first: allowed IPs move to who asks last
}

func (c DeviceChange) empty() bool {
	return c.PrivateKeyFile == "" && c.ListenPort == 0 && !c.AnyPort && len(c.Peers) == 0
}

// A PeerChange changes, adds or removes one peer. Nil and zero fields stay as they are.
type PeerChange struct {
	Name             string // for people
	PublicKey        plan.PublicKey
	Remove           bool
	Add              bool
	PresharedKeyFile *string // empty: no pre-shared key
	Endpoint         netip.AddrPort
	Keepalive        *int           // seconds
	AddAllowedIPs    []netip.Prefix // a network of another peer moves
	RemoveAllowedIPs []netip.Prefix
}

func (c PeerChange) empty() bool {
	return !c.Remove && !c.Add && c.PresharedKeyFile == nil && !c.Endpoint.IsValid() && c.Keepalive == nil &&
		len(c.AddAllowedIPs) == 0 && len(c.RemoveAllowedIPs) == 0
}

// A Removal takes away an interface we made.
type Removal struct {
	Name  string
	First bool // before others come up, which want its port
}

func (c DeviceChange) words() string {
	var out []string
	if c.PrivateKeyFile != "" {
		out = append(out, "private key")
	}
	if c.ListenPort != 0 {
		out = append(out, fmt.Sprintf("listen_port %d", c.ListenPort))
	}
	for _, p := range c.Peers {
		out = append(out, fmt.Sprintf("peer %s (%s)", p.Name, p.words()))
	}
	return strings.Join(out, ", ")
}

func (c PeerChange) words() string {
	switch {
	case c.Remove:
		return "removed"
	case c.Add:
		return "added"
	}
	var out []string
	if c.PresharedKeyFile != nil {
		out = append(out, "preshared key")
	}
	if c.Endpoint.IsValid() {
		out = append(out, "endpoint "+c.Endpoint.String())
	}
	if c.Keepalive != nil {
		out = append(out, fmt.Sprintf("persistent_keepalive %d", *c.Keepalive))
	}
	if len(c.AddAllowedIPs) > 0 || len(c.RemoveAllowedIPs) > 0 {
		out = append(out, "allowed_ips")
	}
	return strings.Join(out, ", ")
}
