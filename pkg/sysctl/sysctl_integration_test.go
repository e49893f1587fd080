//go:build integration

package sysctl_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
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
		require.NoError(t,
			os.WriteFile(filepath.Join(root, "proc/sys", string(sysctl.ParseKey(key))), []byte(value+"\n"), 0o644))
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

// What reads the drop-in at boot understands it, also where an interface is
// not there yet.
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
	out, err := exec.Command(tool, filepath.Join(root, sysctl.Path)).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Equal(t, "0", live(t, root, "net.ipv4.conf.all.rp_filter"))
	require.Equal(t, "0", live(t, root, "net.ipv4.conf.lo.send_redirects"), "the pattern")
	require.Equal(t, "51801", live(t, root, "net.ipv4.ip_local_reserved_ports"))
}
