//go:build lab

package lab

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestGroupsOfUnits shows that the end of a lab that is called "join" does not end the
// unit wgmesh-join.service on the routers of another lab.
func TestGroupsOfUnits(t *testing.T) {
	name := "units" + pid()
	host, err := makeGroups("wgmesh-other" + name + ".host.a")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kill(host, 10*time.Second)) })
	for _, tree := range host {
		require.NoError(t, os.Mkdir(filepath.Join(tree, "wgmesh-"+name+".service"), 0o755))
	}
	assert.Empty(t, groupsOf(name))
	assert.ElementsMatch(t, host, groupsOf("other"+name))
}
