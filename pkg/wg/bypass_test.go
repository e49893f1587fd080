package wg_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
)

// What is forwarded to an endpoint behind the tunnels is refused, for as long as some tunnel
// has that endpoint, whoever writes the table.
func TestBypass(t *testing.T) {
	const rule = "ip6 daddr { 2001:db8:2::4 } counter reject"
	f := meshHost()
	w := of("routers", mesh())
	w.Tunnels[0].Peers[0].Endpoint, w.Tunnels[0].Peers[0].Outside = netip.MustParseAddrPort("[2001:db8:2::4]:51801"), true
	converge(t, f, w)
	assert.Contains(t, f.mss.File, rule)

	one := w
	one.Tunnels = w.Tunnels[1:]
	converge(t, f, one)
	assert.Contains(t, f.mss.File, rule, "a run that is about another tunnel")
	converge(t, f, road())
	assert.Contains(t, f.mss.File, rule, "a user's own tunnel")
	one.Purge = true
	converge(t, f, one)
	assert.NotContains(t, f.mss.File, "bypass", "its tunnel is gone")

	w.MSSClamp = false
	converge(t, f, w)
	assert.Contains(t, f.mss.File, rule, "without a clamp")
	assert.Contains(t, f.files["wg1"].Text, "nft -f -", "at boot, too")
	w.Tunnels[0].Peers[0].Endpoint, w.Tunnels[0].Peers[0].Outside = netip.MustParseAddrPort("203.0.113.1:51801"), false
	converge(t, f, w)
	assert.NotContains(t, f.mss.File, "bypass")
}
