package meshplan_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/pkg/wg"
)

// A default gives no other addresses to tunnels that are there.
func TestKeepsAddresses(t *testing.T) {
	for name, tt := range map[string]struct {
		file, pool string
		look       bool
		want       string
	}{
		"no tunnel": {look: true},
		"the old default": {
			file: wg.Mark + "\n[Interface]\nAddress = 172.31.0.2/31\n", look: true,
			want: "wg1 has 172.31.0.2/31, mesh_link_pool is not set and its default is 198.18.0.0/16: " +
				"set it to 172.31.0.0/16",
		},
		"another pool": {
			file: wg.Mark +
				"\n[Interface]\nAddress = fd00::/127\nAddress = 10.9.0.2/31\n", look: true,
			want: "wg1 has 10.9.0.2/31, mesh_link_pool is not set and its default is 198.18.0.0/16: " +
				"set it to its network",
		},
		"the default":     {file: wg.Mark + "\n[Interface]\nAddress = 198.18.0.2/31\n", look: true},
		"somebody else's": {file: "[Interface]\nAddress = 172.31.0.2/31\n", look: true},
		"spoilt":          {file: wg.Mark + "\n[Interface]\nAddress = 172.31\n", look: true},
		"said, so renumber": {
			file: wg.Mark + "\n[Interface]\nAddress = 172.31.0.2/31\n", pool: "link_pool: 10.9.0.0/16\n",
		},
		"said, so keep": {
			file: wg.Mark + "\n[Interface]\nAddress = 172.31.0.2/31\n", pool: "link_pool: 172.31.0.0/16\n",
		},
		"by a variable of the play, so keep": {
			file: wg.Mark + "\n[Interface]\nAddress = 172.31.0.2/31\n",
			pool: "link_pool: 172.31.0.0/16\n", look: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if tt.file != "" {
				require.NoError(t, os.WriteFile(filepath.Join(dir, "wg1.conf"), []byte(tt.file), 0o600))
			}
			options := small + tt.pool
			if tt.look {
				options += "tunnel_directory: " + dir + "\n"
			}
			result := run(t, options)
			if tt.want == "" {
				assert.NotContains(t, result, "failed", result["msg"])
				return
			}
			assert.Contains(t, result["msg"], tt.want)
			assert.LessOrEqual(t, len(result["msg"].(string)), 160)
			assert.NotContains(t, result["msg"], "...", "nothing was cut")
		})
	}
}
