//go:build integration

package wg_test

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/internal/nettest"
	"github.com/wgmesh/router/pkg/wg"
)

const all = "tcp/22 tcp/179 tcp/5201 tcp/8179 udp/123 udp/3784 udp/3785"

// What comes out of a tunnel for the router itself, by real packets: with the
// filter only what the mesh needs gets in, while forwarding, what the router asks
// for itself, and what comes by other ways are as they were.
func TestLiveInputFilter(t *testing.T) {
	a, b := pair(t, 1)
	for _, r := range []*router{a, b} {
		r.want.Tunnels[0].Peers[0].AllowedIPs = prefixes("0.0.0.0/0 ::/0")
		r.apply()
	}
	left, right := a.node("l", "10.1.0", "fd01::", "10.2.0", "fd02::"), b.node("r", "10.2.0",
		"fd02::", "10.1.0", "fd01::")
	a.reaches("10.2.0.2")
	listen(t, a, "tcp", 22, 179, 5201, 8179)
	listen(t, a, "udp", 123, 3784, 3785)
	own := []string{"172.31.1.1", "fd00:1::1", "10.1.0.1", "fd01::1"}
	answer(t, b, own, all, all)

	a.want.Input, a.want.InputPorts = wg.InputMesh, []int{5201}
	assert.Equal(t,
		[]string{"mss clamp and input filter: loaded", a.want.Tunnels[0].Name + ": wg-quick file"}, a.apply())
	assert.Empty(t, a.apply(), "a second run")
	answer(t, b, own, all, "tcp/179 tcp/5201 udp/3784 udp/3785")
	for _, address := range own {
		b.reaches(address)
	}
	answer(t, left, []string{"10.1.0.1", "fd01::1"}, all, all)
	answer(t, a, own, all, all)

	// Forwarded, both ways, and nothing of it is tracked.
	for _, node := range []*router{left, right} {
		listen(t, node, "tcp", 22)
		listen(t, node, "udp", 123)
	}
	answer(t, left, []string{"10.2.0.2", "fd02::2"}, "tcp/22 udp/123", "tcp/22 udp/123")
	answer(t, right, []string{"10.1.0.2", "fd01::2"}, "tcp/22 udp/123", "tcp/22 udp/123")
	assert.Empty(t, strings.TrimSpace(a.sh("cat /proc/net/nf_conntrack 2>/dev/null || true")))

	// Without its filter a tunnel does not come up.
	name := a.want.Tunnels[0].Name
	a.sh("cp %[1]s/wgmesh.nft %[1]s/kept; echo 'no such thing' >>%[1]s/wgmesh.nft; wg-quick down %[1]s/%[2]s.conf",
		a.dir, name)
	// One that ends would take the socket of the next one away.
	gone := fmt.Sprintf("for n in $(seq 100); do [ -e /var/run/wireguard/%s.sock ] || break; sleep 0.05; done; ", name)
	a.sh(gone+"! wg-quick up %s/%s.conf", a.dir, name)
	assert.NotContains(t, a.sh("ip -o link"), name)
	a.sh(gone+"mv %[1]s/kept %[1]s/wgmesh.nft; nft delete table inet wgmesh; wg-quick up %[1]s/%[2]s.conf", a.dir, name)
	assert.Empty(t, a.apply(), "at boot the filter comes with the tunnel")

	// What the router asks for is answered, UDP too, as long as it is an answer.
	listen(t, b, "tcp", 22)
	listen(t, b, "udp", 53)
	answer(t, a, []string{"172.31.1.2", "fd00:1::2"}, "tcp/22 udp/53", "tcp/22 udp/53")
	answer(t, b, own, "tcp/22 udp/123", "")
}

// listen answers every connection and every packet on these ports of a router.
func listen(t *testing.T, r *router, network string, ports ...int) {
	t.Helper()
	require.NoError(t, r.Inside(func() error {
		addresses, err := net.InterfaceAddrs()
		for _, address := range addresses {
			ip := address.(*net.IPNet).IP
			for _, port := range ports {
				host := net.JoinHostPort(ip.String(), fmt.Sprint(port))
				if ip.IsLinkLocalUnicast() {
					continue
				}
				if network == "udp" {
					err = errors.Join(err, listenUDP(t, host))
				} else {
					err = errors.Join(err, listenTCP(t, host))
				}
			}
		}
		return err
	}))
}

func listenUDP(t *testing.T, host string) error {
	c, err := net.ListenPacket("udp", host)
	if err != nil {
		return err
	}
	t.Cleanup(func() { _ = c.Close() })
	go func() {
		for b := make([]byte, 16); ; {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = c.WriteTo(b[:n], from)
		}
	}()
	return nil
}

func listenTCP(t *testing.T, host string) error {
	l, err := net.Listen("tcp", host)
	if err != nil {
		return err
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("x"))
			_ = c.Close()
		}
	}()
	return nil
}

// answer asks ports of addresses from within a router, all at once, and compares
// which of them answer.
func answer(t *testing.T, from *router, addresses []string, ports, want string) {
	t.Helper()
	open := map[string]string{}
	var mu sync.Mutex
	var asked sync.WaitGroup
	for _, address := range addresses {
		for _, port := range strings.Fields(ports) {
			asked.Go(func() {
				patience := 2 * time.Second // for what is to stay silent
				if slices.Contains(strings.Fields(want), port) {
					patience = time.Minute
				}
				err := from.Inside(func() error { return ask(address, port, patience) })
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					open[address+" "+port] = "open"
				}
			})
		}
	}
	asked.Wait()
	expected := map[string]string{}
	for _, address := range addresses {
		for _, port := range strings.Fields(want) {
			expected[address+" "+port] = "open"
		}
	}
	assert.Equal(t, expected, open)
}

func ask(address, port string, patience time.Duration) error {
	network, number, _ := strings.Cut(port, "/")
	c, err := net.DialTimeout(network, net.JoinHostPort(address, number), patience)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(patience))
	if network == "udp" {
		_, _ = c.Write([]byte("x"))
	}
	_, err = c.Read(make([]byte, 1))
	return err
}

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
