package status_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/birdc"
	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/socket"
	"github.com/wgmesh/router/pkg/status"
)

var now = time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)

// night is the router office-1 with a tunnel to azure-2 and one to gcp-1.
func night() (status.Request, status.Observation) {
	r := status.Request{
		Tunnels: []plan.StatusTunnel{
			{
				Name: "wg20", Peer: "azure-2", Neighbor: "azure_2",
				Address: netip.MustParseAddr("172.31.20.2"), MTU: 1340, AS: 65020,
			},
			{
				Name: "wg21", Peer: "gcp-1", Neighbor: "gcp_1",
				Address: netip.MustParseAddr("172.31.21.2"), MTU: 1400, AS: 65040,
			},
		},
		Prefixes: []plan.StatusPrefix{
			{Network: netip.MustParsePrefix("10.1.0.0/16"), Site: "azure", AS: 65020},
			{Network: netip.MustParsePrefix("10.3.0.0/16"), Site: "gcp"},
		},
		SourceNetworks: must.Prefixes("10.0.0.0/16"),
		Reach:          []status.Target{{Name: "azure-2", Address: netip.MustParseAddr("10.1.2.4")}},
		BFD:            true,
	}
	o := status.Observation{
		At: now, Probed: true,
		Routes: map[netip.Prefix]status.Route{
			r.Prefixes[0].Network: {Devices: []string{"wg20"}, Type: "unicast", Protocol: "bird"},
			r.Prefixes[1].Network: {Devices: []string{"wg20", "wg21"}, Type: "unicast", Protocol: "bird"},
		},
		Targets: []status.TargetState{{From: netip.MustParseAddr("10.0.1.4"), RTT: 3 * time.Millisecond}},
	}
	for i, t := range r.Tunnels {
		o.Tunnels = append(o.Tunnels, status.TunnelState{
			Device: status.Device{Port: 51820 + i, MTU: t.MTU, Peer: &status.Peer{
				Endpoint:  netip.MustParseAddrPort(fmt.Sprintf("203.0.113.12:%d", 51820+i)),
				Handshake: now.Add(-12 * time.Second), Keepalive: 25 * time.Second, Rx: 1000, Tx: 2000, PSK: true,
			}},
			Session: &status.Session{Name: t.Neighbor, Up: "up", State: "Established", NeighborAS: t.AS, Imported: 2},
			BFD:     &birdc.BFDSession{State: "Up"},
			RTT:     2345 * time.Microsecond, PathMTU: t.MTU,
		})
	}
	return r, o
}

func TestCheck(t *testing.T) {
	type scene struct {
		*status.Request
		*status.Observation
		first *status.TunnelState
	}
	never := func(s scene) { s.first.Device.Peer.Handshake = time.Time{}; s.first.Device.Peer.Rx = 0 }
	for name, tt := range map[string]struct {
		breakIt func(s scene)
		want    string // empty: healthy
	}{
		"healthy": {func(scene) {}, ""},
		"no interface": {
			func(s scene) { s.first.DeviceErr = netlink.LinkNotFoundError{} },
			"tunnel wg20 to azure-2: interface wg20 does not exist: " +
				"run the mesh play here, or start it (systemctl start wg-quick@wg20)",
		},
		"set down": {
			func(s scene) { s.first.Device.Down = true; never(s) },
			"tunnel wg20 to azure-2: wg20 is down: run the mesh play here, or set it up (ip link set wg20 up)",
		},
		"its process hangs": {
			func(s scene) { s.first.DeviceErr = fmt.Errorf("x: %w", socket.ErrHangs) },
			"tunnel wg20 to azure-2: the wireguard-go of wg20 does not answer: " +
				"end that process (kill -KILL), and start it again (systemctl restart wg-quick@wg20)",
		},
		"no WireGuard interface": {
			func(s scene) { s.first.DeviceErr = unix.EOPNOTSUPP },
			"tunnel wg20 to azure-2: wg20 cannot be read as a WireGuard interface (operation not supported): " +
				"run as root, and look at what it is (ip -d link show wg20)",
		},
		"no peer": {
			func(s scene) { s.first.Device.Peer = nil },
			"tunnel wg20 to azure-2: the interface has no peer yet: " +
				"run the mesh play for both ends, so that each learns the other's public key",
		},
		"old handshake, and what follows from it": {
			func(s scene) {
				s.first.Device.Peer.Handshake = now.Add(-190 * time.Second)
				s.first.PingErr, s.first.Session.State, s.first.BFD.State = status.ErrNoAnswer, "Active", "Down"
			},
			"tunnel wg20 to azure-2: no handshake for 190 s, last endpoint 203.0.113.12:51820: " +
				"check UDP 51820 in the firewalls of both ends, and that azure-2 runs",
		},
		"old handshake, from elsewhere": {
			func(s scene) {
				s.first.Device.Peer.Handshake = now.Add(-190 * time.Second)
				s.first.Device.Peer.Endpoint = netip.MustParseAddrPort("198.51.100.9:51820")
				s.first.EndpointAnswers = true // whoever has it now
				s.Request.Tunnels[0].Endpoint = netip.MustParseAddrPort("203.0.113.12:51820")
				s.first.PingErr, s.first.Session.State, s.first.BFD.State = status.ErrNoAnswer, "Active", "Down"
			},
			"tunnel wg20 to azure-2: no handshake for 190 s, last endpoint 198.51.100.9, " +
				"planned 203.0.113.12: run the mesh play here, and check that azure-2 runs",
		},
		"just young enough": {func(s scene) {
			s.first.Device.Peer.Handshake = now.Add(-180 * time.Second)
		}, ""},
		"old handshake, by a clock that was set, and packets come": {func(s scene) {
			s.first.Device.Peer.Handshake, s.first.EndpointAnswers = now.Add(-7260*time.Second), true
		}, ""},
		"the same, and something is pending": {func(s scene) {
			s.first.Device.Peer.Handshake = now.Add(-7260 * time.Second)
			s.Pending = map[string]string{"azure-2": "for its key: run the mesh play"}
		}, ""},
		"old handshake, and BGP without BFD is up for a while": {
			func(s scene) {
				s.first.Device.Peer.Handshake, s.first.BFD, s.BFD = now.Add(-190*time.Second), nil, false
			},
			"tunnel wg20 to azure-2: no handshake for 190 s, last endpoint 203.0.113.12:51820: check UDP " +
				"51820 in the firewalls of both ends, and that azure-2 runs",
		},
		"idle without a keepalive": {func(s scene) {
			s.first.Device.Peer.Handshake, s.first.Device.Peer.Keepalive = now.Add(-time.Hour), 0
		}, ""},
		"never a handshake, ping answers": {
			func(s scene) { never(s); s.first.EndpointAnswers = true },
			"tunnel wg20 to azure-2: no handshake yet, though 203.0.113.12 answers ping: " +
				"open UDP 51820 in both firewalls, or run the mesh play for both (keys)",
		},
		"never a handshake, no endpoint": {
			func(s scene) { never(s); s.first.Device.Peer.Endpoint = netip.AddrPort{} },
			"tunnel wg20 to azure-2: no handshake yet, no endpoint known, so azure-2 has to begin: " +
				"check that it runs, and UDP 51820 in the firewall of this router",
		},
		"preshared keys differ from the start": {
			func(s scene) { never(s); s.first.Device.Peer.Rx = 296 },
			"tunnel wg20 to azure-2: its handshakes arrive but none is completed: " +
				"run the mesh play for both (pre-shared keys), or open UDP 51820 there for answers",
		},
		"preshared keys differ since a while": {
			func(s scene) {
				s.first.Device.Peer.Handshake, s.first.RxGrew = now.Add(-200*time.Second), true
				s.first.BFD.State = "Down"
			},
			"tunnel wg20 to azure-2: its handshakes arrive but none is completed: " +
				"run the mesh play for both (pre-shared keys), or open UDP 51820 there for answers",
		},
		"handshake but no ping": {
			func(s scene) { s.first.PingErr, s.first.Session.State = status.ErrNoAnswer, "Connect" },
			"tunnel wg... azure-2: 172.31.20.2 does not answer ping, though the handshake is young: " +
				"check UDP 51820, ICMP and its address there, and wg show wg20 allowed-ips",
		},
		"handshake but nothing since": {
			func(s scene) {
				s.first.PingErr, s.first.Session.State, s.first.Still = status.ErrNoAnswer, "Connect", true
			},
			"tunnel wg20 to azure-2: 172.31.20.2 does not answer ping, and nothing arrives in wg20: " +
				"check UDP 51820 in the firewalls of both ends, and that azure-2 runs",
		},
		"a session and no BFD, which is quiet": {
			func(s scene) {
				s.first.PingErr, s.first.BFD, s.BFD, s.first.Still = status.ErrNoAnswer, nil, false, true
			},
			"tunnel wg... azure-2: 172.31.20.2 does not answer ping, though the handshake is young: " +
				"check UDP 51820, ICMP and its address there, and wg show wg20 allowed-ips",
		},
		"path MTU": {
			func(s scene) { s.first.WholeErr, s.first.PathMTU = status.ErrNoAnswer, 1280 },
			"tunnel wg20 to azure-2: packets of 1340 bytes do not get through, those of 1280 do: " +
				"check the MTU at both ends, lower mtu of a site, or admit UDP fragments",
		},
		"MTU of the interface": {
			func(s scene) { s.first.WholeErr, s.first.PathMTU, s.first.Device.MTU = unix.EMSGSIZE, 1280, 1280 },
			"tunnel wg20 to azure-2: the MTU of wg20 is 1280, expected 1340: run the mesh play here",
		},
		"BFD's protocol is switched off": {
			func(s scene) {
				s.Off = []string{"bfd1"}
				s.first.BFD = nil
			},
			"BIRD's protocol bfd1 is switched off: run the mesh play here, or birdc enable bfd1",
		},
		"BIRD is down": {
			func(s scene) {
				s.BirdErr = fmt.Errorf("bird control socket /run/bird/bird.ctl: %w", birdc.ErrNotRunning)
				for i := range s.Observation.Tunnels {
					s.Observation.Tunnels[i].Session, s.Observation.Tunnels[i].BFD = nil, nil
				}
			},
			"BIRD does not run: start it (systemctl start bird), and look at its log (journalctl -u bird)",
		},
		"no protocol": {
			func(s scene) { s.first.Session = nil },
			"tunnel wg20 to azure-2: BIRD has no protocol azure_2: run the mesh play here",
		},
		"switched off": {
			func(s scene) { s.first.Session.Up, s.first.Session.State = "down", "Down" },
			"tunnel wg20 to azure-2: BGP session azure_2 is switched off: switch it on (birdc enable azure_2)",
		},
		"BGP is not established": {
			func(s scene) {
				s.first.Session.Up, s.first.Session.State, s.first.Session.LastError,
					s.first.BFD = "start", "Active", "Socket: Connection reset by peer", nil
			},
			"tunnel w...azure-2: BGP is Active (Socket: Connection reset by peer), not Established: " +
				"look at birdc show protocols all on azure-2, and at TCP 179 in the tunnel",
		},
		"another AS": {
			func(s scene) { s.first.Session.NeighborAS = 65030 },
			"tunnel wg20 to azure-2: BIRD expects AS 65030 of azure-2, the inventory says AS 65020: " +
				"run the mesh play here",
		},
		"BFD is down": {
			func(s scene) { s.first.BFD.State = "Down" },
			"tunnel wg20 to azure-2: BFD is Down, expected Up: " +
				"check that azure-2 has BFD on, and that UDP 3784 is open inside the tunnel",
		},
		"BFD is missing and not wanted": {func(s scene) { s.first.BFD, s.BFD = nil, false }, ""},
		"import limit": {
			func(s scene) { s.first.Session.LimitHit = true },
			"tunnel wg20 to azure-2: BGP session azure_2 is over its limit, with 2 routes: " +
				"look at birdc show route export on azure-2",
		},
		"a prefix is missing": {
			func(s scene) { delete(s.Routes, s.Prefixes[0].Network) },
			"prefix 10.1.0.0/16 of azure: no tunnel has a route to it: " +
				"look at birdc show route for 10.1.0.0/16 all, here and there",
		},
		"a prefix is missing and refused": {
			func(s scene) {
				s.Routes[s.Prefixes[0].Network] = status.Route{Type: "unreachable", Protocol: "157", Floor: true}
			},
			"prefix 10.1.0.0/16 of azure: no tunnel has a route to it: " +
				"look at birdc show route for 10.1.0.0/16 all, here and there",
		},
		"a prefix goes elsewhere": {
			func(s scene) {
				s.Routes[s.Prefixes[0].Network] = status.Route{
					Devices: []string{"eth0"}, Type: "unicast", Protocol: "dhcp",
				}
			},
			"prefix 10.1.0.0/16 of azure: goes out of eth0 by a route made by dhcp: " +
				"remove that route (ip route show 10.1.0.0/16)",
		},
		"a prefix is dropped": {
			func(s scene) { s.Routes[s.Prefixes[0].Network] = status.Route{Type: "blackhole", Protocol: "static"} },
			"prefix 10.1.0.0/16 of azure: a route made by static drops its packets (blackhole): " +
				"remove it (ip route show 10.1.0.0/16)",
		},
		"a router does not answer": {
			func(s scene) { s.Targets[0].Err = status.ErrNoAnswer },
			"router azure-2 at 10.1.2.4: no answer to a ping of 1272 bytes from 10.0.1.4: " +
				"check ip route get and the cloud's IP forwarding at both ends, and ICMP there",
		},
		"nothing to ask from, of this family": {
			func(s scene) {
				s.Targets[0].From = netip.Addr{}
				s.SourceNetworks = append(s.SourceNetworks, netip.MustParsePrefix("2001:db8::/48"))
			},
			"router azure-2 at 10.1.2.4: no own address in 10.0.0.0/16 to ask from: " +
				"correct this router's address, or its site's networks in the inventory",
		},
		"routes cannot be read": {
			func(s scene) { s.RoutesErr = errors.New("kernel routes: interrupted") },
			"the kernel's routes cannot be read (kernel routes: interrupted): run it again, as root",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, o := night()
			tt.breakIt(scene{&r, &o, &o.Tunnels[0]})
			rep := status.Judge(r, o)
			assert.Equal(t, tt.want, strings.Join(rep.Texts(), "\n"))
			assert.Equal(t, tt.want == "", rep.Healthy())
			assert.Equal(t, tt.want == "", rep.RequiredHealthy(), "all are required")
			for _, line := range status.Table(r, o, rep) {
				assert.LessOrEqual(t, len([]rune(line)), 80, line)
			}
		})
	}
}

// Who cannot read its routes does not say that it has none.
func TestNoWaysWithoutRoutes(t *testing.T) {
	assert.Equal(t, []status.Way{}, status.Ways(status.Request{}, status.Observation{}))
	assert.Nil(t, status.Ways(status.Request{}, status.Observation{RoutesErr: errors.New("interrupted")}))
}

// A tunnel that is larger than planned works, and its packets are cut outside of it. That is this router's
// own fault, and one of all its tunnels; nothing is taken back for it.
func TestTunnelsAreTooLarge(t *testing.T) {
	r, o := night()
	for i := range o.Tunnels {
		o.Tunnels[i].Device.MTU = 9001
	}
	rep := status.Judge(r, o)
	assert.Equal(t, []string{
		"the MTU of wg20, wg21 is larger than planned (9001, expected 1340): run the mesh play here",
	}, rep.Texts())
	assert.Empty(t, rep.Troubles()[0].Peer)
	assert.True(t, rep.RequiredHealthy())
	r.Tunnels[0].MTU, r.Tunnels[1].MTU = 0, 0
	assert.True(t, status.Judge(r, o).Healthy(), "nobody planned one")
}

// It works until the other end has to begin.
func TestTunnelsListenElsewhere(t *testing.T) {
	r, o := night()
	r.Tunnels[0].ListenPort, r.Tunnels[1].ListenPort = 51820, 51801
	rep := status.Judge(r, o)
	assert.Equal(t, []string{"wg21: UDP 51821 is listened on, expected 51801: run the mesh play here"}, rep.Texts())
	assert.True(t, rep.RequiredHealthy())
	o.Tunnels[1].DeviceErr = netlink.LinkNotFoundError{}
	assert.Len(t, status.Judge(r, o).Problems, 1, "there is none")
}

// BIRD 3 that was told to read its text again is well until the interface into its site goes dark.
func TestDeafBird(t *testing.T) {
	r, o := night()
	o.Deaf = []string{"site4_ab", "site6_ab"}
	rep := status.Judge(r, o)
	assert.True(t, rep.Healthy())
	assert.Contains(t, rep.Warnings, cause.New("BIRD has read a text again that it ran, so site4_ab, site6_ab will "+
		"not see the site's interface go dark: run the mesh play here, or systemctl reload bird"))
	o.Gateways = []status.Gateway{{Device: "eth0", Network: r.SourceNetworks[0], Dark: true}}
	rep = status.Judge(r, o)
	assert.Len(t, rep.Texts(), 1)
	for _, w := range rep.Warnings {
		assert.NotContains(t, w.String(), "dark")
	}
}

// A key that somebody set on one interface looked like a firewall, from both ends.
func TestTunnelHasAnotherKey(t *testing.T) {
	r, o := night()
	for i := range 2 {
		o.Tunnels[i].Device.Own[0] = byte(i + 1)
	}
	assert.True(t, status.Judge(r, o).Healthy())
	wrong := []string{
		"tunnel wg21 to gcp-1: wg21 has another private key than the other tunnels here: run the mesh play for both",
	}
	dead := func(i int) {
		s := &o.Tunnels[i]
		s.BFD, s.PingErr, s.Still, s.Session = nil, status.ErrNoAnswer, true, &status.Session{State: "Active"}
	}
	well := slices.Clone(o.Tunnels)
	dead(1)
	assert.Equal(t, wrong, status.Judge(r, o).Texts(), "the key of the one that works is right")
	dead(0)
	assert.Len(t, status.Judge(r, o).Texts(), 2, "of two that do not work nobody can tell")
	for _, said := range status.Judge(r, o).Texts() {
		assert.Contains(t, said, "another private key")
	}
	o.Tunnels = well
	third, seen := r.Tunnels[0], o.Tunnels[0]
	third.Name, third.Peer, third.Neighbor = "wg22", "azure-3", ""
	r.Tunnels, o.Tunnels = append(r.Tunnels, third), append(o.Tunnels, seen)
	assert.True(t, status.Judge(r, o).Healthy(), "its session lives: a run changes it now")
	dead(1)
	assert.Equal(t, wrong, status.Judge(r, o).Texts())
	o.Tunnels[0].DeviceErr, o.Tunnels[2].DeviceErr = netlink.LinkNotFoundError{}, netlink.LinkNotFoundError{}
	assert.NotContains(t, strings.Join(status.Judge(r, o).Texts(), "\n"), "private key", "there is only one")
}

// WireGuard sends to the peer with the narrowest network. Who has that on an interface of
// ours takes packets that all routes send right.
func TestPeerThatTakes(t *testing.T) {
	r, o := night()
	wide, host, site := netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("10.1.2.100/32"), r.SourceNetworks[0]
	o.Tunnels[0].Device.Others = []netip.Prefix{wide, netip.MustParsePrefix("10.8.0.0/24")}
	rep := status.Judge(r, o)
	assert.True(t, rep.Healthy(), "none of them takes anything")
	assert.Contains(t, rep.Warnings, cause.New("another peer of wg20 may send as if from the sites (0.0.0.0/0): "+
		"run the mesh play here, or look at wg show wg20 allowed-ips"))
	o.Tunnels[0].Device.Others = append(o.Tunnels[0].Device.Others, host, site)
	rep = status.Judge(r, o)
	assert.Equal(t, []string{
		"another peer of wg20 takes what goes to 10.1.2.100/32, 10.0.0.0/16: " +
			"run the mesh play here, or look at wg show wg20 allowed-ips",
	}, rep.Texts())
	assert.Empty(t, rep.Troubles()[0].Peer)
	r.Tunnels[1].Name = "wg20"
	assert.NotContains(t, status.Judge(r, o).Texts(), rep.Texts()[0], "an interface with several peers by plan")
}

func TestRequire(t *testing.T) {
	tests := map[string]struct {
		require []string
		want    bool
	}{
		"all":                   {nil, false},
		"nobody":                {[]string{}, true},
		"the healthy one":       {[]string{"gcp-1"}, true},
		"the other":             {[]string{"azure-2"}, false},
		"the other, as in BIRD": {[]string{"azure_2"}, false},
	}
	for what, breakIt := range map[string]func(r status.Request, o *status.Observation){
		"tunnel": func(_ status.Request, o *status.Observation) { o.Tunnels[0].BFD.State = "Down" },
		"prefix": func(r status.Request, o *status.Observation) { delete(o.Routes, r.Prefixes[0].Network) },
		"target": func(_ status.Request, o *status.Observation) { o.Targets[0].Err = status.ErrNoAnswer },
	} {
		for name, tt := range tests {
			t.Run(what+"/"+name, func(t *testing.T) {
				r, o := night()
				r.Reach[0].Name = "azure-2"
				r.Require = tt.require
				breakIt(r, &o)
				if what == "target" && name == "the other, as in BIRD" {
					t.Log("targets have no name in BIRD")
					r.Require = []string{"azure-2"}
				}
				rep := status.Judge(r, o)
				assert.False(t, rep.Healthy())
				assert.Equal(t, tt.want, rep.RequiredHealthy())
			})
		}
	}
	t.Run("prefix of an unknown AS, everybody named", func(t *testing.T) {
		r, o := night()
		delete(o.Routes, r.Prefixes[1].Network)
		r.Require = []string{"gcp-1", "azure-2"}
		assert.False(t, status.Judge(r, o).RequiredHealthy())
		r.Require = []string{"gcp-1"}
		assert.True(t, status.Judge(r, o).RequiredHealthy(), "nobody can tell")
	})
	r := status.Request{
		Tunnels: []plan.StatusTunnel{{Peer: "azure-2", Neighbor: "azure_2"}},
		Require: []string{"azure_2", "azure2"},
	}
	assert.Equal(t, []string{"azure2"}, r.Unknown())
}

// A site without IPv6 neither has a way to another one's IPv6 addresses nor needs one.
func TestFamilyThatTheSiteDoesNotSpeak(t *testing.T) {
	r, o := night()
	r.Reach[0].Address = netip.MustParseAddr("2001:db8::10")
	o.Targets[0] = status.TargetState{}
	assert.True(t, status.Judge(r, o).Healthy())
}

// An endpoint that is in its site's network is reached by no tunnel, and what is in the
// way of a ping to it says nothing about one.
func TestTargetThatIsTheEndOfATunnel(t *testing.T) {
	r, o := night()
	o.Targets[0].Err = status.ErrNoAnswer
	assert.False(t, status.Judge(r, o).Healthy())
	r.Reach[0].Address = o.Tunnels[0].Device.Peer.Endpoint.Addr()
	assert.True(t, status.Judge(r, o).Healthy())
}

func TestTable(t *testing.T) {
	r, o := night()
	r.Tunnels[1].Peer = "a-router-whose-name-is-longer-than-a-terminal-would-like-it-to-be"
	r.Tunnels[1].Name = "wgmesh-00000002"
	o.Routes[r.Prefixes[1].Network] = status.Route{Devices: []string{r.Tunnels[1].Name}}
	o.Tunnels[0].Device.Peer.Handshake = time.Time{}
	o.Tunnels[0].Session.State, o.Tunnels[0].BFD.State, o.Tunnels[0].PingErr = "OpenConfirm", "Down", status.ErrNoAnswer
	got := status.Table(r, o, status.Judge(r, o))
	assert.Equal(t, strings.Split(strings.Trim(`
  tunnel          peer             handshake rtt    mtu  bgp         bfd  routes
! wg20            azure-2          never     -      -    OpenConfirm Down 2
  wgmesh-00000002 a-router-whose-~ 12 s      2.3 ms 1400 Established Up   2
not healthy, problems: 1, 1/2 tunnels, 2/2 prefixes, 1/1 routers answer`, "\n"), "\n"), got)

	r, o = night()
	o.Tunnels[0].WholeErr, o.Tunnels[0].PathMTU = status.ErrNoAnswer, 1280
	got = status.Table(r, o, status.Judge(r, o))
	assert.Contains(t, got[1], "<1300")
}

// What is known of a version of BIRD is said, and no more.
func TestTableNamesAKnownHole(t *testing.T) {
	for version, named := range map[string]bool{
		"": false, "2.0.12": true, "2.0.7": true, "1.6.8": true, "2.17.6": true, "2.19.0": true, "2.19": true,
		"2.19.1": false, "2.20.0": false, "3.1.8": false, "nonsense": false,
	} {
		r, o := night()
		o.BirdVersion = version
		got := strings.Join(status.Table(r, o, status.Judge(r, o)), "\n")
		assert.Equal(t, named, strings.Contains(got, "CVE-2026-49943"), version)
	}
}

// A floor that lacks a network is a problem by name, and nothing that a change of
// routing is taken back for.
func TestFloorIsMissing(t *testing.T) {
	r, o := night()
	r.Floor, r.Refused = 157, must.Prefixes("10.1.0.0/16", "10.1.1.0/24", "10.3.0.0/16")
	rep := status.Judge(r, o)
	require.Len(t, rep.Problems, 1)
	assert.Contains(t, rep.Problems[0].Text(), "the floor is missing for 10.1.0.0/16, 10.1.1.0/24, 10.3.0.0/16: ")
	assert.True(t, rep.RequiredHealthy())
	o.Refused = must.Prefixes("10.1.0.0/16") // the outer one refuses what is in it
	assert.Contains(t, status.Judge(r, o).Problems[0].Text(), "the floor is missing for 10.3.0.0/16: ")
	o.Refused = append(o.Refused, netip.MustParsePrefix("10.0.0.0/14"))
	assert.Empty(t, status.Judge(r, o).Problems)
}

// A router that is gone was a problem of each other one's own, and so were the networks of its site.
func TestProblemsByRouter(t *testing.T) {
	for name, x := range map[string]struct {
		breakIt                 func(o *status.Observation)
		own, azure, gcp, branch int
	}{
		"nothing": {func(*status.Observation) {}, 0, 0, 0, 0},
		"a router is gone": {
			func(o *status.Observation) { o.Tunnels[1].Device.Peer.Handshake = time.Time{} }, 0, 0, 1, 0,
		},
		"its site with it":       {gone, 0, 1, 0, 0},
		"it brings no network":   {func(o *status.Observation) { o.Routes = nil }, 0, 1, 0, 0},
		"BIRD does not run here": {func(o *status.Observation) { o.BirdErr = birdc.ErrNotRunning }, 1, 0, 0, 0},
		"not its own address": {
			func(o *status.Observation) { o.Targets[0].Err = status.ErrNoAnswer }, 0, 1, 0, 0,
		},
		"a router without a tunnel": {
			func(o *status.Observation) { o.Targets[1].Err = status.ErrNoAnswer }, 0, 0, 0, 1,
		},
		"the kernel has another route": {
			func(o *status.Observation) {
				o.Routes[netip.MustParsePrefix("10.1.0.0/16")] = status.Route{Devices: []string{"eth0"}}
			}, 1, 0, 0, 0,
		},
		"its own address does not answer": {
			func(o *status.Observation) { o.Targets[2].Err = status.ErrNoAnswer }, 1, 0, 0, 0,
		},
	} {
		r, o := night()
		r.Prefixes = r.Prefixes[:1]
		r.Reach = append(r.Reach, // all routers, and itself with them
			status.Target{Name: "branch-1", Address: netip.MustParseAddr("10.9.2.4")},
			status.Target{Name: "office-1", Address: netip.MustParseAddr("10.9.1.4")})
		o.Targets = append(o.Targets, o.Targets[0], o.Targets[0])
		x.breakIt(&o)
		var got []string
		for line := range strings.Lines(string(status.Metrics("office-1", r, o, status.Judge(r, o)))) {
			if sample, ok := strings.CutPrefix(line, `wgmesh_problems{router="office-1"`); ok {
				got = append(got, strings.TrimSpace(sample))
			}
		}
		assert.Equal(t, []string{
			fmt.Sprintf(`} %d`, x.own), fmt.Sprintf(`,peer="azure-2"} %d`, x.azure),
			fmt.Sprintf(`,peer="branch-1"} %d`, x.branch), fmt.Sprintf(`,peer="gcp-1"} %d`, x.gcp),
		}, got, name)
	}
}

// gone has the only router of a site away, and with it the way to its network.
func gone(o *status.Observation) {
	o.Tunnels[0].Device.Peer.Handshake, o.Tunnels[0].Session.State, o.Routes = time.Time{}, "Active", nil
	o.Tunnels[0].Session.Since = o.At.Format(time.TimeOnly)
}

func TestMetrics(t *testing.T) {
	r, o := night()
	r.Tunnels[1].Peer = `a"b\c`
	o.Tunnels[1].Device.Peer, o.Tunnels[1].Session = nil, nil
	o.Tunnels[0].Session.Since = "02:59:20.5"
	o.Made = []status.Made{{What: status.Drain, At: now}}
	text := string(status.Metrics("office-1", r, o, status.Judge(r, o)))
	for _, line := range []string{
		`wgmesh_healthy{router="office-1"} 0`,
		`wgmesh_last_check_seconds{router="office-1"} 1795402800`,
		`wgmesh_problems{router="office-1"} 0`,
		`wgmesh_problems{router="office-1",peer="azure-2"} 0`,
		`wgmesh_problems{router="office-1",peer="a\"b\\c"} 1`,
		`wgmesh_tunnel_healthy{router="office-1",peer="azure-2",tunnel="wg20"} 1`,
		`wgmesh_tunnel_healthy{router="office-1",peer="a\"b\\c",tunnel="wg21"} 0`,
		`wgmesh_tunnel_last_handshake_seconds{router="office-1",peer="azure-2",tunnel="wg20"} 1795402788`,
		`wgmesh_tunnel_rtt_seconds{router="office-1",peer="azure-2",tunnel="wg20"} 0.002345`,
		`wgmesh_bgp_established{router="office-1",peer="a\"b\\c",tunnel="wg21"} 0`,
		`wgmesh_bgp_since_seconds{router="office-1",peer="azure-2",tunnel="wg20"} 1795402760.5`,
		`wgmesh_prefix_installed{router="office-1",network="10.1.0.0/16",site="azure"} 1`,
		`wgmesh_router_answers{router="office-1",peer="azure-2",address="10.1.2.4"} 1`,
	} {
		assert.Contains(t, text, "\n"+line+"\n")
	}
	o.Tunnels[0].Session.Since = "2026-11-21"
	assert.Contains(t, string(status.Metrics("office-1", r, o, status.Judge(r, o))),
		`wgmesh_bgp_since_seconds{router="office-1",peer="azure-2",tunnel="wg20"} 1795219200`)
	// One HELP and TYPE per family, before its samples, and none without one.
	seen := map[string]bool{}
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, _, _ = strings.Cut(name, " ")
			require.False(t, seen[name], name)
			seen[name] = true
		} else if !strings.HasPrefix(line, "#") {
			name, _, _ := strings.Cut(line, "{")
			require.True(t, seen[name], name)
		}
	}
	// The alerts and their test use no other names and labels.
	_, rules, _ := strings.Cut(string(must.Get(os.ReadFile("../../docs/at-night.md"))(t)), "```yaml\ngroups:")
	rules, _, _ = strings.Cut(rules, "```")
	rules += string(must.Get(os.ReadFile("../../test/alerts/alerts.yml"))(t))
	used := regexp.MustCompile(`(wgmesh_\w+)(?:\{(.*?)\})?`).FindAllStringSubmatch(rules, -1)
	require.Greater(t, len(used), 20)
	for _, metric := range used {
		require.True(t, seen[metric[1]], metric[1])
		for _, label := range regexp.MustCompile(`(\w+)!?=("\w*")`).FindAllStringSubmatch(metric[2], -1) {
			if label[1] != "what" { // whose values are ours
				label[2] = `"`
			}
			assert.Regexp(t, "(?m)^"+metric[1]+`\{.*\b`+label[1]+"="+label[2], text)
		}
	}
}

// Who calls from where is compared only where it tells something.
func TestMoved(t *testing.T) {
	const here, there = "203.0.113.9:51821", "203.0.113.50:51821"
	const here6, there6 = "[2001:db8::9]:51821", "[2001:db8::5]:51821"
	lost := fmt.Errorf("%w within 1s", status.ErrNoAnswer)
	const warning = "gcp-1 calls from %s, and nothing answers at its endpoint, %s: " +
		"correct that in the inventory, or a peer that reboots may not find it"
	for name, tt := range map[string]struct {
		planned, used string
		at            error
		silent, stale bool
		want          string
	}{
		"as planned":                {planned: here, used: here, at: lost},
		"another address":           {planned: here, used: there, at: lost, want: warning},
		"nothing there, says a hop": {planned: here, used: there, at: unix.EHOSTUNREACH, want: warning},
		"IPv6":                      {planned: here6, used: there6, at: lost, want: warning},
		"several uplinks":           {planned: here, used: there},
		"no ping is admitted":       {planned: here, used: there, at: lost, silent: true},
		"no way of this family":     {planned: here, used: there, at: unix.ENETUNREACH},
		"refused here":              {planned: here, used: there, at: unix.EPERM},
		"it calls us":               {used: there, at: lost},
		"address translation":       {planned: here, used: "203.0.113.50:1024", at: lost},
		"only the port":             {planned: here, used: "203.0.113.9:1024", at: lost},
		"the other family":          {planned: here, used: "[2001:db8::9]:51821", at: lost},
		"by a leased line":          {planned: here, used: "10.9.0.9:51821", at: lost},
		"not heard for long":        {planned: here, used: there, at: lost, stale: true},
	} {
		t.Run(name, func(t *testing.T) {
			r, o := night()
			s := &o.Tunnels[1]
			if tt.planned != "" {
				r.Tunnels[1].Endpoint = netip.MustParseAddrPort(tt.planned)
			}
			s.Device.Peer.Endpoint = netip.MustParseAddrPort(tt.used)
			s.PlannedErr, s.EndpointAnswers = tt.at, !tt.silent
			if tt.stale {
				s.Device.Peer.Handshake, s.BFD = now.Add(-time.Hour), nil
			}
			rep := status.Judge(r, o)
			assert.Equal(t, tt.stale, len(rep.Problems) > 0)
			var want []string
			if tt.want != "" {
				from, to := netip.MustParseAddrPort(tt.used), r.Tunnels[1].Endpoint
				want = append(want, fmt.Sprintf(tt.want, from.Addr(), to.Addr()))
			}
			var got []string
			for _, w := range rep.Warnings {
				if strings.Contains(w.Found, " calls from ") {
					got = append(got, w.String())
				}
			}
			assert.Equal(t, want, got)
		})
	}
}
