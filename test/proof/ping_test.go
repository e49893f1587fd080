//go:build lab

package proof_test

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/outage"
)

// payload is what the case measured with: ping -s1272.
const payload = "1272"

type node struct {
	Site     string `json:"lab_site"`
	Zone     string `json:"lab_zone"`
	ID       int    `json:"mesh_id"` // of a router
	Address  string `json:"lab_address"`
	Address6 string `json:"lab_address6"`
	Endpoint string `json:"mesh_endpoint"` // of a router
}

func (l lab) addresses(t *testing.T) map[string]node {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ansible-inventory", "-i", l.inventory(), "--list")
	out := must.Get(cmd.Output())(t)
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

// ping wants three answers, however many it has to ask for.
func (l lab) ping(t *testing.T, from, address string) {
	t.Helper()
	out, err := l.try(t, "exec", from, "ping", "-q", "-c", "3", "-i", "0.3", "-w", "60", "-s", payload, address)
	assert.NoError(t, err, "%s to %s: %s", from, address, out)
}

// A stream is a ping every 20 ms from one node to another.
type stream struct {
	name string
	cmd  *exec.Cmd
	out  *output
}

// output is what a program has printed so far.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (l lab) stream(t *testing.T, from, to string) *stream {
	t.Helper()
	return l.streamEvery(t, "0.02", from, to)
}

// streamEvery is a stream of another interval, in seconds. It has an answer already.
func (l lab) streamEvery(t *testing.T, interval, from, to string) *stream {
	t.Helper()
	s := l.streamTo(t, interval, from, l.addresses(t)[to].Address)
	s.name = from + " to " + to
	s.waitAnswer(t, time.Time{})
	return s
}

// flow has two nodes exchange at least 200 packets a second each way. It takes four pings,
// since one that sends more often than every 10 ms keeps a processor busy, and a kernel of
// 250 Hz makes 16 ms of ten.
func (l lab) flow(t *testing.T, a, b string) (streams []*stream) {
	t.Helper()
	for range 2 {
		streams = append(streams, l.streamEvery(t, "0.01", a, b), l.streamEvery(t, "0.01", b, a))
	}
	return streams
}

func (l lab) streamTo(t *testing.T, interval, from, address string) *stream {
	t.Helper()
	return l.start(t, from, "ping", "-D", "-n", "-i", interval, "-s", payload, address)
}

// start has a host run a program until the stream is stopped, or for four hours.
func (l lab) start(t *testing.T, host string, command ...string) *stream {
	t.Helper()
	s := &stream{name: host + ": " + strings.Join(command, " "), out: &output{}}
	s.cmd = exec.Command(filepath.Join(l.root, "build/lab-tool"),
		append([]string{"exec", "--name", l.name, host, "timeout", "14400"}, command...)...)
	s.cmd.Dir = l.root
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	require.NoError(t, s.cmd.Start())
	t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	return s
}

// waitAnswer waits until the stream has an answer that came later than a moment.
func (s *stream) waitAnswer(t *testing.T, since time.Time) {
	t.Helper()
	require.Eventually(t, func() bool {
		list := outage.Answers(s.out.String())
		return len(list) > 0 && list[len(list)-1].At.After(since)
	}, patience, 50*time.Millisecond, "%s: no answer any more", s.name)
}

// end ends what a stream runs.
func (s *stream) end() {
	_ = s.cmd.Process.Signal(syscall.SIGINT)
	_ = s.cmd.Wait()
}

// answers are the answers to a stream that was stopped.
func (s *stream) answers(t *testing.T) []outage.Answer {
	t.Helper()
	out := outage.Answers(s.out.String())
	require.NotEmpty(t, out, "%s: not one answer: %s", s.name, s.out)
	return out
}

// lost counts the pings without an answer between the first and the last answer.
func (s *stream) lost(t *testing.T) int {
	t.Helper()
	return outage.Lost(s.answers(t))
}

// gap is the longest time between two answers, in seconds of the clock: of the one
// before it and of the one after it.
func (s *stream) gap(t *testing.T) (from, to float64) {
	t.Helper()
	a, b := outage.Longest(s.answers(t))
	return float64(a.UnixMicro()) / 1e6, float64(b.UnixMicro()) / 1e6
}

// stop ends the stream as soon as it is answered, and tells the longest time without an answer.
func (s *stream) stop(t *testing.T) time.Duration {
	t.Helper()
	s.waitAnswer(t, time.Now())
	s.end()
	from, to := outage.Longest(s.answers(t))
	return to.Sub(from).Round(time.Millisecond)
}

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

	// What no router takes is refused before one is asked.
	_, out = l.red(t, "measure", "--limit", "aws-1,aws-2", "-e", "mesh_measure_count=5000")
	assert.Contains(t, out, "mesh_measure_count: got 5000, expected a whole number from 1 to 1000")
	assert.NotRegexp(t, measuredLine, out)

	// One tunnel, aws-2 (id 6) to gcp-1 (id 7), whose peer is not in the run.
	_, out = l.green(t, "measure", "--limit", "aws-2", "-e", "mesh_measure_throughput=true",
		"-e", "mesh_measure_seconds=1")
	assert.Regexp(t, throughputLine, out)
	assert.Empty(t, l.in(t, "gcp-1", "ss -Hltn sport = 5201"), "a server was left behind")
	l.unchanged(t, before)
}

// A row is one of the table that a failed run ends with.
type row struct{ routers, follows, text string }

const tableHead = "CAUSE -> WHAT TO DO"

// causes reads that table, and looks that there is one, that it is the last that the
// run says before the recap, and that a terminal of 80 columns shows it.
func causes(t *testing.T, out string) []row {
	t.Helper()
	if !assert.Equal(t, 1, strings.Count(out, tableHead), "tables at the end: %s", tail(out)) {
		return nil
	}
	begin := strings.LastIndex(out[:strings.Index(out, tableHead)], "\n") + 1
	table, rest, _ := strings.Cut(out[begin:], "\nok: [")
	assert.Regexp(t, `^[^\n]*\n+PLAY RECAP`, rest, "something comes after the table")
	head, body, _ := strings.Cut(table, "\n")
	follows, text := strings.Index(head, "FOLLOWS"), strings.Index(head, tableHead)
	var rows []row
	for line := range strings.Lines(body) {
		line = strings.TrimRight(line, "\n")
		assert.LessOrEqual(t, len(line), 80, line)
		assert.Regexp(t, `^[ -~]*$`, line)
		line += strings.Repeat(" ", max(0, text-len(line)))
		if strings.TrimSpace(line[follows:text]) != "" {
			rows = append(rows, row{follows: strings.TrimSpace(line[follows:text])})
		}
		if assert.NotEmpty(t, rows, line) {
			r := &rows[len(rows)-1]
			r.routers = strings.TrimSpace(r.routers + " " + strings.TrimSpace(line[:follows]))
			r.text = strings.TrimSpace(r.text + " " + strings.TrimSpace(line[text:]))
		}
	}
	seen := map[string]bool{}
	for _, r := range rows {
		assert.Regexp(t, regexp.MustCompile(`\S.* -> \S`), r.text, "it does not say what to do")
		assert.LessOrEqual(t, len(r.text), 160+len(" -> "), r.text)
		assert.False(t, seen[r.text], "twice: %s", r.text)
		seen[r.text] = true
	}
	return rows
}

// flat is what a run said on one line, so that no width of a table is in the way.
func flat(out string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(out), " "), " -> ", ": ")
}

// said is the table as one text.
func said(rows []row) string {
	var b strings.Builder
	for _, r := range rows {
		b.WriteString(r.routers + ", " + r.follows + ": " + r.text + "\n")
	}
	return b.String()
}
