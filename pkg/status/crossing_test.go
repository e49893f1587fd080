package status

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/plan"
)

// A sight is what office-1 sees of azure's three routers and a host behind them, and of gcp-1, which is alone.
type sight struct {
	Request
	Observation
}

var (
	hostBehind = netip.MustParseAddr("10.1.3.20")
	addressOf  = map[string]netip.Addr{
		"azure-1": netip.MustParseAddr("10.1.1.4"), "azure-2": netip.MustParseAddr("10.1.2.4"),
		"azure-3": netip.MustParseAddr("10.1.3.4"), "gcp-1": netip.MustParseAddr("10.3.1.4"),
	}
	lanAddress = netip.MustParseAddr("10.0.1.4")
)

var networks = must.Prefixes

// seeing is the sight of these peers when all is well.
func seeing(peers ...string) *sight {
	s := &sight{}
	s.SourceNetworks = networks("10.0.0.0/16")
	s.Prefixes = []plan.StatusPrefix{
		{Network: netip.MustParsePrefix("10.1.0.0/16"), Site: "azure"},
		{Network: netip.MustParsePrefix("10.3.0.0/16"), Site: "gcp"},
	}
	s.Routes = map[netip.Prefix]Route{}
	for _, p := range s.Prefixes {
		s.Routes[p.Network] = Route{Devices: []string{"to-" + peers[0]}}
	}
	s.Request.Probe = []netip.Addr{netip.MustParseAddr("10.0.3.20")}
	s.Probed, s.Hosts = true, make([]TargetState, 1)
	for _, peer := range peers {
		t := plan.StatusTunnel{
			Name: "to-" + peer, Peer: peer, AS: 65020, MTU: 1340,
			Networks: networks("10.1.0.0/16"), Probe: []netip.Addr{hostBehind},
		}
		if peer == "gcp-1" {
			t.AS, t.Networks, t.Probe = 65040, networks("10.3.0.0/16"), nil
		}
		s.Request.Tunnels = append(s.Request.Tunnels, t)
		s.Reach = append(s.Reach, Target{peer, addressOf[peer]})
		s.Targets = append(s.Targets, TargetState{From: lanAddress})
		s.Observation.Tunnels = append(s.Observation.Tunnels, TunnelState{
			Device: Device{MTU: 1340, Peer: &Peer{}}, PathMTU: 1340,
		})
	}
	for i := range s.Observation.Tunnels {
		s.Observation.Tunnels[i].Device.Peer.Handshake = s.At.Add(1)
	}
	s.cross()
	return s
}

// cross tries anew what there is to try; all answer.
func (s *sight) cross() { s.Crossings = s.crossings([]netip.Addr{lanAddress}) }

// answers sets what comes of the pings through a peer to an address; without one: to all but its own.
func (s *sight) answers(through string, to netip.Addr, err error) {
	for _, c := range s.Crossings {
		if c.peer == through && (c.to == to || !to.IsValid() && !c.direct) {
			c.err = err
		}
	}
}

func (s *sight) judge() Report { return Judge(s.Request, s.Observation) }

var nowhere netip.Addr

func TestWhoForwardsNothing(t *testing.T) {
	two, three := []string{"azure-1", "azure-2"}, []string{"azure-1", "azure-2", "azure-3"}
	for name, tt := range map[string]struct {
		peers []string
		make  func(s *sight)
		want  []string // the lines
		whose string   // the peers of the problems
		alive []bool   // the tunnels
	}{
		"all do": {three, func(*sight) {}, nil, "", []bool{true, true, true}},
		"one of three does not": {
			three, func(s *sight) { s.answers("azure-1", nowhere, ErrNoAnswer) },
			[]string{"azure-1 forwards nothing to 10.1.3.20 of its site: " +
				"look at its gateway, its filters and its VM's source/destination check"},
			"azure-1",
			[]bool{false, true, true},
		},
		"one of three does not, and no host is named": {
			three, func(s *sight) {
				for i := range s.Request.Tunnels {
					s.Request.Tunnels[i].Probe = nil
				}
				s.cross()
				s.answers("azure-1", nowhere, ErrNoAnswer)
			},
			[]string{"azure-1 forwards nothing to 10.1.2.4 of its site: " +
				"look at its gateway, its filters and its VM's source/destination check"},
			"azure-1",
			[]bool{false, true, true},
		},
		"one of two does not, or the other one lies": {
			two, func(s *sight) { s.answers("azure-1", nowhere, ErrNoAnswer) },
			[]string{"no answer from 10.1.3.20 comes back through azure-1, but through azure-2: " +
				"look at both, first azure-1's gateway, filters, source/dest. check"},
			"azure-1",
			[]bool{true, true},
		},
		"a router leaves unanswered what another one forwards to it": {
			three, func(s *sight) { s.answers("azure-1", addressOf["azure-2"], ErrNoAnswer) },
			[]string{"no answer from 10.1.2.4 comes back through azure-1, but through azure-2, azure-3: " +
				"look at both, first azure-1's gateway, filters, source/dest. check"},
			"azure-1",
			[]bool{true, true, true},
		},
		"a router says that a host lives that is down": {
			three, func(s *sight) {
				s.answers("azure-1", hostBehind, ErrNoAnswer)
				s.answers("azure-3", hostBehind, ErrNoAnswer)
			},
			[]string{
				"no answer from 10.1.3.20 comes back through azure-1, but through azure-2: " +
					"look at both, first azure-1's gateway, filters, source/dest. check",
				"no answer from 10.1.3.20 comes back through azure-3, but through azure-2: " +
					"look at both, first azure-3's gateway, filters, source/dest. check",
			},
			"azure-1 azure-3",
			[]bool{true, true, true},
		},
		"a host is down": {
			two, func(s *sight) {
				s.answers("azure-1", hostBehind, ErrNoAnswer)
				s.answers("azure-2", hostBehind, ErrNoAnswer)
			},
			[]string{"no answer from 10.1.3.20 comes back through azure-1, azure-2: " +
				"see that it runs, and look at its way back and at source/destination checks"},
			"azure-1 azure-2",
			[]bool{true, true},
		},
		"the tunnel is down": {
			two, func(s *sight) {
				s.answers("azure-1", nowhere, unix.ENETDOWN)
				s.Observation.Tunnels[0].DeviceErr = errors.New("x")
			},
			[]string{"tunnel to-azure-1 to azure-1: to-azure-1 cannot be read as a WireGuard interface (x): " +
				"run as root, and look at what it is (ip -d link show to-azure-1)"},
			"azure-1",
			[]bool{false, true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := seeing(tt.peers...)
			tt.make(s)
			rep := s.judge()
			assert.Equal(t, tt.want, append([]string(nil), rep.Texts()...))
			assert.Empty(t, rep.Warnings)
			assert.Equal(t, tt.alive, rep.Tunnels)
			var whose []string
			for _, trouble := range rep.Troubles() {
				whose = append(whose, trouble.Peer)
				assert.Equal(t, strings.Contains(name, "tunnel"), !trouble.Alone)
				assert.LessOrEqual(t, len(trouble.Cause.String()), 160)
			}
			assert.Equal(t, tt.whose, strings.Join(whose, " "))
		})
	}
}

func TestPingsThatAreNotSent(t *testing.T) {
	cut := "allowed-ips lack what is behind azure-1: run the mesh play here, and look at what else sets them (wg show)"
	for name, tt := range map[string]struct {
		make     func(s *sight)
		problems []string
		warnings int
	}{
		"not root": {func(s *sight) {
			for _, c := range s.Crossings {
				c.err = unix.EPERM
			}
		}, nil, 1},
		"allowed-ips cut": {func(s *sight) { s.answers("azure-1", nowhere, unix.ENOKEY) }, []string{cut}, 0},
		"allowed-ips cut, and answers are lost by it": {func(s *sight) {
			s.answers("azure-1", nowhere, unix.ENOKEY)
			s.answers("azure-2", nowhere, ErrNoAnswer)
			s.Targets[0].Err, s.Targets[1].Err = unix.ENOKEY, ErrNoAnswer
		}, []string{cut}, 0},
		"allowed-ips cut, and wireguard-go is silent": {func(s *sight) {
			_, link, _ := net.ParseCIDR("172.31.20.0/31")
			s.Observation.Tunnels[0].Device.Peer.Allowed = []net.IPNet{*link}
			s.answers("azure-1", nowhere, ErrNoAnswer)
		}, []string{cut}, 0},
		"all allowed-ips cut": {func(s *sight) {
			s.answers("azure-1", nowhere, unix.ENOKEY)
			s.answers("azure-2", nowhere, unix.ENOKEY)
		}, []string{
			"allowed-ips lack what is behind azure-1, azure-2: " +
				"run the mesh play here, and look at what else sets them (wg show)",
		}, 0},
		"a filter of the device": {func(s *sight) {
			s.answers("azure-1", nowhere, unix.ENOBUFS)
			s.answers("azure-2", nowhere, unix.ENOBUFS)
		}, []string{
			"no ping can be sent for azure-1, azure-2 to forward (no buffer space available): " +
				"look at what filters its tunnels (tc, nft)",
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := seeing("azure-1", "azure-2")
			for i := range s.Observation.Tunnels {
				_, all, _ := net.ParseCIDR("0.0.0.0/0")
				s.Observation.Tunnels[i].Device.Peer.Allowed = []net.IPNet{*all}
			}
			tt.make(s)
			s.notAllowed(&s.Request)
			rep := s.judge()
			assert.Equal(t, tt.problems, append([]string(nil), rep.Texts()...))
			assert.Len(t, rep.Warnings, tt.warnings)
			assert.Equal(t, tt.problems == nil, rep.Tunnels[0])
			assert.True(t, rep.RequiredHealthy(), "no reason to take a change back")
			for _, p := range rep.Problems {
				assert.Empty(t, p.Peer, "it is this router's own")
			}
		})
	}
	for name, tt := range map[string]struct{ errs, want error }{
		"never sent":        {errors.Join(unix.ENOBUFS, unix.ENOBUFS, unix.ENETDOWN), unix.ENETDOWN},
		"not at first":      {errors.Join(unix.ENOBUFS, ErrNoAnswer), ErrNoAnswer},
		"not the last time": {errors.Join(ErrNoAnswer, unix.ENOBUFS), ErrNoAnswer},
	} {
		c := &crossing{}
		for _, err := range tt.errs.(interface{ Unwrap() []error }).Unwrap() {
			if errors.Is(err, ErrNoAnswer) { // it went out
				err = nil
			}
			c.thrown(err)
		}
		assert.Equal(t, tt.want, c.err, name)
	}
}

// A ping fits into the tunnel that it is sent into, and into that by which the answer comes.
func TestPingsFitIntoTunnels(t *testing.T) {
	s := seeing("azure-1", "azure-2", "gcp-1")
	s.Request.Tunnels[1].MTU, s.Request.Tunnels[2].MTU = 1220, 0
	s.Request.Tunnels[2].Probe = []netip.Addr{netip.MustParseAddr("10.3.1.20")}
	s.cross()
	for _, c := range s.Crossings {
		want := 1220
		if c.peer == "gcp-1" {
			want = 1300
		}
		assert.Len(t, packetOf(c.from, c.to, newEcho(probe{to: c.to, payload: c.payload})), want, c.peer)
	}
	six := netip.MustParseAddr("2001:db8:1::4")
	s.Request.Tunnels[0].MTU, s.Request.Tunnels[1].MTU = 1280, 1300
	s.SourceNetworks = append(s.SourceNetworks, netip.MustParsePrefix("2001:db8:1::/48"))
	s.Request.Tunnels[1].Probe = []netip.Addr{netip.MustParseAddr("2001:db8:2::20")}
	for _, c := range s.crossings([]netip.Addr{six}) {
		if c.err == nil {
			assert.Len(t, packetOf(c.from, c.to, newEcho(probe{to: c.to, payload: c.payload})), 1280)
		}
	}
}

// What is not tried is said, each cause once.
func TestUntried(t *testing.T) {
	const (
		sites = "no ping is tried for the routers of azure, gcp to forward: " +
			"name a host there in mesh_probe, or run it with all its routers"
		gcp = "no ping is tried for the routers of gcp to forward: " +
			"name a host there in mesh_probe, or run it with all its routers"
		home = "no own address in 10.9.0.0/16 to ask azure-1, azure-2, gcp-1 from: " +
			"correct this router's address, or its site's networks in the inventory"
	)
	for name, tt := range map[string]struct {
		make func(s *sight)
		want []string
	}{
		"those of a router that is alone and in the run, which says it itself": {func(*sight) {}, nil},
		"limited to this router, and hosts are named": {
			func(s *sight) { s.Reach = nil }, []string{gcp},
		},
		"limited to this router": {func(s *sight) {
			s.Reach, s.Request.Tunnels[0].Probe, s.Request.Tunnels[1].Probe = nil, nil, nil
		}, []string{sites}},
		"limited to this router and one of two": {func(s *sight) {
			s.Reach, s.Request.Tunnels[0].Probe, s.Request.Tunnels[1].Probe = s.Reach[:1], nil, nil
		}, []string{sites}},
		"a run of some, which waits for them": {func(s *sight) {
			s.Reach, s.Require = nil, []string{"azure-1"}
		}, nil},
		"a host of the other family": {func(s *sight) {
			s.Request.Tunnels[2].Probe = []netip.Addr{netip.MustParseAddr("2001:db8::1")}
		}, []string{gcp}},
		"no own address": {func(s *sight) { s.Reach, s.SourceNetworks = nil, networks("10.9.0.0/16") }, []string{home}},
		"no own address, and targets say so": {func(s *sight) {
			s.SourceNetworks = networks("10.9.0.0/16")
			for i := range s.Targets {
				s.Targets[i].From = netip.Addr{}
			}
		}, nil},
		"no own address of a family that nobody else has": {func(s *sight) {
			s.SourceNetworks = append(s.SourceNetworks, netip.MustParsePrefix("2001:db8::/48"))
		}, nil},
		"no own address of one of two families": {func(s *sight) {
			s.SourceNetworks = append(s.SourceNetworks, netip.MustParsePrefix("2001:db8::/48"))
			s.Request.Tunnels[2].Networks = networks("10.3.0.0/16", "2001:db8:3::/48")
		}, []string{"no own address in 2001:db8::/48 to ask gcp-1 from: " +
			"correct this router's address, or its site's networks in the inventory"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := seeing("azure-1", "azure-2", "gcp-1")
			tt.make(s)
			s.cross()
			s.Targets = s.Targets[:len(s.Reach)]
			var got []string
			for _, w := range s.judge().Warnings {
				got = append(got, w.String())
			}
			assert.Equal(t, tt.want, got)
		})
	}
}

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
	taken := must.Prefixes("10.1.2.100/32", "fd00::/64")
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

// A router that is asked late, since Ansible has fewer forks than routers, does not
// wait for what the others have waited for, unless it saw something come up since.
func TestSettlesCountsWhatWasWaited(t *testing.T) {
	now := time.Now()
	up := func(handshake time.Time, state, since string) Observation {
		return Observation{At: now, Tunnels: []TunnelState{{
			Device: Device{Peer: &Peer{Handshake: handshake}}, Session: &Session{State: state, Since: since},
		}}}
	}
	ago := func(d time.Duration) string { return now.Add(-d).Format("15:04:05.000") }
	for name, c := range map[string]struct {
		waited time.Duration
		seen   Observation
		want   bool
	}{
		"nobody waited":                   {0, up(now.Add(-time.Minute), "Active", ""), false},
		"the others waited long enough":   {8 * time.Second, up(now.Add(-time.Minute), "Active", ago(0)), true},
		"too short":                       {4 * time.Second, up(time.Time{}, "Active", ""), false},
		"a tunnel came up since":          {8 * time.Second, up(now.Add(-time.Second), "Active", ""), false},
		"a session came up since":         {8 * time.Second, up(time.Time{}, "Established", ago(time.Second)), false},
		"a session came up while looking": {8 * time.Second, up(time.Time{}, "Established", ago(-time.Second)), false},
		"the clock was set back since":    {8 * time.Second, up(now.Add(time.Hour), "Active", ""), false},
		"a session came up on a past day": {8 * time.Second, up(time.Time{}, "Established", "2026-01-02"), true},
		"a session came up before":        {8 * time.Second, up(time.Time{}, "Established", ago(time.Hour)), true},
	} {
		w := watch{settle: 6 * time.Second, since: now.Add(-c.waited)}
		assert.Equal(t, c.want, w.settles(&c.seen, Report{}), name)
		assert.False(t, w.moved.After(time.Now()), name)
	}
}

// BIRD is asked a moment after the look began, which may be on the day before.
func TestClock(t *testing.T) {
	for since, want := range map[string]string{
		"23:59:58.5": "2026-11-22 23:59:58.5", "23:59:59.9": "2026-11-22 23:59:59.9", "00:00:01": "2026-11-23 00:00:01",
		"04:30:00": "2026-11-22 04:30:00", "2026-11-20": "0001-01-01 00:00:00",
	} {
		o := Observation{At: time.Date(2026, 11, 22, 23, 59, 59, 0, time.UTC)}
		assert.Equal(t, want, o.clock(since).Format("2006-01-02 15:04:05.999"), since)
	}
	// A BIRD that was started before the time zone changed goes by the one before.
	tokyo := time.FixedZone("JST", 9*60*60)
	o := Observation{
		At:      time.Date(2026, 11, 23, 8, 0, 10, 0, tokyo),
		BirdNow: ParseNow("BIRD 2.0.12\nCurrent server time is 2026-11-22 23:00:10.250\nDaemon is up\n"),
	}
	for since, ago := range map[string]time.Duration{
		"22:59:58.250": 12 * time.Second, "23:00:10.250": 0,
		"00:30:00.250": 22*time.Hour + 30*time.Minute + 10*time.Second,
	} {
		assert.Equal(t, ago, o.At.Sub(o.clock(since)), since)
	}
	assert.True(t, ParseNow("Current server time is later\n").IsZero())
	o = Observation{At: time.Date(2026, 11, 23, 0, 30, 0, 0, time.UTC)}
	assert.Equal(t, "2026-11-22 23:00:00", o.clock("23:00:00").Format(time.DateTime))
}
