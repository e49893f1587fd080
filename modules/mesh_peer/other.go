package meshpeer

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/wgmesh/router/pkg/status"
	"github.com/wgmesh/router/pkg/wg"
)

// liveHandshake is the age up to which a handshake says that the other end is
// there. A session with traffic is renewed every 120 s (REKEY_AFTER_TIME), and
// the new handshake may need a second try.
const liveHandshake = 135 * time.Second

// checkOther refuses a caller with another key than the one that is in use, while
// whoever has that key is there: two machines that both believe to be one router
// would take the tunnel from each other for ever. A replaced router is let in as
// soon as the one before is gone.
func (e end) checkOther(ctx context.Context) error {
	host, err := wg.Open(e.Directory)
	if err != nil {
		return err
	}
	t := e.link.Tunnel
	have, err := wg.Observe(ctx, host, wg.Want{Tunnels: []wg.Tunnel{{Name: t.Name}}, PrivateKeyFile: e.PrivateKeyFile, Directory: e.Directory})
	if err != nil {
		return err
	}
	device := have.Interfaces[t.Name].Device
	if device == nil || len(device.Peers) == 0 {
		return nil
	}
	i := slices.IndexFunc(device.Peers, func(p wg.LivePeer) bool { return p.PublicKey == e.PublicKey })
	if i >= 0 {
		return nil
	}
	sign := e.alive(ctx, device.Peers[0], have.Now)
	if sign == "" {
		return nil
	}
	return fmt.Errorf("%s has a tunnel to another %s, which is alive (%s): are there two machines with this name and id? "+
		"Stop the one that should not be, or give it an id of its own; a replacement is let in when the old one is gone",
		e.state.Router, e.Name, sign)
}

// alive says by which sign the machine that has the old key is there, "" for by
// none. BFD knows within a second; where it is not in use, the handshake has to
// do.
func (e end) alive(ctx context.Context, p wg.LivePeer, now time.Time) string {
	s := e.link.Status
	seen := status.Observe(ctx, status.Request{
		Tunnels: []status.Tunnel{{Name: s.Name, Peer: s.Peer, Neighbor: s.Neighbor, Address: s.Address}},
		Socket:  e.ControlSocket,
	}, false)
	if bfd := seen.Tunnels[0].BFD; bfd != nil {
		if bfd.State == "Up" {
			return "its BFD session on " + s.Name + " is up"
		}
		return ""
	}
	if age := now.Sub(p.LastHandshake); !p.LastHandshake.IsZero() && age < liveHandshake {
		return fmt.Sprintf("its last handshake on %s was %d s ago", s.Name, int(age.Seconds()))
	}
	return ""
}
