package status

import (
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
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

// An echo request is, byte for byte, that of golang.org/x/net/icmp, which the program
// does without: it brings all that ICMP can say.
func TestEchoMessage(t *testing.T) {
	from, to := netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00:2::1")
	for _, payload := range []string{
		"", "odd", "even", "\xff\xff\xff\xff\xff\xff\xff\xff", string(make([]byte, reachProbe)),
	} {
		body := &icmp.Echo{ID: 0xfedc, Seq: 2, Data: []byte(payload)}
		four := must.Get((&icmp.Message{Type: ipv4.ICMPTypeEcho, Body: body}).Marshal(nil))(t)
		got := echoMessage(request4, 0xfedc, 2, []byte(payload), nil)
		assert.Equal(t, four, got)
		_, ok := payloadOf(got, request4, 0xfedd)
		assert.False(t, ok)
		back, ok := payloadOf(got, request4, 0xfedc)
		assert.True(t, ok)
		assert.Equal(t, payload, string(back))

		body.Seq = 0
		six, err := (&icmp.Message{Type: ipv6.ICMPTypeEchoRequest, Body: body}).Marshal(
			icmp.IPv6PseudoHeader(from.AsSlice(), to.AsSlice()))
		require.NoError(t, err)
		packet := packetOf(from, to, &echo{request: request6, id: 0xfedc, payload: []byte(payload)})
		assert.Equal(t, six, packet[40:])
	}
}

func TestParseForwarded(t *testing.T) {
	n, err := parseForwarded(
		"Ip: Forwarding DefaultTTL InReceives ForwDatagrams InUnknownProtos\nIp: 1 64 76310 1234 0\n" +
			"Icmp: InMsgs\nIcmp: 7\n")
	require.NoError(t, err)
	assert.Equal(t, uint64(1234), n)
	_, err = parseForwarded("Icmp: InMsgs\nIcmp: 7\n")
	require.Error(t, err)
}
