package status

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/cause"
)

func TestMissingTables(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	must.Write(t, file("nft"), "#!/bin/sh\necho 'table inet one\ntable ip two\ntable inet two_more'\n", 0o755)
	for _, name := range []string{"one.nft", "two.nft"} {
		require.NoError(t, os.WriteFile(file(name), nil, 0o600))
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	tables := []NFTable{
		{"one", file("one.nft"), "x"},
		{"two", file("two.nft"), "nobody is held back"},
		{"three", file("three.nft"), "y"},
	}
	assert.Equal(t,
		[]cause.Cause{
			cause.New(
				"table inet two is not loaded, so nobody is held back: "+
					"run nft -f %s, and look for what flushes nftables", file("two.nft")),
		},
		missingTables(t.Context(), tables))

	require.NoError(t, os.WriteFile(file("nft"), []byte("#!/bin/sh\nexit 1\n"), 0o755))
	missing := missingTables(t.Context(), tables)
	require.Len(t, missing, 2)
	assert.Contains(t, missing[0].Found, "table inet one cannot be looked for (nft list tables: exit status 1)")
	assert.Empty(t, missingTables(t.Context(), tables[2:]), "a host without our files needs no nft")
}

// A table that is gone makes a router red, and takes no change back.
func TestCheckTables(t *testing.T) {
	rep := Judge(Request{}, Observation{
		MissingTables: []cause.Cause{cause.New("table inet two is not loaded: load it")},
	})
	assert.False(t, rep.Healthy())
	assert.True(t, rep.RequiredHealthy())
	assert.Equal(t, []string{"table inet two is not loaded: load it"}, rep.Texts())
}
