//go:build integration

package bird_test

import (
	"os"
	"strings"
	"testing"

	"github.com/wgmesh/router/internal/nettest"
	"github.com/wgmesh/router/pkg/plan"

	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/pkg/bird"
	"github.com/wgmesh/router/pkg/sysctl"
)

// TestAddressComesAfterSession: BIRD opens the socket of a BFD session once. Linux tells it
// of an address before one can bind to it (net/ipv4/devinet.c, __inet_insert_ifa), so on a
// busy router an address that came back left BFD dead behind a BGP session that was well.
// Here the address comes late for sure. The kernel parameters of a router make up for it.
func TestAddressComesAfterSession(t *testing.T) {
	a, b := newNamespace(t, "late-a"), newNamespace(t, "late-b")
	nettest.Cable(t, a.Namespace, "wg1", b.Namespace, "wg1")
	for key, value := range (sysctl.Profile{}).Settings() {
		a.Sh(t, "echo %s > /proc/sys/%s", value, string(key))
	}
	a.IP(t, "addr", "add", "172.31.1.4/29", "dev", "wg1") // the neighbor is there, the address not
	b.IP(t, "addr", "add", "172.31.1.3/29", "dev", "wg1")
	for n, own, other := a, "172.31.1.2", "172.31.1.3"; ; n, own, other = b, other, own {
		n.IP(t, "link", "set", "wg1", "up")
		var c bird.Config
		c.SetDefaults()
		c.RouterID, c.AS = address("0.0.0.1"), 65001
		peer := plan.Neighbor{
			Name: "p1", Interface: "wg1", Address: address("%s", other),
			LocalAddress: address("%s", own), AS: 65002,
		}
		if n == b {
			c.RouterID, c.AS, peer.AS = address("0.0.0.2"), 65002, 65001
		}
		c.Neighbors = []plan.Neighbor{peer}
		require.NoError(t, c.Validate())
		require.NoError(t, os.WriteFile(n.conf(), bird.Render(c, bird.Sources{}), 0o640))
		n.start(t)
		if n == b {
			break
		}
	}
	nettest.Eventually(t, "the BFD session is made", func() string {
		return lacks(a.birdc(t, "show bfd sessions"), "172.31.1.3")
	})
	a.IP(t, "addr", "add", "172.31.1.2/29", "dev", "wg1")
	nettest.Eventually(t, "BFD is up", func() string { return lacks(a.birdc(t, "show bfd sessions"), " Up ") })
}

func lacks(text, part string) string {
	if strings.Contains(text, part) {
		return ""
	}
	return "expected " + part + " in " + text
}
