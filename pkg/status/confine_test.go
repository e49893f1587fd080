package status_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/status"
)

// What a router calls its own address is asked only inside the networks of its
// site, so that it cannot have others ask somebody else.
func TestConfine(t *testing.T) {
	target := func(name, address string) status.Target {
		return status.Target{Name: name, Address: netip.MustParseAddr(address)}
	}
	r := status.Request{
		Tunnels: []plan.StatusTunnel{
			{Name: "wg1", Peer: "azure-1", Networks: []netip.Prefix{
				netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8:1::/48"),
			}},
			{Name: "wg2", Peer: "old-1"}, // by a plan that does not say it
		},
		Reach: []status.Target{
			target("azure-1", "10.1.0.4"), target("azure-1", "203.0.113.9"),
			target("azure-1", "10.2.0.4"), target("azure-1", "2001:db8:1::4"),
			target("azure-1", "2001:db8:2::4"), target("azure-1", "::ffff:203.0.113.9"), target("azure-1", "127.0.0.1"),
			target("old-1", "192.0.2.1"), target("office-1", "10.0.0.4"),
		},
	}
	assert.Equal(t, []status.Target{
		target("azure-1", "203.0.113.9"), target("azure-1", "10.2.0.4"),
		target("azure-1", "2001:db8:2::4"), target("azure-1", "::ffff:203.0.113.9"), target("azure-1", "127.0.0.1"),
	}, r.Confine())
	assert.Equal(t, []status.Target{
		target("azure-1", "10.1.0.4"), target("azure-1", "2001:db8:1::4"),
		target("old-1", "192.0.2.1"), target("office-1", "10.0.0.4"),
	}, r.Reach)
	assert.Empty(t, r.Confine())
}
