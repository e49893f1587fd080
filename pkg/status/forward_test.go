//go:build linux

package status

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/pkg/fib"
	"github.com/wgmesh/router/pkg/plan"
)

// The other router of the site stands in for one whose interface into the site is gone, so
// everything is reached, until that one goes.
func TestNoWayOfItsOwn(t *testing.T) {
	var bird fib.Reason
	bird.Found, bird.Route = true, netlink.Route{Protocol: unix.RTPROT_BIRD}
	bird.Rule.Table = unix.RT_TABLE_MAIN
	x := flow{way: inward, exact: true, network: netip.MustParsePrefix("10.1.0.0/16"), reason: bird, ours: "wg6"}
	x.answer.Device = "wg6"
	f, r := &Forwarding{}, &Request{Tunnels: []plan.StatusTunnel{{Name: "wg6", Peer: "azure-2"}}}
	p, found := f.checkFlow(r, &x, &Observation{})
	assert.True(t, found)
	assert.Equal(t, "it has no way of its own into 10.1.0.0/16, wg6 carries it", p.Cause.Found)

	x.answer.Device, x.ours = "eth0", "eth0"
	_, found = f.checkFlow(r, &x, &Observation{})
	assert.False(t, found)
}
