//go:build integration

package wg_test

import (
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/internal/nettest"
)

const exitSignal = syscall.SIGINT

// Nodes behind both routers have an MTU of 1500 and never hear of the tunnel's.
// Their TCP has to fit the tunnel nevertheless, whichever end connects.
func TestLiveMSSClamp(t *testing.T) {
	a, b := pair(t, 1)
	for _, r := range []*router{a, b} {
		r.want.MSSClamp = false
		r.want.Tunnels[0].Peers[0].AllowedIPs = prefixes("0.0.0.0/0 ::/0")
		r.apply()
	}
	left, right := a.node("l", "10.1.0", "fd01::", "10.2.0", "fd02::"), b.node("r", "10.2.0",
		"fd02::", "10.1.0", "fd01::")
	a.reaches("10.2.0.2")
	for _, family := range []struct {
		name, left, right string
		clamped           int // tunnel 1340, less IP, TCP and its timestamps
	}{
		{"IPv4", "10.1.0.2", "10.2.0.2", 1340 - 20 - 20 - 12},
		{"IPv6", "[fd01::2]", "[fd02::2]", 1340 - 40 - 20 - 12},
	} {
		t.Run(family.name, func(t *testing.T) {
			for _, clamp := range []bool{false, true} {
				a.want.MSSClamp = clamp // one router must be enough, for both directions
				a.apply()
				for _, got := range []int{mss(t, left, right, family.right), mss(t, right, left, family.left)} {
					if clamp {
						assert.Equal(t, family.clamped, got)
					} else {
						assert.Greater(t, got, 1400, "without the clamp this test proves nothing")
					}
				}
			}
			a.want.MSSClamp = false
			a.apply()
		})
	}
}

// node makes a host behind r, and routes of r to what is behind the tunnel.
func (r *router) node(name, net4, net6, far4, far6 string) *router {
	n := newRouter(r.t, name)
	tun := r.want.Tunnels[0].Name
	nettest.Cable(r.t, n.Namespace, "eth0", r.Namespace, "lan")
	r.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1; ip link set lan up; ip addr add "+
		"%s.1/24 dev lan; ip addr add %s1/64 dev lan nodad; ip route add %s.0/24 dev %s; ip route add %s/64 dev %s",
		net4, net6, far4, tun, far6, tun)
	n.sh("ip link set eth0 up; ip addr add %s.2/24 dev eth0; ip addr add %s2/64 dev eth0 nodad; "+
		"ip route add default via %s.1; ip route add default via %s1", net4, net6, net4, net6)
	return n
}

// mss connects two nodes and returns the segment size that the listener uses.
func mss(t *testing.T, from, to *router, address string) (size int) {
	t.Helper()
	const port = 5001
	ready, done := make(chan error, 1), make(chan error, 1)
	go func() {
		done <- to.Inside(func() error {
			l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", address, port))
			ready <- err
			if err != nil {
				return err
			}
			defer func() { _ = l.Close() }()
			_ = l.(*net.TCPListener).SetDeadline(time.Now().Add(2 * time.Minute))
			c, err := l.Accept()
			if err != nil {
				return err
			}
			defer func() { _ = c.Close() }()
			raw, err := c.(*net.TCPConn).SyscallConn()
			if err != nil {
				return err
			}
			var optErr error
			err = raw.Control(func(fd uintptr) {
				size, optErr = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG)
			})
			if err == nil {
				err = optErr
			}
			return err
		})
	}()
	require.NoError(t, <-ready)
	require.NoError(t, from.Inside(func() error {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("%s:%d", address, port), 2*time.Minute)
		if err != nil {
			return err
		}
		return c.Close()
	}))
	require.NoError(t, <-done)
	return size
}
