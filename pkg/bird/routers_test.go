package bird

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/plan"
)

// What Render writes about a neighbor is what is read again.
func TestRoutersAreReadBack(t *testing.T) {
	var c Config
	c.SetDefaults()
	c.RouterID, c.AS = netip.MustParseAddr("10.0.0.1"), 65001
	c.Owners = []plan.Owner{{AS: 65002, Site: "aws", Networks: must.Prefixes("10.2.0.0/16")}}
	c.Neighbors = []plan.Neighbor{
		{
			Name: "aws_1", Router: "aws-1", Interface: "wg5",
			Address: netip.MustParseAddr("172.31.0.11"), LocalAddress: netip.MustParseAddr("172.31.0.10"), AS: 65002,
		},
		{
			Name: "own_2", Interface: "wg6", Address: netip.MustParseAddr("172.31.0.13"),
			LocalAddress: netip.MustParseAddr("172.31.0.12"), AS: 65001,
		},
	}
	require.NoError(t, c.Validate())
	want := []Router{
		{Name: "aws-1", Protocol: "aws_1", Interface: "wg5", Address: netip.MustParseAddr("172.31.0.11"), BFD: true},
		{Name: "own_2", Protocol: "own_2", Interface: "wg6", Address: netip.MustParseAddr("172.31.0.13"), BFD: true},
	}
	assert.ElementsMatch(t, want, parseRouters(Render(c, Sources{})))
	for i := range 4500 { // of which the filter of a site has a line of more than 64 KiB
		network := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(16 + i>>8), byte(i), 0}), 24)
		c.Owners[0].Networks = append(c.Owners[0].Networks, network)
	}
	require.NoError(t, c.Validate())
	text := Render(c, Sources{})
	longest := slices.MaxFunc(strings.Split(string(text), "\n"), func(a, b string) int { return len(a) - len(b) })
	require.Greater(t, len(longest), 64<<10)
	assert.ElementsMatch(t, want, parseRouters(text))
}
