package meshpeer

import (
	"context"
	"fmt"
	"slices"

	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/status"
	"github.com/wgmesh/router/pkg/wg"
)

// checkOther refuses a caller with another key than the one that is in use, while
// whoever has that key is there: two machines that both believe to be one router
// would take the tunnel from each other forever. A replaced router is let in as
// soon as the one before is gone, or when replaced says so.
func (e *end) checkOther(ctx context.Context) error {
	host, err := wg.Open(e.Directory)
	if err != nil {
		return err
	}
	t := e.link.Tunnel
	want := wg.Want{
		Tunnels: []plan.Tunnel{t}, PrivateKeyFile: e.PrivateKeyFile, Directory: e.Directory,
		PublicKeys: map[string]plan.PublicKey{e.Name: e.PublicKey},
	}
	have, err := wg.Observe(ctx, host, want)
	if err != nil {
		return err
	}
	// Another run may have told a newer key, which is about to be used.
	if e.State == settled && len(wg.NewKeys(want, have)) > 0 {
		return fmt.Errorf("%s has told another public key since: "+
			"leave its tunnel to the run that has made that", e.Name)
	}
	if err := have.Interfaces[t.Name].Silent; err != nil {
		return fmt.Errorf("%s: %w", t.Name, err)
	}
	device := have.Interfaces[t.Name].Device
	if device == nil || len(device.Peers) == 0 || slices.Contains(e.Replaced, e.Name) {
		return nil
	}
	i := slices.IndexFunc(device.Peers, func(p wg.LivePeer) bool { return p.PublicKey == e.PublicKey })
	if i >= 0 {
		return nil
	}
	holder := status.KeyHolder{
		Interface: t.Name, PublicKey: device.Peers[0].PublicKey.String(), Told: e.PublicKey.String(),
		Address: e.link.Status.Address,
	}
	sign := status.Alive(ctx, e.ControlSocket, []status.KeyHolder{holder})[0]
	if sign == "" {
		return nil
	}
	return fmt.Errorf("%s has a tunnel to another %s, which %s: "+
		"are there two machines with this name and id? Stop the one that should not be, "+
		"or give it an id of its own; a replacement is let in when the old one is gone", e.state.Router, e.Name,
		sign)
}
