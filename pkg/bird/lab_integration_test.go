//go:build integration

package bird_test

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
	"github.com/wgmesh/router/pkg/bird"
	"github.com/wgmesh/router/pkg/birdc"
	"github.com/wgmesh/router/pkg/plan"
)

// A namespace is a network namespace with a folder for its BIRD.
type namespace struct {
	nettest.Namespace
	dir string
}

func newNamespace(t *testing.T, label string) namespace {
	t.Helper()
	ns := namespace{nettest.New(t, label), t.TempDir()}
	ns.Sh(t,
		"cd /proc/sys/net; echo 1 > ipv6/conf/default/keep_addr_on_down; echo 1 > ipv4/ip_forward; "+
			"echo 1 > ipv6/conf/all/forwarding")
	return ns
}

func (n namespace) conf() string   { return filepath.Join(n.dir, "bird.conf") }
func (n namespace) socket() string { return filepath.Join(n.dir, "bird.ctl") }

func (n namespace) start(t *testing.T) *exec.Cmd {
	t.Helper()
	return n.Bird(t, n.conf(), n.socket())
}

func (n namespace) birdc(t *testing.T, command string) string {
	t.Helper()
	reply := must.Get(birdc.Do(t.Context(), n.socket(), command))(t)
	return reply.Text()
}

// A lab is a mesh of routers with a veth pair in place of each tunnel.
type lab struct {
	routers []*router
	byName  map[string]*router
}

// A router is a BIRD in a namespace of its own. Site s has AS 65000+s and
// 10.s.0.0/16, fd00:s::/48, and for each of its zones z 10.s.z.0/24.
type router struct {
	namespace
	label      string
	id         int
	site, zone int
	config     bird.Config
}

func (r *router) as() plan.AS { return plan.AS(65000 + r.site) }

func zonesOf(site int) []int {
	if site <= 2 {
		return []int{1, 2}
	}
	return []int{1}
}

func prefix(format string, args ...any) netip.Prefix {
	return netip.MustParsePrefix(fmt.Sprintf(format, args...))
}

func address(format string, args ...any) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf(format, args...))
}

// slowBFD is for a machine that stands still now and then: no session falls by that.
var slowBFD = plan.BFD{Interval: 500, Multiplier: 10}

// quickBFD has a lab notice by BFD soon.
func (l *lab) quickBFD() {
	for _, r := range l.routers {
		r.config.BFD = plan.BFD{Interval: 100, Multiplier: 5}
	}
}

// newLab makes the namespaces and links; start writes the configurations and
// runs the daemons, so that a test can make one of them hostile in between.
func newLab(t *testing.T, routers ...*router) *lab {
	t.Helper()
	l := &lab{routers: routers, byName: map[string]*router{}}
	for i, r := range routers {
		r.id = i + 1
		r.namespace = newNamespace(t, r.label)
		l.byName[r.label] = r
		r.IP(t, "link", "add", "site0", "type", "bridge")
		r.IP(t, "link", "set", "site0", "up")
		// A bridge without a port is dark.
		r.IP(t, "link", "add", "lan0", "master", "site0", "type", "veth", "peer", "name", "lan1")
		r.IP(t, "link", "set", "lan1", "addrgenmode", "none")
		r.IP(t, "link", "set", "lan1", "up")
		r.IP(t, "link", "set", "lan0", "up")
		r.IP(t, "addr", "add", fmt.Sprintf("10.%d.%d.%d/24", r.site, r.zone, r.id+10), "dev", "site0")
		r.IP(t, "addr", "add", fmt.Sprintf("fd00:%d::%d:%d/64", r.site, r.zone, r.id+10), "dev", "site0", "nodad")
		r.config = l.policy(r)
	}
	for j := range routers {
		for i := range j {
			l.join(t, routers[i], routers[j])
		}
	}
	return l
}

func (l *lab) policy(r *router) bird.Config {
	var c bird.Config
	c.SetDefaults()
	c.BFD = slowBFD
	c.RouterID, c.AS, c.Transit = address("0.0.0.%d", r.id), r.as(), true
	site, site6 := prefix("10.%d.0.0/16", r.site), prefix("fd00:%d::/48", r.site)
	c.Networks = []netip.Prefix{site, site6}
	via := address("10.%d.%d.1", r.site, r.zone)
	c.Static = []plan.Static{{Network: site, Via: via}, {Network: site6, Via: address("fd00:%d::1", r.site)}}
	c.Originate = []plan.Originate{{Network: site, MED: 50}, {Network: site6, MED: 50}}
	for _, z := range zonesOf(r.site) {
		zone := prefix("10.%d.%d.0/24", r.site, z)
		c.Static = append(c.Static, plan.Static{Network: zone, Via: via})
		med := 0
		if z != r.zone {
			med = 100
		}
		c.Originate = append(c.Originate, plan.Originate{Network: zone, MED: med})
	}
	for s := 1; s <= 4; s++ {
		o := plan.Owner{
			AS:       plan.AS(65000 + s),
			Networks: []netip.Prefix{prefix("10.%d.0.0/16", s), prefix("fd00:%d::/48", s)},
		}
		for _, z := range zonesOf(s) {
			o.Networks = append(o.Networks, prefix("10.%d.%d.0/24", s, z))
		}
		c.Owners = append(c.Owners, o)
	}
	return c
}

// link is the interface and network number of the tunnel of two routers.
func link(a, b *router) int { i, j := min(a.id, b.id), max(a.id, b.id); return (j-1)*(j-2)/2 + i }

func (l *lab) join(t *testing.T, a, b *router) {
	n := link(a, b)
	name := "wg" + strconv.Itoa(n)
	nettest.Cable(t, a.Namespace, name, b.Namespace, name)
	for i, r := range []*router{a, b} {
		r.IP(t, "link", "set", name, "up")
		r.IP(t, "addr", "add", fmt.Sprintf("172.31.%d.%d/24", n, i+1), "dev", name)
		r.IP(t, "addr", "add", fmt.Sprintf("fd53:%d::%d/64", n, i+1), "dev", name, "nodad")
		peer := b
		if i == 1 {
			peer = a
		}
		r.config.Neighbors = append(r.config.Neighbors, plan.Neighbor{
			Name: peer.label, Router: peer.label, Interface: name, AS: peer.as(), Transit: true,
			LocalAddress: address("172.31.%d.%d", n, i+1), Address: address("172.31.%d.%d", n, 2-i),
			LocalAddress6: address("fd53:%d::%d", n, i+1), Address6: address("fd53:%d::%d", n, 2-i),
		})
	}
}

func (r *router) text(t *testing.T) []byte {
	t.Helper()
	require.NoError(t, r.config.Validate())
	var err error
	r.config.Version, err = bird.Installed(t.Context())
	require.NoError(t, err)
	src := bird.Sources{
		IPv4: address("10.%d.%d.%d", r.site, r.zone, r.id+10), IPv6: address("fd00:%d::%d:%d", r.site, r.zone, r.id+10),
	}
	text := bird.Render(r.config, src)
	return text
}

func (l *lab) start(t *testing.T) {
	t.Helper()
	for _, r := range l.routers {
		if _, err := os.Stat(r.conf()); err != nil {
			require.NoError(t, os.WriteFile(r.conf(), r.text(t), 0o644))
		}
		r.namespace.start(t)
	}
	took := l.established(t)
	t.Logf("%d sessions established in %s", len(l.routers)*(len(l.routers)-1)/2, took.Round(10*time.Millisecond))
}

func (l *lab) established(t *testing.T) time.Duration {
	t.Helper()
	return nettest.Eventually(t, "all sessions are established", func() string {
		for _, r := range l.routers {
			table := r.birdc(t, "show protocols")
			if n := strings.Count(table, "Established"); n != len(l.routers)-1 {
				return fmt.Sprintf("%s has %d of %d\n%s", r.label, n, len(l.routers)-1, table)
			}
		}
		return ""
	})
}

// cut takes a tunnel away without telling anyone, mend brings it back.
func (l *lab) cut(t *testing.T, a, b string)  { l.set(t, a, b, "down") }
func (l *lab) mend(t *testing.T, a, b string) { l.set(t, a, b, "up") }

func (l *lab) set(t *testing.T, a, b, state string) {
	t.Helper()
	l.byName[a].IP(t, "link", "set", "wg"+strconv.Itoa(link(l.byName[a], l.byName[b])), state)
}

// via names the router that r sends packets for the destination to.
func (l *lab) via(t *testing.T, r *router, destination string) string {
	t.Helper()
	out := r.IP(t, "route", "show", destination)
	if strings.Contains(destination, ":") {
		out = r.IP(t, "-6", "route", "show", destination)
	}
	for _, peer := range l.routers {
		if peer != r && strings.Contains(out, fmt.Sprintf("dev wg%d ", link(r, peer))) &&
			strings.Contains(out, "proto bird") {
			return peer.label
		}
	}
	return strings.TrimSpace(out)
}

// expect waits until the paths are as wanted: "p1 10.2.1.0/24" -> "q1".
func (l *lab) expect(t *testing.T, want map[string]string) {
	t.Helper()
	nettest.Eventually(t, "paths", func() string {
		var wrong []string
		for from, to := range want {
			name, destination, _ := strings.Cut(from, " ")
			if got := l.via(t, l.byName[name], destination); got != to {
				wrong = append(wrong, fmt.Sprintf("%s goes by %q, expected %s", from, got, to))
			}
		}
		return strings.Join(wrong, "\n")
	})
}
