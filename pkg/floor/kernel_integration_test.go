//go:build integration

package floor_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
	"github.com/wgmesh/router/pkg/floor"
	"github.com/wgmesh/router/pkg/mark"
)

// alone puts the test into a network namespace of its own, with IPv6.
func alone(t *testing.T) {
	t.Helper()
	nettest.Alone(t)
	nettest.Sh(t, "ip link add dev wan type veth peer name far; ip link set wan up; ip link set far up")
	nettest.Sh(t, "ip addr add 192.0.2.2/24 dev wan; ip route add default via 192.0.2.1")
	nettest.Sh(t, "ip addr add 2001:db8::2/64 dev wan nodad; ip -6 route add default via 2001:db8::1")
}

func reach(t *testing.T, h floor.Host, want floor.Want) floor.Delta {
	t.Helper()
	d := h.Diff(want, must.Get(h.Observe(t.Context()))(t))
	must.Get(h.Apply(t.Context(), d))(t)
	return d
}

func refused(t *testing.T, to string) bool {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ip", "route", "get", to).CombinedOutput()
	if strings.Contains(string(out), "No route to host") {
		return true
	}
	require.NoError(t, err, "%s", out)
	return false
}

func host(t *testing.T) floor.Host {
	dir := t.TempDir()
	return floor.Host{
		Folder: dir + "/wgmesh", Units: dir + "/system", Networkd: dir + "/networkd.conf.d", Service: "bird",
		Run: t.TempDir(),
		Systemctl: func(_ context.Context, args ...string) error {
			wants := filepath.Join(dir, "system", "sysinit.target.wants")
			switch args[0] {
			case "enable":
				return os.Symlink("../wgmesh-floor.service", filepath.Join(mkdir(wants), "wgmesh-floor.service"))
			case "disable":
				return os.Remove(filepath.Join(wants, "wgmesh-floor.service"))
			case "is-active":
				return inactive()
			}
			return nil
		},
	}
}

// inactive is what systemctl says of a unit that does not run.
func inactive() error { return exec.Command("sh", "-c", "exit 3").Run() }

// What the next boot lacks is told from the files, of which the list may have wider networks.
func TestAtBoot(t *testing.T) {
	alone(t)
	h, refused := host(t), prefixes("10.1.0.0/16", "10.1.1.0/24", "10.2.0.0/16")
	h.Owner = mark.Owner{Mesh: "routers"}
	reach(t, h, floor.Want{Networks: prefixes("::/0", "10.1.0.0/16", "10.2.0.0/16")})
	h.Owner = mark.Owner{} // whoever looks does not know the mesh
	assert.Empty(t, h.AtBoot(t.Context(), refused))
	list, unit := h.Folder+"/floor", h.Units+"/wgmesh-floor.service"
	require.NoError(t, os.WriteFile(list, nil, 0o644))
	assert.Equal(t, []string{list}, h.AtBoot(t.Context(), refused))
	require.NoError(t, os.WriteFile(list, floor.Text(mark.Owner{}, refused[:1]), 0o644))
	require.NoError(t, os.Remove(unit))
	assert.Equal(t, []string{list, unit}, h.AtBoot(t.Context(), refused))
}

// What failed between a file and who reads it is done by the next run: the unit's reload,
// networkd's restart, and the question whether it runs.
func TestReadersAreToldAgain(t *testing.T) {
	alone(t)
	networks := floor.Want{Networks: prefixes("10.1.0.0/16")}
	for _, tt := range []struct {
		fails string
		want  floor.Want
	}{
		{"is-active", networks},
		{"restart", networks},
		{"enable", networks},
		{"daemon-reload", networks},
		{"daemon-reload", floor.Want{}},
	} {
		t.Run(tt.fails, func(t *testing.T) {
			h := host(t)
			works, broken, told := h.Systemctl, false, []string(nil)
			h.Systemctl = func(ctx context.Context, args ...string) error {
				told = append(told, args[0])
				switch {
				case broken && args[0] == tt.fails:
					return errors.New("no bus")
				case args[0] == "is-active":
					return nil
				}
				return works(ctx, args...)
			}
			reach(t, h, networks)
			if len(tt.want.Networks) > 0 {
				// As another release of ours has them.
				for _, f := range []string{h.Units + "/wgmesh-floor.service", h.Networkd + "/50-wgmesh.conf"} {
					require.NoError(t, os.WriteFile(f, nil, 0o644))
				}
				if tt.fails == "enable" {
					require.NoError(t, os.Remove(h.Units+"/sysinit.target.wants/wgmesh-floor.service"))
				}
			}
			broken = true
			have := must.Get(h.Observe(t.Context()))(t)
			require.ErrorContains(t, must.Err(h.Apply(t.Context(), h.Diff(tt.want, have))), "no bus")
			broken, told = false, nil
			assert.False(t, reach(t, h, tt.want).Empty())
			assert.Contains(t, told, tt.fails)
			assert.True(t, reach(t, h, tt.want).Empty())
			assert.Empty(t, must.Get(os.ReadDir(h.Run))(t))
		})
	}
}

func mkdir(path string) string { _ = os.MkdirAll(path, 0o755); return path }

// listing leaves out what the kernel adds by itself, when a cable is up.
const listing = "ip route; ip -6 route | grep -v '^fe80::/64 '"

func TestKernel(t *testing.T) {
	alone(t)
	h := host(t)
	// Others' routes, of the same and of a near kind.
	const theirs = "ip route add unreachable 10.8.0.0/16 proto static; " +
		"ip route add 10.9.0.0/16 via 192.0.2.1 proto bird metric 32; ip -6 route add unreachable fd00:8::/48"
	nettest.Sh(t, theirs)
	foreign := nettest.Sh(t, listing)

	both := floor.Want{Networks: prefixes("10.1.0.0/16", "10.2.0.0/31", "10.3.3.3/32", "fd00:1::/48", "fd00:2::1/128")}
	assert.False(t, reach(t, h, both).Empty())
	for _, to := range []string{"10.1.255.1", "10.2.0.1", "10.3.3.3", "fd00:1::9", "fd00:2::1"} {
		assert.True(t, refused(t, to), to)
	}
	for _, to := range []string{"10.2.0.2", "10.3.3.4", "10.9.0.1", "fd00:2::2", "198.51.100.1"} {
		assert.False(t, refused(t, to), to)
	}
	// Every other route wins, of whatever metric.
	nettest.Sh(t,
		"ip route add 10.1.0.0/16 via 192.0.2.1 metric 4294967294; "+
			"ip -6 route add fd00:1::/48 via 2001:db8::1 metric 4294967294")
	assert.False(t, refused(t, "10.1.0.1"))
	assert.False(t, refused(t, "fd00:1::9"))
	assert.True(t, reach(t, h, both).Empty(), "a second run")
	nettest.Sh(t, "ip route del 10.1.0.0/16 metric 4294967294; ip -6 route del fd00:1::/48 metric 4294967294")

	// What somebody broke is mended, what has our number and is wrong goes.
	nettest.Sh(t,
		"ip route del unreachable 10.1.0.0/16 proto 157; ip route add blackhole 10.7.0.0/16 proto 157; "+
			"ip -6 route add unreachable fd00:7::/48 proto 157 metric 9")
	assert.False(t, reach(t, h, both).Empty())
	assert.True(t, reach(t, h, both).Empty())
	assert.True(t, refused(t, "10.1.0.1"))
	assert.NotContains(t, nettest.Sh(t, listing), "10.7.0.0")
	assert.NotContains(t, nettest.Sh(t, listing), "fd00:7")

	// Who puts the file back has it loaded.
	list := filepath.Join(h.Folder, "floor")
	before := must.Get(os.ReadFile(list))(t)
	routes := nettest.Sh(t, listing)
	reach(t, h, floor.Want{Networks: prefixes("10.4.0.0/16")})
	assert.False(t, refused(t, "10.1.0.1"))
	require.NoError(t, os.WriteFile(list, before, 0o644))
	require.NoError(t, h.Load(t.Context()))
	assert.Equal(t, routes, nettest.Sh(t, listing))

	// And the other way round, by the script, as at boot.
	nettest.Sh(t, "ip route flush proto 157; ip -6 route flush proto 157")
	assert.False(t, refused(t, "10.1.0.1"))
	script := "sh " + filepath.Join(h.Folder, "floor.sh") + " " + list
	nettest.Sh(t, "%s", script)
	assert.Equal(t, routes, nettest.Sh(t, listing))
	nettest.Sh(t, "%s", script)
	assert.True(t, reach(t, h, both).Empty(), "the script and the module do not agree")

	require.NoError(t, os.Remove(list))
	require.NoError(t, h.Load(t.Context()))
	assert.Equal(t, foreign, nettest.Sh(t, listing), "no list, no floor")
	reach(t, h, both)
	assert.False(t, reach(t, h, floor.Want{}).Empty())
	assert.Equal(t, foreign, nettest.Sh(t, listing), "others' routes stay")
	assert.Empty(t, nettest.Run(t, "find", filepath.Dir(h.Folder), "-type", "f", "-o", "-type", "l"))
}

// All of a family is not a route, which would cut the router off. It is a rule for what the
// host itself sends. With it goes what BIRD left in its table.
func TestRule(t *testing.T) {
	alone(t)
	h := host(t)
	const rules = "ip rule; ip -6 rule"
	nettest.Sh(t, "ip rule add from 10.9.0.1 lookup 99 priority 32765; ip -6 rule add from fd00:9::1 lookup 99")
	foreign := nettest.Sh(t, rules)
	both := floor.Want{Networks: prefixes("0.0.0.0/0", "::/0", "10.1.0.0/16")}
	ends := map[string]string{"-4": "10.1.0.4", "-6": "fd00:2::4"}
	have := must.Get(h.Observe(t.Context()))(t)
	done := must.Get(h.Apply(t.Context(), h.Diff(both, have)))(t)
	assert.Equal(t, []string{
		"added the rule of 0.0.0.0/0 for the router's own packets",
		"refuse 10.1.0.0/16 while no tunnel has a way to it",
		"added the rule of ::/0 for the router's own packets",
	}, done[:3])
	for family, end := range ends {
		nettest.Sh(t, "ip %[1]s route add %[2]s dev far table 157157 proto bird", family, end)
		assert.Contains(t, nettest.Sh(t, "ip %s route get %s", family, end), "dev far")
	}
	assert.False(t, refused(t, "198.51.100.1"))
	assert.True(t, reach(t, h, both).Empty(), "a second run")

	// What somebody broke is mended, by the module and by the script.
	want := nettest.Sh(t, rules)
	nettest.Sh(t, "ip rule del lookup 157157; ip -6 rule del lookup 157157")
	assert.False(t, reach(t, h, both).Empty())
	assert.Equal(t, want, nettest.Sh(t, rules))
	script := "sh " + filepath.Join(h.Folder, "floor.sh") + " " + filepath.Join(h.Folder, "floor")
	named := "rt_tables=$(mktemp); echo 157157 outside > $rt_tables; mount --bind $rt_tables /etc/iproute2/rt_tables; "
	for _, before := range []string{
		"true", "ip rule del lookup 157157; ip -6 rule del lookup 157157", "ip -6 rule del lookup 157157",
		"ip rule del lookup 157157", "ip route flush table 157157",
		"ip route prepend blackhole 10.1.0.0/16 metric 4294967295", // a replace says then that ours is there
	} {
		nettest.Sh(t, "%s", before)
		nettest.Sh(t, "%s", script)
		assert.Equal(t, want, nettest.Sh(t, rules), before)
	}
	nettest.Sh(t, "ip route del blackhole 10.1.0.0/16")
	assert.Empty(t, nettest.Sh(t, "unshare -m sh -ec '%s %s'", named, script), "the table has a name")
	assert.Equal(t, want, nettest.Sh(t, rules))
	assert.True(t, reach(t, h, both).Empty(), "the script and the module do not agree")

	reach(t, h, floor.Want{Networks: prefixes("10.1.0.0/16")})
	assert.Equal(t, foreign, nettest.Sh(t, rules))
	assert.Empty(t, nettest.Sh(t, "ip route show table 157157 2>&1; ip -6 route show table 157157 2>&1"))
}

// A unit of that name which somebody else made is neither overwritten nor removed.
func TestForeignUnit(t *testing.T) {
	h := host(t)
	unit := filepath.Join(mkdir(h.Units), "wgmesh-floor.service")
	require.NoError(t, os.WriteFile(unit, []byte("[Unit]\n"), 0o644))
	_, err := h.Observe(t.Context())
	require.EqualError(t, err, unit+" was not made by wgmesh.router: move it away")
}

// A list that breaks off is used as far as it goes, and said to be broken.
func TestScriptOnABrokenList(t *testing.T) {
	alone(t)
	list := filepath.Join(t.TempDir(), "floor")
	text := floor.Text(mark.Owner{}, prefixes("10.1.0.0/16", "10.2.0.0/16", "fd00:1::/48"))
	for n := len(text) - 1; n >= 0; n -= 5 {
		for name, broken := range map[string][]byte{
			"cut": text[:n], "zeros": append(append([]byte{}, text[:n]...), make([]byte, len(text)-n)...),
		} {
			require.NoError(t, os.WriteFile(list, broken, 0o644))
			nettest.Sh(t, "ip route flush proto 157; ip -6 route flush proto 157")
			out, err := exec.CommandContext(t.Context(), "sh", "floor.sh", list).CombinedOutput()
			whole := n == len(text)-1 // the line feed at its end is nothing
			assert.Equal(t, whole, err == nil, "%s at %d: %s", name, n, out)
			assert.Equal(t, len(floor.Parse(broken)),
				strings.Count(nettest.Sh(t, "ip route show proto 157; ip -6 route show proto 157"), "unreachable"),
				"%s at %d", name, n)
		}
	}
}

// Where IPv6 is switched off nothing leaves by it, and nothing is in the way.
func TestWithoutIPv6(t *testing.T) {
	alone(t)
	nettest.Sh(t, "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6")
	h := host(t)
	both := floor.Want{Networks: prefixes("10.1.0.0/16", "fd00:1::/48")}
	reach(t, h, both)
	assert.True(t, reach(t, h, both).Empty())
	assert.True(t, refused(t, "10.1.0.1"))
	nettest.Run(t, "sh", filepath.Join(h.Folder, "floor.sh"), filepath.Join(h.Folder, "floor"))
}
