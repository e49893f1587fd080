package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const failoverFile = `{"router": "aws-1", "cloud": "aws", "mesh": "example", "prefixes": ["10.0.0.0/16"], "tables": ["rtb-0a", "rtb-1a"], "after": 300,
  "peers": [{"name": "office-1", "interface": "wg1", "address": "172.31.0.2"}],
  "partners": [{"name": "aws-2", "interface": "wg3", "address": "172.31.0.7", "tables": ["rtb-0c"], "before": []}],
  "socket": "/nonexistent/bird.ctl", "metadata_endpoint": "http://127.0.0.1:1"}`

// write makes a file of that content.
func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "failover.json")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestFailoverCommand(t *testing.T) {
	good, bad := write(t, failoverFile), write(t, strings.Replace(failoverFile, `"mesh": "example"`, `"mesh": ""`, 1))
	for name, tt := range map[string]struct {
		args        []string
		status      int
		out, errOut string
	}{
		"help":          {[]string{"--help"}, 0, "stopping it changes nothing", ""},
		"a good file":   {[]string{"--check", good}, 0, "", ""},
		"a bad file":    {[]string{bad}, badConfig, "", "wgmesh-cloud failover: " + bad + ": mesh: it is empty"},
		"a bad file, 2": {[]string{"--check", bad}, badConfig, "", "mesh: it is empty"},
		"no file":       {[]string{"/nonexistent"}, badConfig, "", "/nonexistent: no such file"},
		"two files":     {[]string{good, bad}, usage, "", "is one argument too many"},
		"two wishes":    {[]string{"--check", "--show"}, usage, "", "--check or --show, not both"},
		"another wish":  {[]string{"--stop"}, usage, "", "-stop"},
		"no metadata":   {[]string{"--show", good}, tryAgain, "", "wgmesh-cloud failover: metadata mac: "},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errOut bytes.Buffer
			assert.Equal(t, tt.status, failoverCommand(t.Context(), tt.args, &out, &errOut))
			assert.Contains(t, out.String(), tt.out)
			assert.Contains(t, errOut.String(), tt.errOut)
			if tt.status != usage {
				assert.LessOrEqual(t, strings.Count(errOut.String(), "\n"), 1)
			}
		})
	}
}

// It says what it watches, and ends when it is told to.
func TestFailoverWatchesUntilTheEnd(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var out, errOut bytes.Buffer
	assert.Zero(t, failoverCommand(ctx, []string{write(t, failoverFile)}, &out, &errOut))
	assert.Equal(t, "aws-1 keeps rtb-0a, rtb-1a; rtb-0c is for aws-2\n", out.String())
	assert.Empty(t, errOut.String())
}
