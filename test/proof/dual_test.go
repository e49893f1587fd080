//go:build lab

package proof_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestDualStack has two sites with IPv4 and IPv6 and one with IPv4 only: both
// families work between the sites that have them, also through a third. Before, a
// host is not as its plan needs it; afterwards, something hinders what is forwarded.
func TestDualStack(t *testing.T) {
	l := up(t, "dual", "test/proof/testdata/dual.yml")
	lookFirst(t, l)
	l.mesh(t)
	l.allPing(t)
	onTheWire(t, l)
	l.tool(t, "cut", "one", "two")
	l.waitFor(t, "one-1", "ip -6 route show 2001:db8:2::/48 | grep -q 'dev wg2 '")
	l.allPing(t)
	l.tool(t, "join", "one", "two")
	l.waitFor(t, "one-1", "ip -6 route show 2001:db8:2::/48 | grep -q 'dev wg1 '")
	assert.Empty(t, l.mesh(t).changed())
	truth(t, l)
}

// onTheWire asks for neighbours in the routers' own subnets. One of these is all of its
// site, and one router is its site's gateway itself.
func onTheWire(t *testing.T, l lab) {
	for _, ask := range []struct{ host, command string }{
		{"one-1", "ip route get 10.0.1.77"},
		{"one-1", "ip -6 route get 2001:db8:1:1::77"},
		{"one-1", "ip route get 10.0.9.77"},
		{"three-1", "ip route get 10.2.1.77"},
	} {
		got := l.in(t, ask.host, ask.command)
		assert.Contains(t, got, "dev eth0 ", ask.host)
		assert.NotContains(t, got, " via ", ask.host)
	}
	assert.Contains(t, l.in(t, "one-1", "ip route show default"), "metric 1024", "the lab gives a metric")
}
