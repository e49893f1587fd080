package sysctl_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/sysctl"
)

func takeAway(t *testing.T, root string) sysctl.Delta {
	t.Helper()
	h, want := sysctl.Host{Root: root}, sysctl.Want{Path: sysctl.Path, Absent: true}
	have := must.Get(h.Observe(t.Context(), want))(t)
	d := must.Get(h.Diff(want, have))(t)
	if !d.Empty() {
		must.Get(h.Apply(t.Context(), d))(t)
	}
	return d
}

// texts is what the files of a host say.
func texts(t *testing.T, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for path, file := range must.Tree(t, root) {
		if !strings.HasPrefix(file, "d") {
			out[path] = strings.TrimSpace(string(must.Get(os.ReadFile(path))(t)))
		}
	}
	return out
}

var router = sysctl.Profile{
	Mesh: "routers", IPv6: new(true), Interfaces: []string{"wg1", "wg20"}, RmemDefault: 1 << 20,
	RmemMax: 8 << 20, WmemMax: 8 << 20,
}

// The host is as it was, file by file, also when the profile changed meanwhile.
func TestAbsentPutsTheFormerValuesBack(t *testing.T) {
	root := stock().with(tree{"proc/net/ipv6_route": advertised}).host(t)
	before := texts(t, root)
	p := router
	p.ReservedPorts = ports(t, "51801,51820")
	converge(t, root, sysctl.Profile{RmemDefault: 1 << 20})
	converge(t, root, p)
	assert.NotEqual(t, before, texts(t, root))

	assert.False(t, takeAway(t, root).Empty())
	assert.Equal(t, before, texts(t, root))
	assert.True(t, takeAway(t, root).Empty(), "a second run changes nothing")
}

// A mesh without IPv6 left a host forwarding it until the next boot, since the image had begun with that.
func TestANarrowerProfileGivesBack(t *testing.T) {
	const key = "net.ipv6.conf.all.forwarding"
	narrow := router
	narrow.IPv6 = new(false)
	for name, c := range map[string]struct {
		others tree
		set    string // by hand, meanwhile
		want   string
	}{
		"alone":                 {want: "0"},
		"another file has it":   {others: tree{"etc/sysctl.d/50-mine.conf": key + " = 1\n"}, want: "1"},
		"another file has none": {others: tree{"etc/sysctl.d/50-mine.conf": key + " = 0\n"}, want: "0"},
		"it was so before":      {others: tree{"proc/sys/net/ipv6/conf/all/forwarding": "1"}, want: "1"},
		"set by hand":           {set: "2", want: "2"},
	} {
		t.Run(name, func(t *testing.T) {
			root := stock().with(c.others).host(t)
			converge(t, root, router)
			if c.set != "" {
				path := filepath.Join(root, "proc/sys/net/ipv6/conf/all/forwarding")
				require.NoError(t, os.WriteFile(path, []byte(c.set+"\n"), 0o644))
			}
			converge(t, root, narrow)
			assert.Equal(t, c.want, live(t, root, key))
			assert.NotContains(t, dropin(t, root), "\n"+key)
		})
	}
}

// Whoever is cut off between the two still knows what is ours.
func TestGivesBackBeforeTheDropInForgets(t *testing.T) {
	root := stock().host(t)
	converge(t, root, router)
	narrow := router
	narrow.IPv6 = new(false)
	delta := observe(t, root, narrow)
	require.NoError(t, os.Remove(filepath.Join(root, "proc/sys/net/ipv6/ip_nonlocal_bind")))
	_, err := sysctl.Host{Root: root}.Apply(t.Context(), delta)
	require.Error(t, err)
	assert.Contains(t, dropin(t, root), "\nnet.ipv6.conf.all.forwarding = 1\n")
	converge(t, root, narrow)
	assert.Equal(t, "0", live(t, root, "net.ipv6.fib_multipath_hash_policy"))
}

// An image that forwards IPv6 and a mesh that does not: the drop-in names no parameter of IPv6 any more.
func TestAbsentAfterANarrowerProfile(t *testing.T) {
	root := stock().with(tree{"proc/net/ipv6_route": advertised}).host(t)
	before := texts(t, root)
	converge(t, root, router)
	narrow := router
	narrow.IPv6, narrow.Interfaces = new(false), []string{"wg20"}
	converge(t, root, narrow)
	require.Equal(t, "0", live(t, root, "net.ipv6.conf.all.forwarding"))

	takeAway(t, root)
	assert.Equal(t, before, texts(t, root))
}

// A value that somebody has changed since is not ours any more.
func TestAbsentLeavesWhatSomebodyChanged(t *testing.T) {
	root := stock().host(t)
	converge(t, root, router)
	require.NoError(t, os.WriteFile(filepath.Join(root, "proc/sys/net/core/rmem_max"), []byte("9999999\n"), 0o644))
	takeAway(t, root)
	assert.Equal(t, "9999999", live(t, root, "net.core.rmem_max"))
	assert.Equal(t, "0", live(t, root, "net.ipv4.ip_forward"))
}

// A file of that name which somebody else made is neither overwritten nor removed.
func TestForeignDropIn(t *testing.T) {
	root := stock().with(tree{sysctl.Path[1:]: "net.ipv4.ip_forward = 0\n"}).host(t)
	for _, absent := range []bool{false, true} {
		want := sysctl.Want{Profile: router, Path: sysctl.Path, Absent: absent}
		_, err := sysctl.Host{Root: root}.Observe(t.Context(), want)
		require.EqualError(t, err, sysctl.Path+" was not made by wgmesh.router: move it away")
	}
}

// A drop-in of a version that kept no record: what other files say counts, the rest is said.
func TestAbsentWithoutARecord(t *testing.T) {
	root := stock().with(tree{"etc/sysctl.d/50-mine.conf": "net.ipv4.tcp_mtu_probing = 2\n"}).host(t)
	converge(t, root, router)
	path := filepath.Join(root, sysctl.Path)
	var kept strings.Builder
	for line := range strings.Lines(dropin(t, root)) {
		if !strings.HasPrefix(line, "# before:") {
			kept.WriteString(line)
		}
	}
	require.NoError(t, os.WriteFile(path, []byte(kept.String()), 0o644))
	assert.True(t, observe(t, root, router).Empty(), "nothing is recorded of what is ours already")

	d := takeAway(t, root)
	require.Len(t, d.Warnings(), 1)
	assert.Contains(t, d.Warnings()[0], "net.ipv4.fib_multipath_hash_policy")
	assert.Equal(t, "2", live(t, root, "net.ipv4.tcp_mtu_probing"))
	assert.Equal(t, "1", live(t, root, "net.ipv4.fib_multipath_hash_policy"))
	assert.Equal(t, "0", live(t, root, "net.ipv4.ip_forward"), "a file of the image's says so")
	assert.NoFileExists(t, path)
}
