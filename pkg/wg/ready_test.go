package wg_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
	slash := plan.PublicKey{0xfc} // in base64 a key may begin as a path does
	require.True(t, strings.HasPrefix(slash.String(), "/"))
	peers := []plan.Peer{{PublicKey: slash, PresharedKeyFile: psk}}
	text := wg.Render(plan.Tunnel{Name: "wg1"}, peers, key, nft)
	require.NoError(t, h.WriteFile("wg1", text))
	boots := func() []string { return h.AtBoot(map[string]wg.Live{"wg1": {}}) }
	assert.Equal(t, []string{psk, key, nft}, boots())
	for _, path := range []string{key, psk, nft} {
		require.NoError(t, os.WriteFile(path, []byte("x"), 0o600))
	}
	assert.Empty(t, boots())
	require.NoError(t, os.Truncate(nft, 0))
	assert.Equal(t, []string{nft}, boots())
	for _, other := range []string{text[:len(text)-1], text + "# mine\n", "[Interface]\n", ""} {
		require.NoError(t, os.WriteFile(file, []byte(other), 0o600))
		assert.Contains(t, boots(), file, other)
	}
	require.NoError(t, os.Remove(file))
	assert.Equal(t, []string{file}, boots())
}

// Who edits a file together with its copy, as with sed on all of a folder, has a tunnel at the next boot that is
// another one than today's.
func TestAtBootEditedWithItsCopy(t *testing.T) {
	dir := t.TempDir()
	h := must.Get(wg.Open(dir))(t)
	t.Cleanup(func() { _ = h.Close() })
	peer := plan.Peer{
		PublicKey: keyOf("ann"), Endpoint: netip.MustParseAddrPort("203.0.113.2:51820"),
		AllowedIPs: prefixes("10.1.0.0/16 10.2.0.0/16"),
	}
	tunnel := plan.Tunnel{Name: "wg1", ListenPort: 51801, MTU: 1420}
	text := wg.Render(tunnel, []plan.Peer{peer}, "/dev/null", "")
	live := wg.Live{
		Port: 51801, MTU: 1420, Key: peer.PublicKey, Endpoint: peer.Endpoint,
		Allowed: prefixes("10.2.0.0/16 10.1.7.0/24 10.1.0.0/16"),
	}
	for edit, want := range map[string]int{
		"a=a": 0, "51801=51802": 1, "1420=1380": 1, "203.0.113.2=203.0.113.3": 1, "10.1.0.0/16=10.1.0.0/17": 1,
		", 10.2.0.0/16=": 1, ", 10.2.0.0/16=, 10.2.0.0/16, 10.3.0.0/16": 1,
		peer.PublicKey.String()[:43] + "=" + keyOf("bob").String()[:43]: 1,
	} {
		from, to, _ := strings.Cut(edit, "=")
		require.NoError(t, h.WriteFile("wg1", strings.ReplaceAll(text, from, to)))
		wrong := slices.DeleteFunc(h.AtBoot(map[string]wg.Live{"wg1": live}), func(path string) bool {
			return path == "/dev/null"
		})
		assert.Len(t, wrong, want, edit)
	}
	require.NoError(t, h.WriteFile("wg1", text))
	live.Key = plan.PublicKey{}
	live.Allowed = nil
	assert.Equal(t, []string{"/dev/null"}, h.AtBoot(map[string]wg.Live{"wg1": live}), "two peers, while keys change")
}
