package wg_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/wg"
)

// networkd with a file for whatever interface there is takes the addresses of a tunnel away, so
// each tunnel has one that comes before.
func TestNetworkdLeavesTunnelsAlone(t *testing.T) {
	dir, networkd := t.TempDir(), t.TempDir()
	h := must.Get(wg.Open(dir))(t)
	t.Cleanup(func() { _ = h.Close() })
	h.Networkd(networkd)
	text := wg.Render(plan.Tunnel{Name: "wg1"}, nil, "/dev/null", "")
	whole := func() bool {
		f := must.Get(h.Files())(t)["wg1"]
		return f.Ours && f.Text == f.Copy
	}
	require.NoError(t, h.WriteFile("wg1", text))
	path := networkd + "/00-wgmesh-wg1.network"
	assert.Contains(t, string(must.Get(os.ReadFile(path))(t)), "[Match]\nName=wg1\n\n[Link]\nUnmanaged=yes\n")
	assert.True(t, whole())

	require.NoError(t, os.WriteFile(path, nil, 0o600)) // as a power cut leaves it
	assert.False(t, whole())
	require.NoError(t, os.Remove(path)) // as an older version has it
	assert.False(t, whole(), "nobody would write it")
	require.NoError(t, os.WriteFile(path, []byte("[Match]\nName=wg1\n"), 0o600))
	_, err := h.Files()
	require.ErrorContains(t, err, path+" was not made by wgmesh.router")

	require.NoError(t, h.WriteFile("wg1", text))
	require.NoError(t, h.RemoveFile("wg1"))
	assert.NoFileExists(t, path)
}
