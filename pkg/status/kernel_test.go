package status

import (
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/wgmesh/router/internal/must"
)

// What the peers beside the one of the tunnel may use is not lost.
func TestPeerFor(t *testing.T) {
	peer := func(allowed ...string) (p wgtypes.Peer) {
		for _, n := range allowed {
			_, n, err := net.ParseCIDR(n)
			p.AllowedIPs = append(p.AllowedIPs, *must.Get(n, err)(t))
		}
		return p
	}
	ours, theirs := peer("172.31.20.0/31", "10.1.0.0/16"), peer("10.1.2.100/32", "fd00::/64")
	taken := []netip.Prefix{netip.MustParsePrefix("10.1.2.100/32"), netip.MustParsePrefix("fd00::/64")}
	for _, peers := range [][]wgtypes.Peer{{ours, theirs}, {theirs, ours}, {peer(), theirs, ours}} {
		p, others := peerFor(netip.MustParseAddr("172.31.20.1"), peers)
		assert.Equal(t, ours.AllowedIPs, p.Allowed)
		assert.Equal(t, taken, others)
	}
	p, others := peerFor(netip.MustParseAddr("172.31.20.1"), []wgtypes.Peer{theirs, theirs})
	assert.Nil(t, p)
	assert.Len(t, others, 4)
}
