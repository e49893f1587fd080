package birdconfig

import (
	"slices"

	"github.com/wgmesh/router/pkg/bird"
	"github.com/wgmesh/router/pkg/cause"
)

// refuseAbsent refuses to take away routing that other routers still use. One that is
// drained has sessions, and nobody uses it.
func (o Options) refuseAbsent(host bird.Host, have bird.Have) error {
	routers, err := host.Routers()
	if err != nil || bird.Drained(have.Present()).On() {
		return err
	}
	users := cause.List{}
	for _, r := range routers {
		if slices.Contains(o.UsedBy, r.Name) && slices.Contains(have.Daemon.Up, r.Protocol) {
			users = append(users, r.Name)
		}
	}
	if len(users) == 0 {
		return nil
	}
	return cause.New("it is still used by %s: run wgmesh.router.drain for it first, or set mesh_reset_force", users)
}
