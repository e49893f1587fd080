package floor_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/floor"
	"github.com/wgmesh/router/pkg/mark"
)

var prefixes = must.Prefixes

// A floor of IPv6 is left out where the kernel has none, and not where nobody can see that.
func TestIPv6(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "proc/sys/net/ipv6/conf/lo/disable_ipv6")
	assert.False(t, floor.TakesIPv6(root))
	must.Write(t, path, "1\n", 0o644)
	assert.False(t, floor.TakesIPv6(root))
	must.Write(t, path, "0\n", 0o644)
	assert.True(t, floor.TakesIPv6(root))
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Mkdir(path, 0o755))
	assert.True(t, floor.TakesIPv6(root), "it cannot be read")
}

// Wherever the list breaks off, what is read of it are whole networks of it: half a
// line such as 10.0.0.0/1 would cut the router off.
func TestListThatBreaksOff(t *testing.T) {
	networks := prefixes("10.0.0.0/16", "10.1.0.0/16", "10.2.0.0/31", "::/0", "fd00:2::/48")
	text := floor.Text(mark.Owner{Mesh: "routers"}, networks)
	assert.Equal(t, networks, floor.Parse(text))
	for n := range text {
		for name, broken := range map[string][]byte{
			"cut": text[:n], "zeros": append(slices.Clone(text[:n]), make([]byte, len(text)-n)...),
		} {
			for _, got := range floor.Parse(broken) {
				assert.Contains(t, networks, got, "%s at %d", name, n)
			}
		}
	}
	assert.Empty(t, floor.Text(mark.Owner{Mesh: "routers"}, nil))
	assert.Empty(t, floor.Parse(nil))
	assert.Empty(t, floor.Parse([]byte("10.0.0.0\n-x\nFD00::/8\n# end\n")))
}

func TestDiff(t *testing.T) {
	h := floor.Host{
		Folder: "/etc/wgmesh", Units: "/etc/systemd/system",
		Networkd: "/etc/systemd/networkd.conf.d", Service: "bird",
	}
	a, b := prefixes("10.1.0.0/16")[0], prefixes("fd00:2::/48")[0]
	both := floor.Want{Networks: prefixes("fd00:2::/48", "10.1.0.0/16")}

	fresh := floor.Have{IPv6: true}
	d := h.Diff(both, fresh)
	assert.Equal(t, []floor.Route{{Network: a, Right: true}, {Network: b, Right: true}}, d.Add)
	assert.Len(t, d.Write, 4)
	assert.Equal(t, "/etc/wgmesh/floor", d.Write[0].Path)
	assert.True(t, d.Enable)
	before, after := d.Views()
	assert.NotEqual(t, before, after)

	there := floor.Have{IPv6: true, Routes: d.Add, Files: d.Write, Enabled: true}
	assert.True(t, h.Diff(both, there).Empty())

	d = h.Diff(floor.Want{Networks: prefixes("10.1.0.0/16"), Keep: true}, there)
	assert.True(t, d.Empty(), "nothing is taken away while a change waits")
	d = h.Diff(floor.Want{Networks: prefixes("10.1.0.0/16")}, there)
	assert.Equal(t, []floor.Route{{Network: b, Right: true}}, d.Remove)
	assert.Len(t, d.Write, 1)

	d = h.Diff(floor.Want{}, there)
	assert.Equal(t, there.Routes, d.Remove)
	assert.Len(t, d.Delete, 4)
	assert.True(t, d.Disable)
	assert.True(t, h.Diff(floor.Want{}, fresh).Empty())

	rule := floor.Route{Network: prefixes("::/0")[0], Right: true}
	d = h.Diff(floor.Want{Networks: append(prefixes("::/0", "::/0"), both.Networks...)}, there)
	assert.Equal(t, []floor.Route{rule}, d.Add)
	assert.Empty(t, d.Remove)
	_, after = d.Views()
	assert.Contains(t, after, "\n# a rule for the router's own packets: ::/0\n")

	changed := there
	changed.Routes = []floor.Route{{Network: a, Right: false}, {Network: b, Right: true}}
	d = h.Diff(both, changed)
	assert.Equal(t, []floor.Route{{Network: a, Right: true}}, d.Add)
	assert.Equal(t, []floor.Route{{Network: a, Right: false}}, d.Remove)

	d = h.Diff(both, floor.Have{})
	assert.Equal(t, []floor.Route{{Network: a, Right: true}}, d.Add, "a kernel without IPv6")
	assert.Contains(t, d.Write[0].Text, "fd00:2::/48", "it may have it at the next boot")

	bare := floor.Host{Folder: filepath.Join("/etc", "wgmesh")}
	d = bare.Diff(both, fresh)
	assert.Len(t, d.Write, 1, "without systemd")
	assert.False(t, d.Enable)
}
