//go:build lab

package proof_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestDualStack has two sites with IPv4 and IPv6 and one with IPv4 only: both
// families work between the sites that have them, also through a third. Before, a
// host is not as its plan needs it.
func TestDualStack(t *testing.T) {
	l := up(t, "dual", "molecule/proof/testdata/dual.yml")
	lookFirst(t, l)
	l.mesh(t)
	l.allPing(t)
	l.tool(t, "cut", "one", "two")
	l.waitFor(t, "one-1", "ip -6 route show 2001:db8:2::/48 | grep -q 'dev wg2 '")
	l.allPing(t)
	l.tool(t, "join", "one", "two")
	l.waitFor(t, "one-1", "ip -6 route show 2001:db8:2::/48 | grep -q 'dev wg1 '")
	assert.Empty(t, l.mesh(t).changed())
}
