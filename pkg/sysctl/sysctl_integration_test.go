//go:build integration

package sysctl_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
	"github.com/wgmesh/router/pkg/sysctl"
)

// A host whose /proc/sys is the real one of this thread's namespace and whose
// files are a test folder.
func kernelHost(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(root, "etc/sysctl.d"), 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(root, "proc"), 0o755))
	require.NoError(t,
		os.Symlink(fmt.Sprintf("/proc/%d/task/%d/net", os.Getpid(), unix.Gettid()), filepath.Join(root, "proc/net")))
	require.NoError(t, os.Symlink("/proc/sys", filepath.Join(root, "proc/sys")))
	return root
}

func TestRealKernel(t *testing.T) {
	nettest.Alone(t)
	nettest.Run(t, "ip", "link", "add", "sct0", "type", "veth", "peer", "name", "sct1.5")
	root := kernelHost(t)
	host := sysctl.Host{Root: root}
	write := func(key, value string) {
		must.Write(t, filepath.Join(root, "proc/sys", string(sysctl.ParseKey(key))), value+"\n", 0o644)
	}
	write("net.ipv4.conf.sct0.rp_filter", "1")
	write("net.ipv4.conf.all.rp_filter", "1")
	write("net.ipv4.ip_local_reserved_ports", "9000")

	profile := sysctl.Profile{
		IPv6: new(true), Interfaces: []string{"sct0", "sct1.5", "sct-later"},
		ReservedPorts: ports(t, "51801-51803,51810"),
		RmemDefault:   1 << 20, RmemMax: 1 << 30, WmemMax: 1 << 30,
	}
	plan := observe(t, root, profile)
	// net.core.rmem_* is not the namespace's to set; what the kernel shows of
	// it differs between versions, that it must not fail the run does not.
	require.Contains(t, plan.FileOnly, "net.core.rmem_max")
	require.NotEmpty(t, must.Get(host.Apply(t.Context(), plan))(t))

	again := observe(t, root, profile)
	require.True(t, again.Empty(), "%v", again.Live)
	for key, want := range map[string]string{
		"net.ipv4.ip_forward":              "1",
		"net.ipv6.conf.all.forwarding":     "1",
		"net.ipv4.conf.all.rp_filter":      "0",
		"net.ipv4.conf.sct0.rp_filter":     "0",
		"net.ipv4.conf.sct1/5.rp_filter":   "0",
		"net.ipv4.ip_local_reserved_ports": "9000,51801-51803,51810",
	} {
		require.Equal(t, want, live(t, root, key), key)
	}

	// Ports given up, also the last ones.
	write("net.ipv4.ip_local_reserved_ports", "51801-51803,51810")
	profile.ReservedPorts = ports(t, "")
	must.Get(host.Apply(t.Context(), observe(t, root, profile)))(t)
	require.Empty(t, live(t, root, "net.ipv4.ip_local_reserved_ports"))
	require.True(t, observe(t, root, profile).Empty())
}

// advertise sends what a router of a network sends to all its hosts: RFC 4861, 4.2 and 4.6.2.
func advertise(from nettest.Namespace, device string, lifetime byte) error {
	message := []byte{134, 0, 0, 0, 64, 0, 0, lifetime, 0, 0, 0, 0, 0, 0, 0, 0}
	message = append(message, 3, 4, 64, 0xc0, 0, 0, 7, 8, 0, 0, 7, 8, 0, 0, 0, 0)
	message = append(message, net.ParseIP("2001:db8::")...)
	return from.Inside(func() error {
		c, err := net.ListenPacket("ip6:ipv6-icmp", "fe80::1%"+device)
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		if err := ipv6.NewPacketConn(c).SetMulticastHopLimit(255); err != nil {
			return err
		}
		_, err = c.WriteTo(message, &net.IPAddr{IP: net.IPv6linklocalallnodes, Zone: device})
		return err
	})
}

// A host keeps the way out that a router advertises, and goes on listening to that router.
func TestAdvertisedRouteOutlivesForwarding(t *testing.T) {
	router, here := nettest.New(t, "r"), nettest.New(t, "h")
	far, near := nettest.Unique("f"), nettest.Unique("n")
	nettest.Cable(t, router, far, here, near)
	router.Sh(t, "ip address add fe80::1/64 dev %s nodad; ip link set %[1]s up", far)
	here.IP(t, "link", "set", near, "up")
	here.Enter(t)
	routes := func() string { return here.IP(t, "-6", "route") }
	const out, network = "default via fe80::1 ", "2001:db8::/64 "
	learns := func(lifetime byte) {
		nettest.Eventually(t, "what the router says is taken", func() string {
			if err := advertise(router, far, lifetime); err != nil { // before the cable has its routes
				return err.Error()
			}
			if now := routes(); strings.Contains(now, out) != (lifetime > 0) {
				return "routes: " + now
			}
			return ""
		})
	}
	learns(250)
	root := kernelHost(t)
	profile := sysctl.Profile{IPv6: new(true)}
	must.Get(sysctl.Host{Root: root}.Apply(t.Context(), observe(t, root, profile)))(t)
	require.Contains(t, routes(), out)
	require.Contains(t, routes(), network)
	require.True(t, observe(t, root, profile).Empty())
	learns(0)
	learns(250)

	// As udev has it done when the interface appears at boot.
	key := "/net/ipv6/conf/" + near
	require.NoError(t, os.WriteFile("/proc/sys"+key+"/accept_ra", []byte("1"), 0o644))
	nettest.Run(t, "/lib/systemd/systemd-sysctl", "--prefix="+key, filepath.Join(root, sysctl.Path))
	require.Equal(t, "2", live(t, root, "net.ipv6.conf."+near+".accept_ra"))

	takeAway(t, root)
	require.Equal(t, "1", live(t, root, "net.ipv6.conf."+near+".accept_ra"))
	require.Contains(t, routes(), out)
}

// What reads the drop-in at boot understands it, also where an interface is not there yet.
func TestSystemdReadsTheDropin(t *testing.T) {
	const tool = "/lib/systemd/systemd-sysctl"
	if _, err := os.Stat(tool); err != nil {
		t.Fatalf("missing: %s of the package systemd", tool)
	}
	nettest.Alone(t)
	root := kernelHost(t)
	must.Get(sysctl.Host{Root: root}.Apply(t.Context(), observe(t, root, sysctl.Profile{
		Interfaces: []string{"sct-later"}, ReservedPorts: ports(t, "51801"), RmemMax: 8 << 20,
	})))(t)
	for _, key := range []string{"conf/all/rp_filter", "conf/lo/send_redirects"} {
		require.NoError(t, os.WriteFile("/proc/sys/net/ipv4/"+key, []byte("1"), 0o644))
	}
	must.Run(t, exec.Command(tool, filepath.Join(root, sysctl.Path)))
	require.Equal(t, "0", live(t, root, "net.ipv4.conf.all.rp_filter"))
	require.Equal(t, "0", live(t, root, "net.ipv4.conf.lo.send_redirects"), "the pattern")
	require.Equal(t, "51801", live(t, root, "net.ipv4.ip_local_reserved_ports"))
}
