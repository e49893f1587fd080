//go:build lab

package proof_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestOneAddress has two routers behind one public address, and two that nobody can
// call: those have no tunnel, and the office carries what they have for each other.
func TestOneAddress(t *testing.T) {
	l := up(t, "one-address", "test/proof/testdata/one-address.yml")
	before := []string{"-e", "mesh_link_pool=172.31.0.0/16", "-e", "mesh_settle=60"} // the default until 0.3.0
	_, out := l.green(t, "mesh", before...)
	plain := strings.Join(strings.Fields(out), " ")
	for _, warning := range []string{
		"site office: as 64512 is the default of AWS's gateways",
		"no tunnel between branch-1 and shop-1: neither has an endpoint",
	} {
		assert.Equal(t, 1, strings.Count(plain, warning), "%s:\n%s", warning, tail(out))
	}
	l.allPing(t)

	// Between the two the LAN, from outside the ports that are forwarded, and nothing
	// between the two that nobody can call.
	for router, want := range map[string]string{
		"office-1": "wg1 10.0.1.11:53801", "office-2": "wg1 10.0.1.10:51801",
		"branch-1": "wg2 198.51.100.7:51802\nwg3 198.51.100.7:52803",
		"shop-1":   "wg4 198.51.100.7:51804\nwg5 198.51.100.7:52805",
	} {
		have := l.in(t, router,
			`wg show all endpoints | grep -v 203.0.113 | awk '{ print $1, $3 }' | grep -E '^wg1 |198.51.100.7' | sort`)
		assert.Equal(t, want, have, router)
	}
	assert.Equal(t, "53801\n53803\n53805", l.in(t, "office-2", "wg show all listen-port | awk '{ print $2 }' | sort"))

	// One of the two that carry is lost, and the other one takes all of it.
	assert.Contains(t, l.in(t, "branch-1", "ip route show 10.2.0.0/16"), "dev wg")
	way := func(host, network string) string {
		return l.in(t, host, "ip route show "+network+" | grep -o 'dev wg[0-9]*'")
	}
	there, back := way("branch-1", "10.2.0.0/16"), way("shop-1", "10.1.0.0/16")
	l.in(t, "office-1", "systemctl stop bird")
	l.waitFor(t, "branch-1", "ip route show 10.2.0.0/16 | grep -q 'dev wg3 '")
	l.waitFor(t, "shop-1", "ip route show 10.1.0.0/16 | grep -q 'dev wg5 '")
	hosts := l.addresses(t)
	l.ping(t, "node-branch-a", hosts["node-shop-a"].Address)
	l.ping(t, "node-shop-a", hosts["node-branch-a"].Address)
	l.in(t, "office-1", "systemctl start bird")
	l.waitFor(t, "branch-1", "ip route show 10.2.0.0/16 | grep -q '"+there+" '")
	l.waitFor(t, "shop-1", "ip route show 10.1.0.0/16 | grep -q '"+back+" '")

	// A new default renumbers nobody.
	had := l.states(t)
	counts, out := l.red(t, "mesh")
	for _, r := range l.routers {
		assert.Equal(t, 1, counts[r]["failed"], "%s: %s", r, tail(out))
	}
	assert.Contains(t, flat(out), "mesh_link_pool is not set and its default is 198.18.0.0/16: set it to 172.31.0.0/16")
	l.unchanged(t, had)
	assert.Empty(t, l.mesh(t, before...).changed())
}
