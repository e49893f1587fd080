package bird_test

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/bird"
	"github.com/wgmesh/router/pkg/plan"
)

var drain = plan.Drain{Since: time.Date(2026, 11, 27, 15, 30, 0, 0, time.UTC), Why: "a new kernel"}

// load reads a case of testdata and renders it.
func load(t *testing.T, dir string) (bird.Config, []byte) {
	t.Helper()
	var c bird.Config
	var host bird.Network
	for file, into := range map[string]any{"config.json": &c, "network.json": &host} {
		require.NoError(t, json.Unmarshal(must.Get(os.ReadFile(filepath.Join(dir, file)))(t), into), file)
	}
	if filepath.Base(dir) == "drain" {
		c.Drain = drain
	}
	require.NoError(t, c.Validate())
	c, src, _, err := bird.Resolve(c, host)
	require.NoError(t, err)
	text := bird.Render(c, src)
	return c, text
}

func cases(t *testing.T) []string {
	t.Helper()
	dirs := must.Get(filepath.Glob("testdata/*/config.json"))(t)
	require.NotEmpty(t, dirs)
	for i := range dirs {
		dirs[i] = filepath.Dir(dirs[i])
	}
	return dirs
}

func TestRenderGolden(t *testing.T) {
	for _, dir := range cases(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			_, got := load(t, dir)
			must.Golden(t, filepath.Join(dir, "bird.conf"), string(got))
		})
	}
}

// The order of the options' lists must not show: another order of the
// inventory is not a change.
func TestRenderIgnoresOrder(t *testing.T) {
	c, want := load(t, "testdata/dual")
	slices.Reverse(c.Static)
	slices.Reverse(c.Owners)
	slices.Reverse(c.Neighbors)
	slices.Reverse(c.Originate)
	for _, o := range c.Owners {
		slices.Reverse(o.Networks)
	}
	host := bird.Network{
		Interfaces: []bird.Interface{{Name: "ens4", Addresses: addrs("10.3.0.2", "fd00:3::2")}},
		Default6:   "ens4", Gateway6: netip.MustParseAddr("fe80::1"),
	}
	c, src, _, err := bird.Resolve(c, host)
	require.NoError(t, err)
	got := bird.Render(c, src)
	assert.Equal(t, string(want), string(got))
}

func TestStamp(t *testing.T) {
	c, text := load(t, "testdata/azure-1")
	stamp := bird.StampOf(text)
	assert.Len(t, stamp, 16)
	c.Drain = drain
	other := bird.Render(c, bird.Sources{})
	assert.NotEqual(t, stamp, bird.StampOf(other))
	assert.Empty(t, bird.StampOf([]byte("log syslog all;\n")))
	for name, text := range map[string]string{
		"comment": `# define wgmesh_config = "0123456789abcdef";`,
		"indent":  ` define wgmesh_config = "0123456789abcdef";`,
		"short":   `define wgmesh_config = "0123456789abcde";`,
		"capital": `define wgmesh_config = "0123456789ABCDEF";`,
		"more":    `define wgmesh_config = "0123456789abcdef"; x`,
		"return":  "define wgmesh_config = \"0123456789abcdef\";\r\n",
		"broken":  `define wgmesh_config = "0123456789abcdef`,
		"lines":   "define wgmesh_config = \"01234567\n89abcdef\";",
	} {
		assert.Empty(t, bird.StampOf([]byte(text)), name)
	}
	two := "x\ndefine wgmesh_config = \"0123456789abcdef\";\ndefine wgmesh_config = \"1123456789abcdef\";"
	assert.Equal(t, bird.Stamp("0123456789abcdef"), bird.StampOf([]byte(two)))
}
