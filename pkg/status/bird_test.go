package status_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/pkg/status"
)

// capture reads what a real BIRD 2.0.12 answered.
func capture(tb testing.TB, name string) string {
	tb.Helper()
	text, err := os.ReadFile("testdata/bird-2.0.12-" + name + ".txt")
	require.NoError(tb, err)
	return string(text)
}

func TestParseProtocols(t *testing.T) {
	assert.Equal(t, map[string]status.Session{
		"azure_2": {
			Name: "azure_2", Up: "up", State: "Established", Since: "11:21:44.295",
			NeighborAS: 65020, Imported: 3,
		},
		"gcp_1": {
			Name: "gcp_1", Up: "start", State: "Connect", Since: "11:21:43.391",
			NeighborAS: 65040, LastError: "Socket: No route to host",
		},
		"aws_1": {Name: "aws_1", Up: "down", State: "Down", Since: "11:21:43.391", NeighborAS: 65030},
		"wrongas": {
			Name: "wrongas", Up: "start", State: "Active", Since: "11:21:44.278",
			NeighborAS: 65030, LastError: "Socket: Connection reset by peer",
		},
	}, status.ParseProtocols(capture(t, "protocols")))

	limit := status.ParseProtocols(capture(t, "limit"))
	assert.True(t, limit["azure_2"].LimitHit)
	assert.False(t, limit["gcp_1"].LimitHit)
	assert.Equal(t, "Error: BFD session down", limit["wrongas"].LastError)
}

func TestParseOff(t *testing.T) {
	text := capture(t, "protocols")
	assert.Empty(t, status.ParseOff(text), "aws_1 is a session")
	text = strings.Replace(text, "master4    up  ", "master4    down", 1)
	assert.Equal(t, []string{"kernel1"}, status.ParseOff(text))
}

// A peer's shutdown message (RFC 9003) is words of another router.
func TestParseProtocolsBoundsForeignText(t *testing.T) {
	long := make([]byte, 500)
	for i := range long {
		long[i] = 'x'
	}
	s := status.ParseProtocols(
		"p BGP --- start 1 Idle\n  Last error:  Received: \x1b[31mred\x07\u0085 " + string(long) + "\n")
	assert.Contains(t, s["p"].LastError, "Received: [31mred xxx")
	assert.Len(t, s["p"].LastError, 120)
}

func FuzzParseProtocols(f *testing.F) {
	f.Add(capture(f, "protocols"))
	f.Add(capture(f, "limit"))
	f.Add("a BGP\n \n:\nb BGP --- up\n  Routes: -1 imported\n  Neighbor AS: 99999999999999999999\n")
	f.Fuzz(func(t *testing.T, text string) {
		for name, s := range status.ParseProtocols(text) {
			require.Equal(t, name, s.Name)
			require.NotEmpty(t, name)
			require.NotContains(t, s.LastError, "\n")
			require.NotContains(t, s.LastError, "\x1b")
		}
	})
}

func TestParseVersion(t *testing.T) {
	assert.Equal(t, "2.0.12", status.ParseVersion("BIRD 2.0.12\nRouter ID is 0.0.0.3\nDaemon is up and running"))
	assert.Equal(t, "3.1.8", status.ParseVersion("BIRD 3.1.8\nRouter ID is 0.0.0.3"))
	assert.Empty(t, status.ParseVersion("Router ID is 0.0.0.3"))
}
