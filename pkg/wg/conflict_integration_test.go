//go:build integration

package wg_test

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/socket"
	"github.com/wgmesh/router/pkg/wg"
)

// Two tunnels swap their ports at both ends, and then all of one end get other names.
func TestLiveMakesRoom(t *testing.T) {
	a, b := pair(t, 2)
	for range 2 {
		a.apply()
		b.apply()
		a.reaches("172.31.1.2")
		a.reaches("172.31.2.2")
		for _, r := range []*router{a, b} {
			one, two := &r.want.Tunnels[0], &r.want.Tunnels[1]
			one.ListenPort, two.ListenPort = two.ListenPort, one.ListenPort
			one.Peers[0].Endpoint, two.Peers[0].Endpoint = two.Peers[0].Endpoint, one.Peers[0].Endpoint
		}
	}
	a.apply()
	b.apply()
	old := a.want.Tunnels[0].Name
	a.want.Replace = true
	for i := range a.want.Tunnels {
		a.want.Tunnels[i].Name = nettest.Unique("n" + strconv.Itoa(i))
	}
	a.apply()
	assert.NotContains(t, a.sh("ip -o link; ls %s", a.dir), old)
	a.reaches("172.31.1.2")
	a.reaches("172.31.2.2")
}

// diff is what Diff says of the router as it is.
func (r *router) diff() (err error) {
	r.t.Helper()
	return r.opened(func(h *wg.Host) error {
		s, err := wg.Observe(r.t.Context(), h, r.want)
		if err == nil {
			_, err = wg.Diff(r.want, s)
		}
		return err
	})
}

// Who holds a port or an address is named.
func TestLiveNamesTheOwner(t *testing.T) {
	a, _ := pair(t, 2)
	var held net.PacketConn
	require.NoError(t, a.Inside(func() (err error) {
		held, err = net.ListenPacket("udp4", "127.0.0.1:51802")
		return err
	}))
	name := must.Get(os.ReadFile("/proc/self/comm"))(t)
	require.ErrorContains(t, a.diff(),
		"UDP port 51802 is held by "+string(name[:len(name)-1])+" (process "+strconv.Itoa(os.Getpid())+")")
	require.NoError(t, held.Close())
	a.sh("ip addr add 172.31.2.1/32 dev eth0")
	require.ErrorContains(t, a.diff(), a.want.Tunnels[1].Name+": address 172.31.2.1 is on interface eth0")
	a.sh("ip addr del 172.31.2.1/32 dev eth0")
	a.apply()
}

// A wireguard-go that is stopped is named, and waited for only so long.
func TestUserspaceHangs(t *testing.T) {
	r := newRouter(t, "a")
	name := nettest.Unique("h")
	process := r.Userspace(t, name).Process
	r.want.Tunnels = []plan.Tunnel{{Name: name}}
	require.NoError(t, process.Signal(syscall.SIGSTOP))
	require.NoError(t, r.opened(func(h *wg.Host) error {
		have := must.Get(wg.Observe(t.Context(), h, r.want))(t)
		require.ErrorIs(t, have.Interfaces[name].Silent, socket.ErrHangs)
		require.ErrorIs(t, h.Configure(name, wg.DeviceChange{ListenPort: 50000}), socket.ErrHangs)
		require.NoError(t, process.Signal(syscall.SIGCONT))
		return h.Configure(name, wg.DeviceChange{ListenPort: 50000})
	}))
}

// A change of everything about a tunnel, and of the names, is taken back.
func TestLiveRevert(t *testing.T) {
	a, b := pair(t, 2)
	a.apply()
	b.apply()
	for _, change := range []func(){
		func() {
			one := &a.want.Tunnels[0]
			one.ListenPort, one.MTU, one.Addresses = 50001, 1300, prefixes("172.30.1.1/24")
			one.Peers[0].AllowedIPs, one.Peers[0].PersistentKeepalive = prefixes("10.1.0.0/16"), 7
			a.want.PublicKeys = map[string]plan.PublicKey{"b": keyOf("somebody")}
		},
		func() {
			a.want.Replace = true
			a.want.Tunnels[0].Name, a.want.Tunnels[1].Name = nettest.Unique("x"), nettest.Unique("y")
		},
	} {
		a.reaches("172.31.1.2")
		want := a.want
		a.want.Tunnels = append([]plan.Tunnel{}, want.Tunnels...)
		for i := range a.want.Tunnels {
			a.want.Tunnels[i].Peers = append([]plan.Peer{}, want.Tunnels[i].Peers...)
		}
		texts := map[string]string{}
		for _, tunnel := range want.Tunnels {
			texts[tunnel.Name] = string(must.Get(os.ReadFile(filepath.Join(a.dir, tunnel.Name+".conf")))(t))
		}
		change()
		require.NoError(t, a.opened(func(h *wg.Host) error {
			s, err := wg.Observe(t.Context(), h, a.want)
			if err != nil {
				return err
			}
			d, err := wg.Diff(a.want, s)
			if err != nil {
				return err
			}
			_, before := wg.Touched(a.want, s, d)
			if _, err := wg.Apply(t.Context(), h, d); err != nil {
				return err
			}
			_, err = wg.Revert(t.Context(), h, before, texts)
			return err
		}))
		a.want = want
		d, _ := a.plan()
		assert.True(t, d.Empty(), "%+v", d)
	}
	a.reaches("172.31.1.2")
	a.reaches("172.31.2.2")
}
