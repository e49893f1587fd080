//go:build integration

package meshpreflight_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
	meshpreflight "github.com/wgmesh/router/modules/mesh_preflight"
	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/mesh"
	"github.com/wgmesh/router/pkg/plan"
)

// A host is a network namespace with the plan of one router.
type host struct {
	nettest.Namespace
	options map[string]any
}

func newHost(t *testing.T, dual bool) host {
	t.Helper()
	h := host{Namespace: nettest.New(t, "pf")}
	h.Sh(t, "ip link add eth0 type veth peer name cable; ip link set cable up; ip addr add 10.2.1.4/24 dev eth0; "+
		"ip link set eth0 up")
	raw := must.Get(json.Marshal(planned(t, dual)))(t)
	var p map[string]any
	require.NoError(t, json.Unmarshal(raw, &p))
	dir := t.TempDir()
	h.options = map[string]any{
		"mesh": "routers", "plan": p, "directory": dir,
		"private_key_file": dir + "/key", "control_socket": dir + "/bird.ctl", "_ansible_check_mode": true,
	}
	return h
}

// plan is that of aws-1, which has the tunnels 2, 3 and 6.
func planned(t *testing.T, dual bool) plan.Plan {
	t.Helper()
	m := mesh.Mesh{
		Routers: map[string]mesh.Router{
			"azure-1": {ID: 1, Site: "azure", Endpoint: "192.0.2.1"},
			"azure-2": {ID: 2, Site: "azure", Endpoint: "192.0.2.2"},
			"aws-1":   {ID: 3, Site: "aws", Endpoint: "192.0.2.3"},
			"gcp-1":   {ID: 4, Site: "gcp", Endpoint: "192.0.2.4"},
		},
		Sites: map[string]mesh.Site{
			"azure": {AS: 64513, Networks: []string{"10.1.0.0/16"}},
			"aws":   {AS: 64514, Networks: []string{"10.2.0.0/16"}},
			"gcp":   {AS: 64515, Networks: []string{"10.3.0.0/16"}},
		},
	}
	m.SetDefaults()
	m.LinkPool = "172.31.0.0/16"
	if dual {
		for _, site := range []string{"azure", "aws"} {
			s := m.Sites[site]
			s.Networks = append(s.Networks,
				map[string]string{"azure": "2001:db8:1::/48", "aws": "2001:db8:2::/48"}[site])
			m.Sites[site] = s
		}
	}
	return must.Get(m.Plan("aws-1"))(t)
}

// start runs a program in the namespace until the test ends, and returns its number.
func (h host) start(t *testing.T, args ...string) int {
	t.Helper()
	cmd := h.Command(args...)
	out := must.Get(cmd.StdoutPipe())(t)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	_, err := out.Read(make([]byte, 1)) // it says when it is ready
	require.NoError(t, err)
	return cmd.Process.Pid
}

// run is the module as Ansible runs it, in the namespace.
func (h host) run(t *testing.T) (refusals, warnings []string) {
	t.Helper()
	began := time.Now()
	result := h.Module(t, ansible.New(meshpreflight.Plan, ansible.Unlocked()), h.options)
	raw := must.Get(json.Marshal(result))(t)
	t.Logf("%s in %v", raw, time.Since(began))
	var res struct {
		Changed, Failed bool
		Msg             string
		Warnings        []string
		Causes          []struct{ Cause, Do string }
	}
	require.NoError(t, json.Unmarshal(raw, &res))
	assert.False(t, res.Changed)
	assert.Equal(t, len(res.Causes) > 0, res.Failed, res.Msg)
	for _, r := range res.Causes {
		assert.Contains(t, res.Msg, r.Cause)
		refusals = append(refusals, r.Cause+": "+r.Do)
	}
	unmade := func(w string) bool { return strings.HasPrefix(w, "the image play has not come to its end") }
	return refusals, slices.DeleteFunc(res.Warnings, unmade) // this machine need not be a router
}

// The sockets of others, as their processes open them.
const (
	udp = "import socket,time; s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind(('127.0.0.1',%d)); " +
		"print(1,flush=True); time.sleep(99)"
	tcp = "import socket,time; s=socket.socket(); s.bind(('0.0.0.0',%d)); s.listen(); print(1,flush=True); " +
		"time.sleep(99)"
)

func TestHosts(t *testing.T) {
	out := must.Get(exec.Command("python3", "-c", "import os; print(os.readlink('/proc/self/exe'))").Output())(t)
	program := strings.TrimSpace(string(out)) // not one that starts another one
	name := filepath.Base(program)[:min(15, len(filepath.Base(program)))]
	process := func(h host, t *testing.T, text string, port int) string {
		return fmt.Sprintf("%s, pid %d", name, h.start(t, program, "-c", fmt.Sprintf(text, port)))
	}
	userspace := func(h host, t *testing.T, called string) string { // the process of wg2, which is ours
		link := filepath.Join(t.TempDir(), called)
		require.NoError(t, os.Symlink(program, link))
		h.start(t, link, "-c", fmt.Sprintf(udp, 51802), "wg2")
		return h.file(t, "wg2.conf", "# Managed by wgmesh.router.\n")
	}
	shell := func(script string) func(host, *testing.T) string {
		return func(h host, t *testing.T) string {
			h.Sh(t, "%s", script)
			return ""
		}
	}
	for what, tt := range map[string]struct {
		dual    bool
		host    func(h host, t *testing.T) (owner string)
		refused []string // the start of each line; OWNER is who holds it
		warned  []string
	}{
		"as the clouds deliver it": {
			host: shell(
				"ip link add docker0 type veth peer name other; ip addr add 172.17.0.1/16 dev docker0; " +
					"ip link set docker0 up"),
		},
		"a tunnel's port": {
			host:    func(h host, t *testing.T) string { return process(h, t, udp, 51802) },
			refused: []string{"UDP 51802 is held by OWNER, and wg2 needs it: stop it, or "},
		},
		"a tunnel's port, by its WireGuard in user space": {host: func(h host, t *testing.T) string {
			return userspace(h, t, "wireguard-go")
		}},
		"the same on Ubuntu 22.04": {host: func(h host, t *testing.T) string {
			return userspace(h, t, "wireguard")
		}},
		"two ports that the kernel holds": {
			host: shell(
				"ip link add flannel.1 type vxlan id 1 dstport 51802 dev eth0; ip link set flannel.1 up; " +
					"ip link add vx type vxlan id 2 dstport 51803 dev eth0; ip link set vx up"),
			refused: []string{
				"UDP 51802 is held by flannel.1, and wg2 needs it",
				"UDP 51803 is held by vx, and wg3 needs it",
			},
		},
		"a WireGuard of somebody else": {
			host:    func(h host, t *testing.T) string { return h.wireguard(t, 51806) },
			refused: []string{"UDP 51806 is held by OWNER"},
		},
		"TCP 179": {
			host:    func(h host, t *testing.T) string { return process(h, t, tcp, 179) },
			refused: []string{"TCP 179 is held by OWNER, and BIRD needs it for BGP: stop it"},
		},
		"BFD": {
			host:    func(h host, t *testing.T) string { return process(h, t, udp, 3784) },
			refused: []string{"UDP 3784 is held by OWNER, and BIRD needs it for BFD"},
		},
		"BFD over more hops": {
			host: func(h host, t *testing.T) string { return process(h, t, udp, 4784) }, // BIRD leaves it alone
		},
		"a default VPC": {host: shell("ip addr add 172.31.7.5/20 dev eth0"), refused: []string{
			"wg2's network 172.31.0.4/31 overlaps with 172.31.0.0/20 of eth0: set another mesh_link_pool",
		}},
		"an address": {
			host:    shell("ip addr add 172.31.0.5/32 dev eth0"),
			refused: []string{"wg2's address 172.31.0.5 is on eth0: remove it there"},
		},
		"a route": {host: shell("ip route add 172.31.0.4/31 via 10.2.1.1 proto static"), refused: []string{
			"wg2's network 172.31.0.4/31 overlaps with the route to 172.31.0.4/31 by static on eth0",
		}},
		"a wide route": {
			host:   shell("ip route add 172.16.0.0/12 via 10.2.1.1 proto dhcp"),
			warned: []string{"wg2's network 172.31.0.4/31 overlaps with the route to 172.16.0.0/12 by dhcp on eth0"},
		},
		"another site": {
			host:    shell("ip link add docker0 type veth peer name other; ip addr add 10.3.5.1/24 dev docker0"),
			refused: []string{"10.3.5.0/24 of docker0 overlaps with 10.3.0.0/16 of site gcp"},
		},
		"an address of another site on loopback": {
			host:    shell("ip link set lo up; ip addr add 10.3.1.100/32 dev lo; ip addr add 10.2.1.100/32 dev lo"),
			refused: []string{"10.3.1.100/32 of lo overlaps with 10.3.0.0/16 of site gcp"},
		},
		"an old way there": {
			host:   shell("ip route add 10.3.0.0/16 via 10.2.1.9 proto static"),
			warned: []string{"a route to 10.3.0.0/16 by static on eth0 goes before the mesh's to site gcp: remove it"},
		},
		"an interface": {
			host:    shell("ip link add wg6 type veth peer name other"),
			refused: []string{"wg6 is a veth interface that wgmesh.router did not make: remove it"},
		},
		"a tun interface": {
			host:    shell("ip tuntap add wg6 mode tun"),
			refused: []string{"wg6 is a tun interface that wgmesh.router did not make"},
		},
		"a file": {host: func(h host, t *testing.T) string {
			return h.file(t, "wg6.conf", "[Interface]\n")
		}, refused: []string{"OWNER was not made for this mesh: move it away"}},
		"a user's, by wg_tunnel": {
			host: func(h host, t *testing.T) string {
				return h.file(t, "wg6.conf",
					"# Managed by wgmesh.router.\n[Interface]\n[Peer]\nPublicKey = "+
						base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, 32))+"\n# end\n")
			},
			refused: []string{"OWNER was not made for this mesh: move it away"},
		},
		"a file of ours": {host: func(h host, t *testing.T) string {
			return h.file(t, "wg6.conf", "# Managed by wgmesh.router.\n")
		}},
		"no IPv6, no need": {host: shell("sysctl -qw net.ipv6.conf.all.disable_ipv6=1")},
		"no IPv6": {
			dual: true, host: shell("sysctl -qw net.ipv6.conf.all.disable_ipv6=1"),
			refused: []string{"IPv6 is off (net.ipv6.conf.all.disable_ipv6 = 1), and the mesh has IPv6 networks"},
		},
		"no IPv6 for new": {
			dual: true, host: shell("sysctl -qw net.ipv6.conf.default.disable_ipv6=1"),
			refused: []string{"IPv6 is off (net.ipv6.conf.default.disable_ipv6 = 1)"},
		},
		"no ping of IPv6": {dual: true, host: shell("sysctl -qw net.ipv6.icmp.echo_ignore_all=1"), warned: []string{
			"this router answers no ping (net.ipv6.icmp.echo_ignore_all = 1)",
		}},
		"it answers no ping": {
			host:   shell("sysctl -qw net.ipv4.icmp_echo_ignore_all=1"),
			warned: []string{"this router answers no ping (net.ipv4.icmp_echo_ignore_all = 1)"},
		},
	} {
		t.Run(what, func(t *testing.T) {
			h := newHost(t, tt.dual)
			owner := tt.host(h, t)
			refusals, warnings := h.run(t)
			for _, list := range []struct{ want, have []string }{{tt.refused, refusals}, {tt.warned, warnings}} {
				require.Len(t, list.have, len(list.want))
				for i, start := range list.want {
					start = strings.ReplaceAll(start, "OWNER", owner)
					assert.True(t, strings.HasPrefix(list.have[i], start), "%s\nis not: %s", list.have[i], start)
				}
			}
		})
	}
}

// wireguard makes an interface that is not ours, and returns its name: the kernel's, or
// where that has none, one in user space.
func (h host) wireguard(t *testing.T, port int) string {
	t.Helper()
	name := nettest.Unique("fl")
	h.WireGuard(t, name)
	h.Sh(t, "wg set %s listen-port %d; ip link set %[1]s up", name, port)
	nettest.Eventually(t, "it listens", func() string {
		if h.Sh(t, "ss -Hlun sport = :%d", port) == "" {
			return "nobody has the port"
		}
		return ""
	})
	return name
}

// file puts a file into the folder of the wg-quick files.
func (h host) file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(h.options["directory"].(string), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// A BIRD that bird.conf is not known to be right for is refused, and not BIRD 3.
func TestBird(t *testing.T) {
	h := newHost(t, false)
	dir := t.TempDir()
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	for version, refused := range map[string]bool{
		"1.6.8": true, "2.0.12": false, "3.0.1": true, "3.1.8": false, "4.0.0": true,
	} {
		require.NoError(t, os.WriteFile(dir+"/bird", []byte("#!/bin/sh\necho BIRD version "+version+" >&2\n"), 0o755))
		refusals, _ := h.run(t)
		text := strings.Join(refusals, "\n")
		assert.Equal(t, refused, strings.Contains(text, "BIRD "+version+" is installed"), text)
		assert.LessOrEqual(t, len(text), 160)
	}
}
