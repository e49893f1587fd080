package status

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/wgmesh/router/pkg/birdc"
	"github.com/wgmesh/router/pkg/rtnl"
)

// liveHandshake is the age up to which a handshake says that the other end may be
// there. A session with traffic is renewed every 120 s (REKEY_AFTER_TIME), and
// the new handshake may need a second try.
const liveHandshake = 135 * time.Second

// listen is how long a peer with a recent handshake gets to be heard. Its BIRD
// sends something every second, and it answers a ping.
const listen = 2500 * time.Millisecond

// A KeyHolder is whoever has the private half of a public key, at the other end of an interface.
type KeyHolder struct {
	Interface string
	PublicKey string     // base64
	Told      string     // likewise, the key that somebody says is the one instead
	Address   netip.Addr // its link address, which may be asked; zero: not known
}

// Alive says of each holder of a key that it "is alive" and by which sign, or "may be alive" and
// why that cannot be seen, or nothing. The signs: its BFD session is up, or its last handshake is
// recent and packets of it arrive. A handshake alone is made by a machine that is gone since, and a
// stopped BIRD alone says nothing of the other end. A key that nobody has come to use yet has no
// allowed IPs: there it is whoever has them, unless that one has the key that is told.
func Alive(ctx context.Context, socket string, holders []KeyHolder) []string {
	signs := make([]string, len(holders))
	if len(holders) == 0 {
		return signs
	}
	bird := observeBird(ctx, socket)
	var all sync.WaitGroup
	for i, h := range holders[1:] {
		all.Go(func() { signs[1+i] = h.alive(ctx, bird) })
	}
	signs[0] = holders[0].alive(ctx, bird) // here: a network namespace is the thread's
	all.Wait()
	return signs
}

func (h KeyHolder) alive(ctx context.Context, bird birdView) string {
	peer, err := h.peer()
	if err != nil {
		return fmt.Sprintf("may be alive (%s: %s)", h.Interface, err)
	}
	if peer == nil || peer.PublicKey.String() == h.Told {
		return ""
	}
	for _, s := range bird.bfd {
		if s.Interface == h.Interface && s.State == "Up" {
			return "is alive (its BFD session on " + h.Interface + " is up)"
		}
	}
	age := time.Since(peer.LastHandshakeTime)
	if peer.LastHandshakeTime.Unix() <= 0 || age >= liveHandshake {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, listen)
	defer cancel()
	for before := peer.ReceiveBytes; ctx.Err() == nil; {
		if h.Address.IsValid() {
			_, _ = ping(ctx, probe{to: h.Address, device: h.Interface, payload: smallProbe, timeout: pollEvery})
		}
		pause(ctx, pollEvery)
		now, err := h.peer()
		if err != nil {
			return fmt.Sprintf("may be alive (%s: %s)", h.Interface, err)
		}
		if now != nil && now.ReceiveBytes > before {
			return fmt.Sprintf("is alive (its last handshake on %s was %d s ago, and its packets arrive)",
				h.Interface, int(age.Seconds()))
		}
	}
	return ""
}

// peer is the holder as WireGuard knows it, or who has the allowed IPs instead. Nil: there is none.
func (h KeyHolder) peer() (*wgtypes.Peer, error) {
	device, err := askWireGuard(h.Interface)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(device.Peers, func(p wgtypes.Peer) bool { return p.PublicKey.String() == h.PublicKey })
	if i >= 0 && len(device.Peers[i].AllowedIPs) == 0 {
		i = slices.IndexFunc(device.Peers, func(p wgtypes.Peer) bool { return len(p.AllowedIPs) > 0 })
	}
	if i < 0 {
		return nil, nil
	}
	return &device.Peers[i], nil
}

// Before is what worked before a change, to compare with after it.
type Before struct {
	// Worked are the peers whose sessions were up, BFD included. Silent are those
	// of them that did not answer each ping: to ask for it later would be unjust.
	Worked []string `json:"worked"`
	Silent []string `json:"silent"`
	// Over are the tunnels of those that worked: a peer may get another name in the
	// change. A journal of an older program has none.
	Over []End `json:"over"`
	// Routed are the networks to which BIRD had a way through a tunnel.
	Routed []netip.Prefix `json:"routed"`
}

// An End is the tunnel to a peer: its interface, and the peer's address in it.
type End struct {
	Peer    string     `json:"peer"`
	Name    string     `json:"name"`
	Address netip.Addr `json:"address"`
}

// ObserveBefore looks once at everything that a request is about, and pings. The
// prefixes of the request do not matter. Where BIRD does not run nothing worked; of
// one that does not answer that is not known, which is an error.
func ObserveBefore(ctx context.Context, r Request) (Before, error) {
	out := Before{Worked: []string{}, Silent: []string{}, Routed: []netip.Prefix{}}
	if len(r.Tunnels) == 0 {
		return out, nil
	}
	o := Observe(ctx, r, true)
	if errors.Is(o.BirdErr, birdc.ErrNotRunning) {
		return out, nil
	}
	if o.BirdErr != nil {
		return out, o.BirdErr
	}
	devices := map[string]bool{}
	for i, t := range r.Tunnels {
		devices[t.Name] = true
		if _, wrong := checkSession(&r, t, &o.Tunnels[i]); wrong {
			continue
		}
		out.Worked = append(out.Worked, t.Peer)
		out.Over = append(out.Over, End{Peer: t.Peer, Name: t.Name, Address: t.Address})
		if len(checkTunnel(&r, t, &o.Tunnels[i], &o)) > 0 {
			out.Silent = append(out.Silent, t.Peer)
		}
	}
	var err error
	out.Routed, err = routed(ctx, devices)
	return out, err
}

// routed lists the networks to which BIRD has a way out of one of these devices.
func routed(ctx context.Context, devices map[string]bool) ([]netip.Prefix, error) {
	out := []netip.Prefix{}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		routes, err := dumpRoutes(ctx, family)
		if err != nil {
			return nil, err
		}
		for _, r := range routes {
			dst, ok := rtnl.Prefix(r.Dst)
			if !ok || r.Protocol != unix.RTPROT_BIRD {
				continue
			}
			route, err := describeRoute(r)
			if err != nil {
				return nil, err
			}
			if slices.ContainsFunc(route.Devices, func(d string) bool { return devices[d] }) {
				out = append(out, dst)
			}
		}
	}
	return out, nil
}
