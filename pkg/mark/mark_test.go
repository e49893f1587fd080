package mark_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/mark"
)

func TestOf(t *testing.T) {
	for text, mesh := range map[string]string{
		"# Managed by wgmesh.router (wg_tunnel).\n# mesh: routers\n[Interface]\n": "routers",
		"# by wgmesh.router\n# more\n# mesh: a-b.c_1\n":                           "a-b.c_1",
		"# by wgmesh.router\n[Interface]\n# mesh: routers\n":                      "", // not at the top
		"# mine\n# mesh: routers\n":                                               "", // somebody else's words
		"# by wgmesh.router\n# mesh: \x1b[31mred\n":                               "",
		"# by wgmesh.router\n":                                                    "",
		"":                                                                        "",
	} {
		assert.Equal(t, mesh, mark.Of(text), "%q", text)
	}
	assert.Equal(t, "# mesh: routers\n", mark.Owner{Mesh: "routers"}.Line())
	assert.Empty(t, mark.Owner{}.Line())
	require.NoError(t, mark.Owner{}.Validate())
	require.NoError(t, mark.Owner{Mesh: "tag_mesh_a-b", Before: "routers"}.Validate())
	for _, bad := range []string{"a b", "-a", "a\n", strings.Repeat("a", 64)} {
		require.ErrorContains(t, mark.Owner{Mesh: bad}.Validate(), "mesh_name", "%q", bad)
	}
}

// Whoever has a file where one of ours is to be keeps it.
func TestForeign(t *testing.T) {
	for text, ours := range map[string]bool{
		"# Written by the Ansible module wgmesh.router.wg_tunnel.\n[Service]\n": true,
		"": true, "\x00\x00\n": true, // what a power cut left
		"[Service]\nNice=5\n": false, "x": false,
	} {
		err := mark.Foreign("/etc/a.conf", []byte(text))
		assert.Equal(t, ours, err == nil, "%q", text)
		if !ours {
			assert.EqualError(t, err, "/etc/a.conf was not made by wgmesh.router: move it away")
		}
	}
}

func TestClaims(t *testing.T) {
	root := t.TempDir()
	put := func(path, text string) {
		path = filepath.Join(root, path)
		must.Write(t, path, text, 0o600)
	}
	claims := must.Get(mark.Observe(root))(t)
	assert.Empty(t, claims)

	put("etc/wireguard/wg0.conf", "# mesh: mine\n[Interface]\n")
	put("etc/wireguard/wg-road.conf", "# Managed by wgmesh.router (wg_tunnel).\n[Interface]\n")
	put("etc/wireguard/wgmesh-psk/2.json", `{"made_by":"wgmesh.router","tunnel":2}`)
	put("etc/wgmesh/gate.json", `{"mesh": "mine"}`)
	require.NoError(t, os.Symlink("wg-road.conf", filepath.Join(root, "etc/wireguard/wg7.conf")))
	claims = must.Get(mark.Observe(root))(t)
	assert.Empty(t, claims, "what a user made for himself")
	require.NoError(t, mark.Owner{Mesh: "routers"}.Refuse(claims))

	put("etc/wireguard/wg1.conf", "# Managed by wgmesh.router (wg_tunnel).\n# mesh: routers\n[Interface]\n")
	put("etc/wireguard/wg2.conf", "# Managed by wgmesh.router (wg_tunnel).\n# mesh: routers\n[Interface]\n")
	put("etc/wireguard/wgmesh-psk/1.json", `{"made_by":"wgmesh.router","mesh":"routers","tunnel":1}`)
	put("etc/wgmesh/gate.json",
		`{"made_by": "wgmesh.router", "mesh": "routers", "tunnels": [`+strings.Repeat(" ", 9000))
	claims = must.Get(mark.Observe(root))(t)
	assert.Len(t, claims, 4)
	require.NoError(t, mark.Owner{Mesh: "routers"}.Refuse(claims))
	require.NoError(t, mark.Owner{Mesh: "partners", Before: "routers"}.Refuse(claims),
		"it moves, or the mesh has a new name")
	require.NoError(t, mark.Owner{}.Refuse(claims), "nobody asks for a mesh")

	err := mark.Owner{Mesh: "partners"}.Refuse([]mark.Claim{
		{"routers", "/etc/bird/bird.conf"}, {"routers", "/etc/wireguard/wg1.conf"},
	})
	assert.EqualError(t, err,
		"this host is in the mesh routers (/etc/bird/bird.conf, /etc/wireguard/wg1.conf), "+
			"so it cannot be in partners: take it out there first (docs/leave.md)")
}
