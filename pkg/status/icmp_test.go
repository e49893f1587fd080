package status

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// An echo request is, byte for byte, that of golang.org/x/net/icmp, which the program
// does without: it brings all that ICMP can say.
func TestEchoMessage(t *testing.T) {
	from, to := netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00:2::1")
	for _, payload := range []string{
		"", "odd", "even", "\xff\xff\xff\xff\xff\xff\xff\xff", string(make([]byte, reachProbe)),
	} {
		body := &icmp.Echo{ID: 0xfedc, Seq: 2, Data: []byte(payload)}
		four, err := (&icmp.Message{Type: ipv4.ICMPTypeEcho, Body: body}).Marshal(nil)
		require.NoError(t, err)
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
