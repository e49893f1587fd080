package wg_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/wg"
)

// A tunnel comes up at boot from its file, as it was written, and from those that its hooks name.
func TestAtBoot(t *testing.T) {
	dir := t.TempDir()
	h := must.Get(wg.Open(dir))(t)
	t.Cleanup(func() { _ = h.Close() })
	key, psk, nft := dir+"/wgmesh.key", dir+"/1.psk", dir+"/wgmesh.nft"
	file := filepath.Join(dir, "wg1.conf")
	peers := []plan.Peer{{PublicKey: plan.PublicKey{1}, PresharedKeyFile: psk}}
	text := wg.Render(plan.Tunnel{Name: "wg1"}, peers, key, nft)
	require.NoError(t, h.WriteFile("wg1", text))
	assert.Equal(t, []string{psk, key, nft}, h.AtBoot([]string{"wg1"}))
	for _, path := range []string{key, psk, nft} {
		require.NoError(t, os.WriteFile(path, []byte("x"), 0o600))
	}
	assert.Empty(t, h.AtBoot([]string{"wg1"}))
	require.NoError(t, os.Truncate(nft, 0))
	assert.Equal(t, []string{nft}, h.AtBoot([]string{"wg1"}))
	for _, other := range []string{text[:len(text)-1], text + "# mine\n", "[Interface]\n", ""} {
		require.NoError(t, os.WriteFile(file, []byte(other), 0o600))
		assert.Contains(t, h.AtBoot([]string{"wg1"}), file, other)
	}
	require.NoError(t, os.Remove(file))
	assert.Equal(t, []string{file}, h.AtBoot([]string{"wg1"}))
}
