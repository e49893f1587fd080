//go:build integration

package status

import (
	"context"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
)

// A socket has its own ping's messages alone: with hundreds at once, those of the others filled it, and its answer
// found no room.
func TestPingHearsItsOwn(t *testing.T) {
	nettest.Alone(t)
	ctx := context.Background()
	for _, to := range []string{"127.0.0.1", "::1"} {
		p := probe{to: netip.MustParseAddr(to), payload: smallProbe, timeout: time.Minute}
		e := newEcho(p)
		conn := must.Get(p.listen(ctx, e))(t)
		must.Get(ping(ctx, p))(t)
		must.Get(0, e.send(conn, 0))(t)
		buf := make([]byte, 1500)
		_, _, err := conn.ReadFrom(buf)
		must.Get(0, err)(t)
		assert.Equal(t, e.id, binary.BigEndian.Uint16(buf[4:]), to)
		assert.NoError(t, conn.Close())
	}
}

// What is on lo others may have too: keepalived's, a floating IP's. It asks nobody while
// there is another one.
func TestLoopbackAsksLast(t *testing.T) {
	nettest.Alone(t)
	site := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00:1::/48")}
	nettest.Sh(t, `ip address add 10.1.9.9/32 dev lo; ip address add fd00:1::9/128 dev lo nodad
		ip link add eth0 type bridge; ip address add 10.1.1.4/24 dev eth0`)
	own := must.Get(ownAddresses())(t)
	assert.Equal(t, netip.MustParseAddr("10.1.1.4"), source(own, site, netip.MustParseAddr("10.2.0.1")))
	assert.Equal(t, netip.MustParseAddr("fd00:1::9"), source(own, site, netip.MustParseAddr("fd00:2::1")))
}
