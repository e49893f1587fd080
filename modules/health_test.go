package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
)

// What a load balancer is told: a drained router refuses while another one of its site is
// there, and is the last way out otherwise.
func TestHealthTellsTheBalancer(t *testing.T) {
	session := func(neighbor, state string) string {
		return "x BGP --- up 11:21:44.295 " + state + "\n  BGP state:          " + state +
			"\n    Neighbor AS:      " + neighbor + "\n    Local AS:         65010\n"
	}
	const drained = "drained: 2026-11-27T15:30:00Z a new kernel\n"
	const told = "drained since 2026-11-27T15:30:00Z a new kernel"
	const alone = told + "; no other router of the site is in reach; "
	far, near := session("65020", "Established"), session("65010", "Established")
	gone := session("65010", "Active")
	for name, tt := range map[string]struct{ says, status, body string }{
		"well":         {near + far, "200", "1 of 1 BGP sessions to other sites are up"},
		"cut off":      {near + session("65020", "Active"), "503", "0 of 1 BGP sessions to other sites are up"},
		"drained":      {far + near + drained, "503", told},
		"one of two":   {gone + near + far + drained, "503", told},
		"the only one": {far + drained, "503", told},
		"no BIRD":      {"", "503", "0 of 0 BGP sessions to other sites are up"},
		"nobody's way": {
			gone + session("65020", "Down") + drained, "503",
			alone + "0 of 1 BGP sessions to other sites are up",
		},
		"last way out": {gone + far + drained, "200", alone + "1 of 1 BGP sessions to other sites are up"},
		"last of three": {
			far + gone + gone + far + drained, "200",
			alone + "2 of 2 BGP sessions to other sites are up",
		},
	} {
		t.Run(name, func(t *testing.T) {
			sessions := filepath.Join(t.TempDir(), "sessions")
			require.NoError(t, os.WriteFile(sessions, []byte(tt.says), 0o600))
			script := string(must.Get(os.ReadFile(roleFiles + "root/usr/local/libexec/wgmesh-health.sh"))(t))
			cmd := exec.Command("sh", "-c", strings.ReplaceAll(script, "/run/wgmesh-health/sessions", sessions))
			cmd.Stdin = strings.NewReader("GET / HTTP/1.1\r\nHost: router\r\n\r\n")
			head, body, _ := strings.Cut(string(must.Get(cmd.Output())(t)), "\r\n\r\n")
			assert.Equal(t, tt.status, strings.Fields(head)[1])
			assert.Equal(t, tt.body+"\n", body)
		})
	}
}
