//go:build integration

package wg_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
)

// The endpoint of b is in its own site's network, as in AWS. The tunnel needs a way to it
// outside of tunnels, and nodes must not take it.
func TestLiveBypass(t *testing.T) {
	a, b := pair(t, 1)
	for _, r := range []*router{a, b} {
		r.want.Tunnels[0].Peers[0].AllowedIPs = prefixes("0.0.0.0/0 ::/0")
	}
	a.sh("ip addr add 2001:db8::1/64 dev eth0 nodad; ip route add fd02::9 dev eth0")
	b.sh("ip addr add 2001:db8::2/64 dev eth0 nodad; ip addr add fd02::9 dev eth0 nodad")
	a.want.Tunnels[0].Peers[0].Endpoint = netip.MustParseAddrPort("[fd02::9]:51801")
	a.apply()
	b.apply()
	left := a.node("l", "10.1.0", "fd01::", "10.2.0", "fd02::")
	b.node("r", "10.2.0", "fd02::", "10.1.0", "fd01::")
	a.reaches("10.2.0.2")
	left.reaches("fd02::9")

	a.want.Tunnels[0].Peers[0].Outside = true
	assert.Equal(t, []string{"mss clamp: loaded"}, a.apply())
	assert.Empty(t, a.apply(), "a second run")
	a.reaches("fd02::9")
	left.reaches("fd02::2")
	said, err := left.Command("ping", "-c1", "-W5", "fd02::9").Output()
	assert.Error(t, err)
	assert.Contains(t, string(said), "Administratively prohibited")
}
