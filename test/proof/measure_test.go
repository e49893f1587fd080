//go:build lab

package proof_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	measuredLine = regexp.MustCompile(
		`(?m)^(\S+ +- \S+ +wg\d+) +outside [\d.]+/[\d.]+ ms +\d+ % +inside [\d.]+/[\d.]+ ms +\d+ % +[+-] [\d.]+ ms\s*$`)
	throughputLine = regexp.MustCompile(
		`(?m)^aws-2 - gcp-1 +wg21 +outside [1-9]\d* Mbit/s +inside [1-9]\d* Mbit/s +\d+ %\s*$`)
)

func measure(t *testing.T, l lab) {
	before := l.states(t)
	counts, out := l.green(t, "measure", "-e", "mesh_measure_count=3", "-e", "mesh_measure_at_once=7")
	assert.Empty(t, counts.changed())
	tunnels := map[string]bool{}
	for _, m := range measuredLine.FindAllStringSubmatch(out, -1) {
		tunnels[m[1]] = true
	}
	assert.Len(t, tunnels, 21, "tunnels with both columns in the table:\n%s", tail(out))
	assert.Contains(t, out, "tunnels: 21, measured on both ways: 21")
	assert.NotContains(t, out, "healthy: ", "nobody asked")

	// A router that cannot does not end the run for those after it.
	wrong := filepath.Join(t.TempDir(), "wrong.yml")
	require.NoError(t, os.WriteFile(wrong, []byte("all: {hosts: {aws-1: {mesh_measure_count: 5000}}}\n"), 0o600))
	_, out = l.red(t, "measure", "-i", wrong, "--limit", "aws-1,aws-2", "-e", "mesh_measure_interval=0.1")
	assert.Contains(t, out, "count: 5000; expected 1 to 1000")
	assert.Regexp(t, measuredLine, out)

	// One tunnel, aws-2 (id 6) to gcp-1 (id 7), whose peer is not in the run.
	_, out = l.green(t, "measure", "--limit", "aws-2", "-e", "mesh_measure_throughput=true",
		"-e", "mesh_measure_seconds=1")
	assert.Regexp(t, throughputLine, out)
	assert.Empty(t, l.in(t, "gcp-1", "ss -Hltn sport = 5201"), "a server was left behind")
	l.unchanged(t, before)
}
