//go:build lab

package proof_test

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// payload is what the case measured with: ping -s1272.
const payload = "1272"

type node struct {
	Site     string `json:"lab_site"`
	Address  string `json:"lab_address"`
	Address6 string `json:"lab_address6"`
}

func (l lab) addresses(t *testing.T) map[string]node {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ansible-inventory", "-i", l.inventory(), "--list")
	out, err := cmd.Output()
	require.NoError(t, err)
	var list struct {
		Meta struct {
			Hostvars map[string]node `json:"hostvars"`
		} `json:"_meta"`
	}
	require.NoError(t, json.Unmarshal(out, &list))
	return list.Meta.Hostvars
}

// allPing pings every node from every node of another site, all at once.
func (l lab) allPing(t *testing.T) {
	t.Helper()
	hosts := l.addresses(t)
	var wg sync.WaitGroup
	for _, from := range l.nodes {
		for _, to := range l.nodes {
			if hosts[from].Site == hosts[to].Site {
				continue
			}
			wg.Go(func() {
				l.ping(t, from, hosts[to].Address)
				if hosts[from].Address6 != "" && hosts[to].Address6 != "" {
					l.ping(t, from, hosts[to].Address6)
				}
			})
		}
	}
	wg.Wait()
}

func (l lab) ping(t *testing.T, from, address string) {
	t.Helper()
	out, err := l.try(t, "exec", from, "ping", "-q", "-c", "3", "-i", "0.3", "-W", "30", "-s", payload, address)
	assert.NoError(t, err, "%s to %s: %s", from, address, out)
}

// A stream is a ping every 20 ms from one node to another.
type stream struct {
	name string
	cmd  *exec.Cmd
	out  *strings.Builder
}

func (l lab) stream(t *testing.T, from, to string) *stream {
	t.Helper()
	return l.streamEvery(t, "0.02", from, to)
}

// streamEvery is a stream of another interval, in seconds.
func (l lab) streamEvery(t *testing.T, interval, from, to string) *stream {
	t.Helper()
	s := &stream{name: from + " to " + to, out: &strings.Builder{}}
	s.cmd = exec.Command(filepath.Join(l.root, "build/lab-tool"), "exec", "--name", l.name, from,
		"timeout", "1200", "ping", "-D", "-n", "-i", interval, "-s", payload, l.addresses(t)[to].Address)
	s.cmd.Dir = l.root
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	require.NoError(t, s.cmd.Start())
	t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	return s
}

var stamp = regexp.MustCompile(`(?m)^\[(\d+\.\d+)\] \d+ bytes from`)

// stop ends the stream and tells the longest time without an answer.
func (s *stream) stop(t *testing.T) time.Duration {
	t.Helper()
	end := float64(time.Now().UnixMicro()) / 1e6
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGINT))
	_ = s.cmd.Wait()
	stamps := stamp.FindAllStringSubmatch(s.out.String(), -1)
	require.NotEmpty(t, stamps, "%s: not one answer: %s", s.name, s.out)
	var last, longest float64
	for i, m := range append(stamps, []string{"", strconv.FormatFloat(end, 'f', 6, 64)}) {
		at, err := strconv.ParseFloat(m[1], 64)
		require.NoError(t, err)
		if i > 0 {
			longest = max(longest, at-last)
		}
		last = at
	}
	return time.Duration(longest * float64(time.Second)).Round(time.Millisecond)
}
