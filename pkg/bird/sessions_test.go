package bird_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/pkg/bird"
)

func TestDisrupts(t *testing.T) {
	both := []string{"azure_1", "gcp_2"}
	tests := map[string]struct {
		change func(*bird.Config)
		want   []string
	}{
		"nothing":      {change: func(*bird.Config) {}},
		"drain":        {change: func(c *bird.Config) { c.Drain = drain }},
		"owner":        {change: func(c *bird.Config) { c.Owners = c.Owners[:1] }},
		"import limit": {change: func(c *bird.Config) { c.Neighbors[0].ImportLimit = 77 }},
		"bfd interval": {change: func(c *bird.Config) { c.BFD.Interval = 333 }},
		"new session": {change: func(c *bird.Config) {
			n := c.Neighbors[0]
			n.Name = "azure_9"
			c.Neighbors = append(c.Neighbors, n)
		}},
		"gone session": {change: func(c *bird.Config) { c.Neighbors = c.Neighbors[:1] }},
		"hold time":    {change: func(c *bird.Config) { c.HoldTime = 9 }, want: both},
		"router id":    {change: func(c *bird.Config) { c.RouterID = netip.MustParseAddr("0.0.0.9") }, want: both},
		"address": {change: func(c *bird.Config) {
			c.Neighbors[0].Address = netip.MustParseAddr("172.31.18.9")
		}, want: []string{"azure_1"}},
		"interface": {change: func(c *bird.Config) { c.Neighbors[1].Interface = "wg99" }, want: []string{"gcp_2"}},
		"ipv6 goes": {change: func(c *bird.Config) {
			c.Neighbors[0].Address6 = netip.Addr{}
		}, want: []string{"azure_1"}},
		"ipv6 next hop": {change: func(c *bird.Config) {
			c.Neighbors[0].LocalAddress6 = netip.MustParseAddr("fd53::99")
		}, want: []string{"azure_1"}},
		"becomes iBGP":   {change: func(c *bird.Config) { c.Neighbors[0].AS = c.AS }, want: []string{"azure_1"}},
		"own AS changes": {change: func(c *bird.Config) { c.AS = 65099 }, want: both},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, have := load(t, "testdata/dual")
			tt.change(&c)
			src := bird.Sources{IPv4: netip.MustParseAddr("10.3.0.2"), IPv6: netip.MustParseAddr("fd00:3::2")}
			want := bird.Render(c, src)
			assert.Equal(t, tt.want, bird.Disrupts(have, want))
		})
	}
	_, text := load(t, "testdata/dual")
	assert.Empty(t, bird.Disrupts([]byte("protocol bgp x { }\n"), text), "a foreign file has no session we know")
}

func TestDisruptsAfterALongLine(t *testing.T) {
	text := func(as string) []byte {
		return []byte("define SITE = [" + strings.Repeat(" 10.0.0.0/24,", 6000) + " ];\n" +
			"protocol bgp a from other_site {\n  neighbor as " + as + ";\n}\n")
	}
	assert.Equal(t, []string{"a"}, bird.Disrupts(text("65001"), text("65002")))
}
