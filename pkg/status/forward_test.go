//go:build linux

package status

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/pkg/birdc"
	"github.com/wgmesh/router/pkg/fib"
	"github.com/wgmesh/router/pkg/plan"
)

// The other router of the site stands in for one whose interface into the site is gone, so
// everything is reached, until that one goes.
func TestNoWayOfItsOwn(t *testing.T) {
	var bird fib.Reason
	bird.Found, bird.Route = true, netlink.Route{Protocol: unix.RTPROT_BIRD}
	bird.Rule.Table = unix.RT_TABLE_MAIN
	x := flow{way: inward, exact: true, network: netip.MustParsePrefix("10.1.0.0/16"), reason: bird, ours: "wg6"}
	x.answer.Device = "wg6"
	f, r := &Forwarding{}, &Request{Tunnels: []plan.StatusTunnel{{Name: "wg6", Peer: "azure-2"}}}
	p, found := f.checkFlow(r, &x, &Observation{})
	assert.True(t, found)
	assert.Equal(t, "it has no way of its own into 10.1.0.0/16, wg6 carries it", p.Cause.Found)

	x.answer.Device, x.ours = "eth0", "eth0"
	_, found = f.checkFlow(r, &x, &Observation{})
	assert.False(t, found)
}

// The outside address of a peer may be in its site's network. Its route leads outside by design, also before the
// tunnel has a peer, and after that one has moved. A network of one address that the site has is another matter, and
// so is what the router forwards there.
func TestRouteToAnEndpoint(t *testing.T) {
	x := flow{way: own, site: "azure", network: netip.MustParsePrefix("2001:db8:2:10::4/128")}
	x.reason.Found, x.reason.Rule.Table = true, plan.OutsideTable
	x.reason.Route = netlink.Route{Protocol: unix.RTPROT_BIRD, Type: unix.RTN_UNICAST}
	f, r := &Forwarding{}, &Request{Tunnels: []plan.StatusTunnel{{Name: "wg6", Peer: "azure-2"}}}
	_, found := f.checkFlow(r, &x, &Observation{Tunnels: []TunnelState{{}}})
	assert.False(t, found)

	x.way, x.reason.Rule.Table = outward, unix.RT_TABLE_MAIN // as releases before had it
	p, found := f.checkFlow(r, &x, &Observation{})
	assert.True(t, found)
	assert.Contains(t, p.Cause.Found, " takes 2001:db8:2:10::4/128 of azure away, expected a tunnel")
	x.way = own

	x.exact = true
	_, found = f.checkFlow(r, &x, &Observation{})
	assert.True(t, found)
	x.exact, x.reason.Route.Protocol = false, unix.RTPROT_STATIC
	_, found = f.checkFlow(r, &x, &Observation{})
	assert.True(t, found)
}

// The kernel has no answer for what comes by an interface that is not there, which has its own cause.
func TestPacketsByNoInterface(t *testing.T) {
	x := flow{
		Flow: fib.Flow{In: "no-such-device", Dst: netip.MustParseAddr("127.0.0.1")},
		way:  inward, network: netip.MustParsePrefix("10.1.0.0/16"),
	}
	x.reason.Found, x.reason.Route = true, netlink.Route{Type: unix.RTN_UNICAST}
	x.answer = fib.Tables{}.Ask(x.Flow)
	require.Error(t, x.answer.Err)
	_, found := (&Forwarding{}).checkFlow(&Request{}, &x, &Observation{})
	assert.False(t, found)
}

// A rule of the image meets the networks of all sites, on every router: it is one cause.
func TestRuleOfAnImage(t *testing.T) {
	const rule = "rule 99 (from all lookup 200)"
	for name, tt := range map[string]struct {
		way         int
		err         error
		rule        uint8
		cause, here string
	}{
		"outward": {
			outward, nil, 0, rule + " sends what is for other sites out of eth1",
			rule + " sends 10.1.0.0/16 of azure out of eth1",
		},
		"its own": {
			own, nil, 0, rule + " sends its own packets for other sites out of eth1",
			rule + " sends its own packets for 10.1.0.0/16 of azure out of eth1",
		},
		"a table that drops": {
			outward, unix.EHOSTUNREACH, 0, rule + " drops what is for other sites (route unreachable default)",
			rule + " drops 10.1.0.0/16 of azure (route unreachable default)",
		},
		"a rule that drops": {
			inward, unix.EACCES, unix.FR_ACT_PROHIBIT, "rule 99 (from all prohibit) drops what is for its site",
			"rule 99 (from all prohibit) drops 10.1.0.0/16 of azure",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var f Forwarding
			for _, to := range []string{"10.1.0.0/16", "10.2.0.0/16"} {
				x := flow{way: tt.way, site: "azure", network: netip.MustParsePrefix(to)}
				x.reason.Found, x.reason.Rule.Priority, x.reason.Rule.Table = true, 99, 200
				x.reason.Rule.Type = tt.rule
				x.reason.Route.Type = unix.RTN_UNICAST
				x.answer.Device, x.answer.Err = "eth1", tt.err
				if tt.err != nil {
					x.reason.Route.Type = unix.RTN_UNREACHABLE
				}
				f.flows = append(f.flows, x)
			}
			found := checkForwarding(&Request{}, &Observation{Forwarding: f})
			require.Len(t, found, 1)
			assert.Equal(t, []string{tt.cause, tt.here}, []string{found[0].Cause.Found, found[0].Here.Found})
		})
	}
}

// A full table of connections is one cause, whatever pings do not get out of this router. That a ping is
// refused here says nothing of ICMP at the other end.
func TestTableOfConnectionsIsFull(t *testing.T) {
	s := seeing("azure-1", "azure-2")
	refused := func(of []TargetState) {
		for i := range of {
			of[i].Err = unix.EPERM
		}
	}
	refused(s.Targets)
	refused(s.Hosts)
	s.Request.Tunnels, s.Observation.Tunnels = s.Request.Tunnels[:1], s.Observation.Tunnels[:1]
	s.Reach, s.Crossings = s.Reach[:1], nil
	tunnel := &s.Observation.Tunnels[0]
	tunnel.PingErr, tunnel.WholeErr = unix.EPERM, unix.EPERM
	tunnel.Session, tunnel.BFD = &Session{State: "Established"}, &birdc.BFDSession{State: "Up"}
	s.Forwarding.sysctls = map[string]string{conntrackCount: "262144", conntrackMax: "262144"}
	full := "its table of connections is full (262144 of 262144), so it drops what is new"
	assert.Equal(t, []string{full + ": raise net.netfilter.nf_conntrack_max, or see who fills it (conntrack -L)"},
		s.judge().Texts())
	assert.Equal(t, []string{full}, s.judge().Sick())
	assert.True(t, s.judge().RequiredHealthy(), "nothing is taken back for it")

	s.Forwarding.sysctls[conntrackCount] = "262143"
	p := s.judge().Problems[1]
	assert.Equal(t, "tunnel to-azure-1 to azure-1: a ping is refused here (operation not permitted): "+
		"look at what filters its output (nft list ruleset)", p.Text())
	assert.True(t, p.Silent, "the sessions prove that packets get through")
	s.Forwarding.sysctls["net.ipv4.neigh"], s.Forwarding.sysctls["net.ipv4.neigh.default.gc_thresh3"] = "1023", "1024"
	assert.Equal(t, []string{"its table of neighbours is full (1023 of 1024), so it sends nothing to new ones"},
		s.judge().Sick())
	s.Forwarding.sysctls["net.ipv4.neigh"] = "900"
	s.Forwarding.sysctls[conntrackMax] = "0" // no limit
	assert.Empty(t, s.judge().Sick())
}

// A setting that cannot be read is not one that is as it should be.
func TestUnreadSysctl(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "proc/sys/net/ipv4/ip_forward")
	found, err := readSysctls(root, nil)
	require.NoError(t, err, "none is there")
	assert.Empty(t, found["net.ipv4.ip_forward"])
	require.NoError(t, os.MkdirAll(path, 0o755))
	_, err = readSysctls(root, nil)
	require.ErrorContains(t, err, "ip_forward: is a directory")
}

// Of what the kernel counts by processor the first line has the entries.
func TestNeighbours(t *testing.T) {
	const head = "entries  allocs   destroys table_fulls\n"
	for text, want := range map[string]string{
		head + "000003ff 0000514a 0000591c 00000002\n000003ff 00000001 00000001 00000000\n": "1023",
		head + "000003ff 0000514a 0000591c 00000000\n000003ff 00000001 00000001 00000001\n": "1023",
		head + "000003ff 0000514a 0000591c 00000000\n":                                      "", // none was refused
		head: "", "": "", "a\nb\n": "",
	} {
		assert.Equal(t, want, parseNeighbours(text), text)
	}
}
