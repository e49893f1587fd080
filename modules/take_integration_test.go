//go:build integration

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
	"github.com/wgmesh/router/pkg/birdc"
)

// A BIRD by hand whose neighbours already speak to the mesh loses its ways, and says so to
// the kernel. What is forwarded goes on by the copies until the mesh's BIRD has a way.
func TestTakeOverKeepsTheWay(t *testing.T) {
	nettest.Need(t, "bird", "ip")
	h := newHandmade(t)
	require.NoError(t, os.Remove(filepath.Join(filepath.Dir(h.log), "ip")), "that of the host from here on")
	t.Setenv("WGMESH_REST", "1")
	router, far := nettest.New(t, "hand"), nettest.New(t, "far")
	nettest.Cable(t, router, "wg-a", far, "wg-a")
	for i, n := range []nettest.Namespace{router, far} {
		n.IP(t, "addr", "add", []string{"172.31.1.1/24", "172.31.1.2/24"}[i], "dev", "wg-a")
		n.IP(t, "link", "set", "wg-a", "up")
	}
	dir := t.TempDir()
	conf, socket := filepath.Join(dir, "bird.conf"), filepath.Join(dir, "bird.ctl")
	bird := func(kernel, route string) {
		t.Helper()
		must.Write(t, conf,
			"router id 172.31.1.1;\nprotocol device { scan time 1; }\n"+
				"protocol kernel { scan time 1; "+kernel+" ipv4 { import none; export all; }; }\n"+
				"protocol static { ipv4; route 10.1.0.0/16 "+route+"; }\n", 0o644)
	}
	is := func(text string) {
		t.Helper()
		nettest.Eventually(t, text, func() string {
			if now := router.Sh(t, "ip route show"); !strings.Contains(now, text) {
				return now
			}
			return ""
		})
		assert.Contains(t, router.Sh(t, "ip route get 10.1.2.3"), "dev wg-a")
	}
	configure := func() {
		t.Helper()
		must.Get(birdc.Do(t.Context(), socket, "configure"))(t)
	}
	script := func(words string) string {
		t.Helper()
		return router.Sh(t, "sh %s %s", byHandFiles+"take.sh", words)
	}
	bird("", "via 172.31.1.2")
	router.Bird(t, conf, socket)
	is("10.1.0.0/16 via 172.31.1.2 dev wg-a proto bird metric 32")
	script("take False routers wg-a:3")
	timer := filepath.Join(filepath.Dir(h.log), "later")
	later := must.Get(os.ReadFile(timer))(t)
	bird("", "unreachable")
	configure()
	is("unreachable 10.1.0.0/16 proto bird metric 32")
	bird("metric 4294967294;", "unreachable")
	configure()
	is("unreachable 10.1.0.0/16 proto bird metric 4294967294")
	assert.Contains(t, script("free False"), "left: 10.1.0.0/16 by wg-a")
	// Half an hour later, and every five minutes from then on.
	router.Sh(t, "ip route add blackhole 10.1.0.0/16 metric 100") // no way either
	router.Sh(t, "%s", later)
	assert.Contains(t, router.Sh(t, "ip route show"), "10.1.0.0/16 via 172.31.1.2 dev wg-a proto 159",
		"it is the only way")
	router.Sh(t, "ip route del blackhole 10.1.0.0/16 metric 100")
	bird("metric 4294967294;", "via 172.31.1.2")
	configure()
	is("10.1.0.0/16 via 172.31.1.2 dev wg-a proto bird metric 4294967294")
	assert.Equal(t, "freed: 10.1.0.0/16\n", script("free False"))
	assert.NotContains(t, router.Sh(t, "ip route show"), "159")
	is("10.1.0.0/16 via 172.31.1.2 dev wg-a proto bird metric 4294967294")

	// And where nobody has freed anything.
	assert.NoFileExists(t, timer)
	router.Sh(t, "ip route add 10.1.0.0/16 via 172.31.1.2 proto 159 metric 31")
	router.Sh(t, "ip route add 10.2.0.0/16 via 172.31.1.2 proto 159 metric 50000")
	router.Sh(t, "%s", later)
	assert.Equal(t, "10.2.0.0/16 via 172.31.1.2 dev wg-a metric 50000",
		strings.TrimSpace(router.Sh(t, "ip route show proto 159")), "it is in nobody's way")
}

// An adoption that was cut off, and then reset: the copies go, and what they stood for stays.
func TestResetTakesCopiesOfRoutes(t *testing.T) {
	nettest.Need(t, "ip")
	r := newResettable(t, map[string]string{"/etc/passwd": "root:x:0:0:root:/root:/bin/sh\n"})
	bin := filepath.Dir(r.log)
	require.NoError(t, os.Remove(filepath.Join(bin, "ip")), "that of the host from here on")
	router, far := nettest.New(t, "reset"), nettest.New(t, "far")
	nettest.Cable(t, router, "wg-a", far, "wg-a")
	router.IP(t, "addr", "add", "172.31.1.1/24", "dev", "wg-a")
	router.IP(t, "link", "set", "wg-a", "up")
	far.IP(t, "link", "set", "wg-a", "up")
	router.Sh(t, `set -e
		ip route add 10.1.0.0/16 via 172.31.1.2 proto bird metric 32
		ip route add 10.1.0.0/16 via 172.31.1.2 proto 159 metric 31
		ip route add 10.2.0.0/16 via 172.31.1.2 proto 159 metric 50000
		ip route add 10.3.0.0/16 proto 159 metric 31 nexthop via 172.31.1.2 nexthop via 172.31.1.3
		ip -6 route add 2001:db8::/64 dev wg-a proto 159 metric 50000`)
	for range 2 {
		router.Sh(t, "sh %s False absent '' %s", roleFiles+"reset.sh", r.root)
		assert.Empty(t, router.Sh(t, "ip route show proto 159; ip -6 route show proto 159"))
		routes := router.Sh(t, "ip -o route show; ip -6 route show dev wg-a")
		assert.Contains(t, routes, "10.1.0.0/16 via 172.31.1.2 dev wg-a proto bird metric 32")
		assert.Contains(t, routes, "10.2.0.0/16 via 172.31.1.2 dev wg-a \n", "it was made by hand")
		assert.NotContains(t, routes, "10.3.0.0/16")
		assert.Contains(t, routes, "2001:db8::/64 metric 1024")
	}
}
