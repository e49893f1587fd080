package status_test

import (
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/pkg/status"
)

var (
	now     = time.Unix(1_800_000_000, 0)
	address = netip.MustParseAddr("172.31.20.2")
	theirs  = netip.MustParsePrefix("10.2.0.0/16")
	ours    = netip.MustParsePrefix("10.1.0.0/16")
	target  = netip.MustParseAddr("10.2.1.10")
)

func request() status.Request {
	return status.Request{
		Tunnels:        []status.Tunnel{{Name: "wg20", Peer: "aws-2", Neighbor: "aws_2", Address: address, MTU: 1340, AS: 65030}},
		Prefixes:       []status.Prefix{{Network: theirs, Site: "aws"}},
		SourceNetworks: []netip.Prefix{ours},
		Reach:          []status.Target{{Name: "aws-2", Address: target}},
		BFD:            true,
		Socket:         "/run/bird/bird.ctl",
	}
}

// healthy is what a router sees when all is well.
func healthy() status.Observation {
	return status.Observation{
		At: now, Probed: true,
		Tunnels: []status.TunnelState{{
			Device: status.Device{Port: 51820, MTU: 1340, Peer: &status.Peer{
				Endpoint: netip.MustParseAddrPort("198.51.100.12:51820"), Handshake: now.Add(-time.Minute), Rx: 7, Tx: 8, PSK: true,
			}},
			Session: &status.Session{Name: "aws_2", Up: "up", State: "Established", NeighborAS: 65030, Imported: 7},
			BFD:     &status.BFDSession{Address: address, Interface: "wg20", State: "Up"},
			RTT:     2 * time.Millisecond, PathMTU: 1340,
		}},
		Routes:  map[netip.Prefix]status.Route{theirs: {Devices: []string{"wg20"}, Type: "unicast", Protocol: "bird"}},
		Targets: []status.TargetState{{From: netip.MustParseAddr("10.1.1.10"), RTT: time.Millisecond}},
	}
}

func TestCheckFindsNothingOnAHealthyRouter(t *testing.T) {
	assert.Empty(t, status.Check(request(), healthy()))
}

// Every way to be broken is one problem, and names what and where.
func TestCheckNamesTheCause(t *testing.T) {
	lost := errors.New("172.31.20.2 does not answer ping within 1s")
	tests := map[string]struct {
		change func(*status.Observation)
		words  []string
	}{
		"no interface":      {func(o *status.Observation) { o.Tunnels[0].DeviceErr = os.ErrNotExist }, []string{"wg20 to aws-2", "no such interface"}},
		"no peer":           {func(o *status.Observation) { o.Tunnels[0].Device.Peer = nil }, []string{"wg20 to aws-2", "--limit"}},
		"never a handshake": {func(o *status.Observation) { o.Tunnels[0].Device.Peer.Handshake = time.Time{} }, []string{"no handshake yet", "198.51.100.12:51820", "UDP port 51820"}},
		"an old handshake":  {func(o *status.Observation) { o.Tunnels[0].Device.Peer.Handshake = now.Add(-190 * time.Second) }, []string{"no handshake for 3m10s"}},
		"a filtered port": {func(o *status.Observation) {
			o.Tunnels[0].Device.Peer.Handshake = time.Time{}
			o.Tunnels[0].EndpointAnswers = true
		}, []string{"answers ping", "UDP port 51820", "keys"}},
		"no endpoint": {func(o *status.Observation) {
			o.Tunnels[0].Device.Peer.Handshake, o.Tunnels[0].Device.Peer.Endpoint = time.Time{}, netip.AddrPort{}
		}, []string{"no endpoint"}},
		"no ping":      {func(o *status.Observation) { o.Tunnels[0].PingErr = lost }, []string{"handshake is fresh", "172.31.20.2"}},
		"a small path": {func(o *status.Observation) { o.Tunnels[0].WholeErr, o.Tunnels[0].PathMTU = lost, 1280 }, []string{"1340 bytes", "1280", "mtu"}},
		"no protocol":  {func(o *status.Observation) { o.Tunnels[0].Session = nil }, []string{"no protocol aws_2"}},
		"BGP is down":  {func(o *status.Observation) { o.Tunnels[0].Session.State = "Active" }, []string{"aws_2 is Active", "expected Established"}},
		"another AS":   {func(o *status.Observation) { o.Tunnels[0].Session.NeighborAS = 65031 }, []string{"AS 65031", "expected AS 65030"}},
		"a limit":      {func(o *status.Observation) { o.Tunnels[0].Session.LimitHit = true }, []string{"import limit"}},
		"no BFD":       {func(o *status.Observation) { o.Tunnels[0].BFD = nil }, []string{"BFD session with 172.31.20.2 is missing"}},
		"BFD is down":  {func(o *status.Observation) { o.Tunnels[0].BFD.State = "Down" }, []string{"is Down"}},
		"BIRD is gone": {func(o *status.Observation) { o.BirdErr = os.ErrNotExist }, []string{"/run/bird/bird.ctl", "systemctl status bird"}},
		"no route":     {func(o *status.Observation) { o.Routes = nil }, []string{"10.2.0.0/16 of site aws", "not in the kernel's table"}},
		"the default way": {func(o *status.Observation) {
			o.Routes[theirs] = status.Route{Devices: []string{"eth0"}, Protocol: "dhcp"}
		}, []string{"leaves by eth0"}},
		"a dropping route": {func(o *status.Observation) { o.Routes[theirs] = status.Route{Type: "blackhole"} }, []string{"blackhole"}},
		"no site answers":  {func(o *status.Observation) { o.Targets[0].Err = lost }, []string{"aws-2 (10.2.1.10)", "10.1.1.10"}},
		"no own address":   {func(o *status.Observation) { o.Targets[0].From = netip.Addr{} }, []string{"no address in 10.1.0.0/16"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			o := healthy()
			tt.change(&o)
			problems := status.Check(request(), o)
			require.Len(t, problems, 1)
			for _, word := range tt.words {
				assert.Contains(t, problems[0].Text, word)
			}
			assert.NotContains(t, problems[0].Text, "\n")
			assert.True(t, problems[0].Required)
		})
	}
}

// A router that is not in this run is reported, and waited for by nobody.
func TestRequire(t *testing.T) {
	r, o := request(), healthy()
	o.Tunnels[0].Device.Peer.Handshake = time.Time{}
	for name, tt := range map[string]struct {
		require  []string
		required int
	}{
		"left out means all": {nil, 1},
		"by name":            {[]string{"aws-2"}, 1},
		"by protocol":        {[]string{"aws_2"}, 1},
		"somebody else":      {[]string{"gcp-1"}, 0},
		"nobody":             {[]string{}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r.Require = tt.require
			problems := status.Check(r, o)
			assert.Len(t, problems, 1)
			assert.Len(t, status.Required(problems), tt.required)
		})
	}
}

// A site without IPv6 neither has a way to another one's IPv6 addresses nor
// needs one.
func TestFamilyThatTheSiteDoesNotSpeak(t *testing.T) {
	r, o := request(), healthy()
	r.Reach[0].Address = netip.MustParseAddr("2001:db8::10")
	o.Targets[0] = status.TargetState{}
	assert.Empty(t, status.Check(r, o))
}

func TestTableFitsATerminal(t *testing.T) {
	o := healthy()
	o.Tunnels[0].Session.State = "OpenConfirm"
	r := request()
	r.Tunnels[0].Peer = "a-router-with-a-very-long-name.example.org"
	lines := status.Table(status.Views(r, o))
	require.Len(t, lines, 2)
	for _, line := range lines {
		assert.LessOrEqual(t, len([]rune(line)), 80)
	}
	for _, word := range []string{"wg20", "1m0s", "2.0ms", "1340", "OpenConfirm", "Up", "7"} {
		assert.Contains(t, lines[1], word)
	}
}

func TestMetrics(t *testing.T) {
	text := string(status.Metrics("azure-1", status.Views(request(), healthy()), true))
	for _, line := range []string{
		`wgmesh_healthy{router="azure-1"} 1`,
		`wgmesh_tunnel_handshake_age_seconds{router="azure-1",tunnel="wg20",peer="aws-2"} 60`,
		`wgmesh_bgp_up{router="azure-1",tunnel="wg20",peer="aws-2"} 1`,
	} {
		assert.Contains(t, strings.Split(text, "\n"), line)
	}
}

func TestParseProtocols(t *testing.T) {
	raw, err := os.ReadFile("testdata/bird-2.0.12-protocols.txt")
	require.NoError(t, err)
	sessions := status.ParseProtocols(string(raw))
	require.NotEmpty(t, sessions)
	for name, s := range sessions {
		assert.Equal(t, name, s.Name)
		assert.NotEmpty(t, s.State, name)
		assert.NotZero(t, s.NeighborAS, name)
	}
}

func FuzzParse(f *testing.F) {
	for _, file := range []string{"protocols", "bfd", "bfd-off", "limit"} {
		raw, err := os.ReadFile("testdata/bird-2.0.12-" + file + ".txt")
		require.NoError(f, err)
		f.Add(string(raw))
	}
	f.Fuzz(func(t *testing.T, text string) {
		for name, s := range status.ParseProtocols(text) {
			assert.Equal(t, name, s.Name)
			assert.GreaterOrEqual(t, s.Imported, 0)
		}
		for _, s := range status.ParseBFD(text) {
			assert.True(t, s.Address.IsValid())
		}
	})
}
