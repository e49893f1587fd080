package wg

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/wgmesh/router/pkg/plan"
)

// A router that takes a new private key does so at a moment of its own, and from then on its
// peers know it by another public key. An interface gives a network to one peer only, so
// whoever is late with that drops what comes, and sends what nobody can read.
//
// So each peer has both keys for a while, the new one without a network, and watches: the
// first handshake under the new key moves the networks (HandOver). The router sends nothing
// until that was (Announce): its pre-shared keys are random for a moment, so that a peer
// takes the first message of its handshake, which has none in it, and the router takes no
// answer. Its packets wait in WireGuard's queue, 128 for each peer (MAX_STAGED_PACKETS in
// drivers/net/wireguard/messages.h, QueueStagedSize in wireguard-go).

// A Handover is a peer of an interface that takes a new key. The one before goes on until
// the peer uses the new one.
type Handover struct {
	Interface string
	From, To  plan.PublicKey
}

// Handovers are those of all tunnels of d.
func (d Delta) Handovers() (out []Handover) {
	for _, t := range d.Tunnels {
		out = append(out, t.Handovers...)
	}
	return out
}

// handovers finds the peers of w.Handover whose networks are with another key.
func (t resolved) handovers(w Want, now *Device) (out []Handover) {
	for _, p := range t.peers {
		for _, l := range now.Peers {
			if len(p.AllowedIPs) > 0 && len(minus(p.AllowedIPs, l.AllowedIPs)) == 0 && !has(t.peers, l.PublicKey) &&
				slices.Contains(w.Handover, p.Name) {
				out = append(out, Handover{t.Name, l.PublicKey, p.PublicKey})
			}
		}
	}
	return out
}

// involved reports whether one of list is from or to that key.
func involved(list []Handover, key plan.PublicKey) bool {
	return slices.ContainsFunc(list, func(o Handover) bool { return o.From == key || o.To == key })
}

// heir is a peer that has a key and no network yet, and to whom nothing is sent.
func heir(p plan.Peer) PeerChange {
	c := addPeer(p)
	c.AddAllowedIPs, c.Keepalive = nil, nil
	return c
}

// hold has c set all that Announce has spoilt.
func (c *DeviceChange) hold(limit time.Duration, t resolved, now *Device) {
	c.Hold = limit
	changes := map[plan.PublicKey]int{}
	for i := range c.Peers {
		changes[c.Peers[i].PublicKey] = i
	}
	for i := range now.Peers {
		for k := range t.peers {
			p := &t.peers[k]
			if p.PublicKey != now.Peers[i].PublicKey {
				continue
			}
			at, known := changes[p.PublicKey]
			if !known {
				at, c.Peers = len(c.Peers), append(c.Peers, PeerChange{Name: p.Name, PublicKey: p.PublicKey})
			}
			c.Peers[at].PresharedKeyFile, c.Peers[at].Keepalive = &p.PresharedKeyFile, &p.PersistentKeepalive
		}
	}
}

// announce changes the private keys that packets wait for, of all tunnels at once, and
// returns the tunnels without these changes, but for those that failed, which are tried again.
func (a *applier) announce(list []TunnelDelta) []TunnelDelta {
	list = slices.Clone(list)
	limit := time.Duration(0)
	for _, t := range list {
		if t.Device.Hold > 0 {
			a.try(t.Name+": new key announced", t.Name+": announce the new key", a.w.Announce(t.Name, t.Device))
			limit = max(limit, t.Device.Hold)
		}
	}
	if limit == 0 {
		return list
	}
	time.Sleep(limit) // whatever happens meanwhile: nothing goes through until it is over
	for i, t := range list {
		words := t.Name + ": " + t.Device.words()
		if t.Device.Hold > 0 && a.try(words, words, a.w.Configure(t.Name, t.Device)) {
			list[i].Device = DeviceChange{}
		}
	}
	return list
}

// Announce sets the private key and has a handshake begin with each peer that c changes,
// which cannot end.
func (h *Host) Announce(name string, c DeviceChange) error {
	var cfg wgtypes.Config
	defer wipe(&cfg)
	key, err := readKeyFile(c.PrivateKeyFile)
	if err != nil {
		return err
	}
	cfg.PrivateKey = (*wgtypes.Key)(&key)
	off, on := time.Duration(0), 25*time.Second
	start := wgtypes.Config{}
	for _, p := range c.Peers {
		if p.Add || p.Remove {
			continue
		}
		one := wgtypes.PeerConfig{PublicKey: wgtypes.Key(p.PublicKey), UpdateOnly: true}
		one.PersistentKeepaliveInterval = &on
		start.Peers = append(start.Peers, one)
		one.PresharedKey, one.PersistentKeepaliveInterval = random(), &off
		cfg.Peers = append(cfg.Peers, one)
	}
	if err := h.configure(name, cfg); err != nil {
		return err
	}
	// To turn keepalive on sends a packet.
	return h.configure(name, start)
}

// forget ends the handshakes of Announce. A change of the key does it, and lets the next one
// begin at once instead of 5 s after the last (wg_noise_expire_current_peer_keypairs).
func (h *Host) forget(name string) error {
	return h.configure(name, wgtypes.Config{PrivateKey: random()})
}

// random is a key of nobody.
func random() *wgtypes.Key {
	key := new(wgtypes.Key)
	_, _ = rand.Read(key[:]) // never fails: it ends the program instead
	return key
}

const (
	// watch is the pause between two looks of HandOver.
	watch = 5 * time.Millisecond
	// seldom is the same after the limit.
	seldom = time.Second
	// late is how long a packet that was sent before another one may come after it.
	late = 20 * time.Millisecond
	// latest is the same where it comes in the way of nobody.
	latest = 100 * time.Millisecond
)

// HandOver gives the networks of the peer o.From to o.To as soon as something comes from
// that one, and back if something comes from o.From after that. When limit is over, or ctx,
// o.From is removed if it has no network, after limit as soon as o.To is heard once more: who
// has been silent may have lost its power, and come back with the key of before. It ends early
// when one of the two is gone, or the interface, which is somebody else's decision.
func (h *Host) HandOver(ctx context.Context, o Handover, limit time.Duration) error {
	holder, other, heard := o.From, o.To, int64(0)
	end, said := time.Now().Add(limit), int64(-1)
	for pause := watch; ctx.Err() == nil; time.Sleep(pause) {
		has, gets, err := h.both(o.Interface, holder, other)
		if errors.Is(err, fs.ErrNotExist) || err == nil && (has == nil || gets == nil) {
			return nil
		}
		if err != nil { // one look that fails is not its end
			if time.Now().After(end) {
				return err
			}
			continue
		}
		if time.Now().After(end) {
			if said < 0 {
				said = has.Received
			}
			if holder == o.From || has.Received > said {
				break
			}
			pause = seldom
		}
		if heard < 0 {
			heard = gets.Received
		}
		if gets.Received == heard {
			continue
		}
		time.Sleep(late)
		if h.give(o.Interface, has, gets) != nil {
			continue
		}
		time.Sleep(latest)
		holder, other, heard = other, holder, -1
	}
	if holder == o.From {
		return nil
	}
	return h.Configure(o.Interface, DeviceChange{Peers: []PeerChange{{PublicKey: o.From, Remove: true}}})
}

// both are two peers of an interface, nil for one that is not there.
func (h *Host) both(name string, a, b plan.PublicKey) (first, second *LivePeer, err error) {
	device, err := h.Device(name)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	for i := range device.Peers {
		switch p := &device.Peers[i]; p.PublicKey {
		case a:
			first = p
		case b:
			second = p
		}
	}
	return first, second, nil
}

// give moves the networks and the keepalive of one peer to another one.
func (h *Host) give(name string, from, to *LivePeer) error {
	off := 0
	keepalive := max(from.PersistentKeepalive, to.PersistentKeepalive)
	return h.Configure(name, DeviceChange{Peers: []PeerChange{
		{PublicKey: to.PublicKey, AddAllowedIPs: from.AllowedIPs, Keepalive: &keepalive},
		{PublicKey: from.PublicKey, Keepalive: &off},
	}})
}
