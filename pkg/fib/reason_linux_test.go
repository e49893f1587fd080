package fib

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/internal/must"
)

// tables are those of a host with the kernel's rule for main, and routes.
func tables(routes ...netlink.Route) Tables {
	for i := range routes {
		routes[i].Table = unix.RT_TABLE_MAIN
	}
	rule := netlink.NewRule()
	rule.Table, rule.Priority = unix.RT_TABLE_MAIN, 0
	out := Tables{
		rules: map[int][]netlink.Rule{unix.AF_INET: {*rule}}, routes: map[int][]netlink.Route{unix.AF_INET: routes},
		taken: map[place]*netlink.Route{}, bird: map[netip.Prefix]*netlink.Route{}, links: map[int]string{1: "eth0"},
	}
	out.index(routes)
	return out
}

func to(t testing.TB, network string, priority int) netlink.Route {
	_, n, err := net.ParseCIDR(network)
	must.Get(n, err)(t)
	return netlink.Route{Dst: n, Priority: priority, Type: unix.RTN_UNICAST, LinkIndex: 1}
}

// The longest network counts, then the lowest metric, then which was first. A dead one does not count, and a
// thrown packet goes on to the next rule.
func TestWhichRoute(t *testing.T) {
	dead, thrown := to(t, "10.1.2.0/25", 0), to(t, "10.9.0.0/16", 0)
	dead.Flags, thrown.Type = unix.RTNH_F_DEAD, unix.RTN_THROW
	bird, late := to(t, "10.1.2.0/24", 32), to(t, "10.1.2.0/24", 7)
	bird.Protocol, late.Protocol = unix.RTPROT_BIRD, unix.RTPROT_STATIC
	f := tables(to(t, "0.0.0.0/0", 9), to(t, "10.1.0.0/16", 1), bird, to(t, "10.1.2.0/24", 7), late, dead, thrown)
	for dst, want := range map[string]string{
		"10.1.2.3": "10.1.2.0/24 7 0", "10.1.3.3": "10.1.0.0/16 1 0", "10.2.0.1": "0.0.0.0/0 9 0", "10.9.0.1": "",
	} {
		got := ""
		if r := f.Reason(Flow{Dst: netip.MustParseAddr(dst)}); r.Found {
			got = fmt.Sprint(r.Route.Dst, r.Route.Priority, int(r.Route.Protocol))
		}
		assert.Equal(t, want, got, dst)
	}
	assert.Equal(t, "eth0", f.Bird(netip.MustParsePrefix("10.1.2.0/24")))
	assert.Empty(t, f.Bird(netip.MustParsePrefix("10.1.0.0/16")))
	f.rules[unix.AF_INET][0].SuppressPrefixlen = 16
	assert.False(t, f.Reason(Flow{Dst: netip.MustParseAddr("10.1.3.3")}).Found)
	assert.True(t, f.Reason(Flow{Dst: netip.MustParseAddr("10.1.2.3")}).Found)
}

// What a question costs does not grow with the routes.
func TestManyRoutes(t *testing.T) {
	var routes []netlink.Route
	for i := range 1000 {
		r := to(t, fmt.Sprintf("10.%d.%d.0/24", i/250, i%250), 32)
		r.Protocol = unix.RTPROT_BIRD
		routes = append(routes, r)
	}
	f := tables(routes...)
	last := netip.MustParsePrefix("10.3.249.0/24")
	assert.LessOrEqual(t, testing.AllocsPerRun(1, func() {
		f.Bird(last)
		f.Reason(Flow{Dst: last.Addr().Next()})
	}), 10.0)
}

// A rule for a class of packets by the names that newer kernels have for one, which the library does not read, is
// none for all packets.
func TestRulesOfNewerKernels(t *testing.T) {
	for name, tt := range map[string]struct {
		attribute *nl.RtAttr
		all       bool
		text      string
	}{
		"none":           {nl.NewRtAttr(nl.FRA_PRIORITY, nl.Uint32Attr(500)), true, "rule 0 (from all lookup main)"},
		"dscp EF":        {nl.NewRtAttr(fraDSCP, []byte{46}), false, "rule 0 (from all tos 0xb8 lookup main)"},
		"dscp of most":   {nl.NewRtAttr(fraDSCP, []byte{0}), true, "rule 0 (from all lookup main)"},
		"flow label":     {nl.NewRtAttr(fraFlowLabel, []byte{0, 0, 0, 9}), false, "rule 0 (from all lookup main)"},
		"flow label, 0":  {nl.NewRtAttr(fraFlowLabel, []byte{0, 0, 0, 0}), true, "rule 0 (from all lookup main)"},
		"value is short": {nl.NewRtAttr(fraDSCP, nil), true, "rule 0 (from all lookup main)"},
	} {
		f := tables(to(t, "10.1.0.0/16", 0))
		head := nl.RtMsg{}
		head.Type = unix.FR_ACT_TO_TBL
		complete(&f.rules[unix.AF_INET][0], append(head.Serialize(), tt.attribute.Serialize()...))
		rule := f.rules[unix.AF_INET][0]
		assert.Equal(t, tt.all, f.Reason(Flow{Dst: netip.MustParseAddr("10.1.3.3")}).Found, name)
		assert.Equal(t, tt.text, Reason{Rule: rule}.RuleText(), name)
		assert.EqualValues(t, unix.FR_ACT_TO_TBL, rule.Type)
	}
}
