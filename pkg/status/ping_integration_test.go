//go:build integration

package status

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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

// Who cannot ask does not know that nobody is there. Where there is no interface, nobody is.
func TestAnErrorIsNoAnswer(t *testing.T) {
	nettest.Alone(t)
	name := nettest.Unique("x")
	holder := []KeyHolder{{Interface: name, PublicKey: "the one before"}}
	assert.Equal(t, []string{""}, Alive(t.Context(), "/no-bird", holder))

	path := "/var/run/wireguard/" + name + ".sock"
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	l := must.Get(net.Listen("unix", path))(t)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("what\n\n"))
			_ = conn.Close()
		}
	}()
	sign := Alive(t.Context(), "/no-bird", holder)[0]
	assert.Contains(t, sign, "may be alive ("+name+": ")
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	require.NoError(t, l.Close())
	assert.Equal(t, []string{""}, Alive(t.Context(), "/no-bird", holder), "its process is gone")
	require.NoError(t, os.Remove(path))
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
