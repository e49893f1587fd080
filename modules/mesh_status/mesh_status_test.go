package meshstatus_test

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	meshstatus "github.com/wgmesh/router/modules/mesh_status"
)

// missing is a router on which nothing is set up: it has no such interface and
// no BIRD, on every machine where tests run.
func missing(t *testing.T) meshstatus.Options {
	t.Helper()
	var o meshstatus.Options
	o.SetDefaults()
	o.Router = "azure-1"
	o.ControlSocket = filepath.Join(t.TempDir(), "bird.ctl")
	o.Tunnels = []meshstatus.Tunnel{{Name: "wgnone20", Peer: "aws-2", Neighbor: "aws_2", Address: netip.MustParseAddr("172.31.20.2")}}
	require.NoError(t, o.Validate())
	return o
}

func TestExpectHealthyFailsWithEveryProblem(t *testing.T) {
	p, err := meshstatus.Plan(context.Background(), missing(t))
	require.Error(t, err)
	assert.ErrorContains(t, err, "wgnone20 to aws-2: no such interface")
	assert.ErrorContains(t, err, "BIRD does not answer")
	assert.Equal(t, false, p.Return["healthy"])
}

func TestExpectAnyReports(t *testing.T) {
	o := missing(t)
	o.Expect = "any"
	o.Require = []string{"gcp-1"}
	o.MetricsFile = filepath.Join(t.TempDir(), "wgmesh.prom")
	p, err := meshstatus.Plan(context.Background(), o)
	require.NoError(t, err)
	assert.False(t, p.Changed)
	assert.Len(t, p.Return["problems"], 2)
	assert.Len(t, p.Return["lines"], 2)

	assert.NoFileExists(t, o.MetricsFile, "planning wrote a file")
	require.NoError(t, p.Record(context.Background()))
	text, err := os.ReadFile(o.MetricsFile)
	require.NoError(t, err)
	assert.Contains(t, string(text), `wgmesh_healthy{router="azure-1"} 0`)
}

func TestValidate(t *testing.T) {
	o := meshstatus.Options{Expect: "green", Wait: -1, Tunnels: []meshstatus.Tunnel{{}}, Prefixes: []meshstatus.Prefix{{}}}
	err := o.Validate()
	for _, field := range []string{"expect", "wait", "tunnels[0]", "prefixes[0]"} {
		assert.ErrorContains(t, err, field)
	}
}
