//go:build lab

package proof_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/outage"
	"github.com/wgmesh/router/pkg/table"
)

// A paper is what a command prints at its end: a head, and tables. It is written after
// each event, so that a run that is cut short leaves what it has measured.
type paper struct {
	file   string
	head   []string
	sheets []*sheet
	loads  []float64
}

// A sheet is one table of what faults cost.
type sheet struct {
	title   string
	paper   *paper
	results []result
	limit   int64 // of the gap, in ms
	rows    func(*sheet) [][]string
	notes   func(*sheet) []string
}

// newPaper knows the machine and the programs. A whole run goes to docs/runs, a part of
// one to build.
func newPaper(t *testing.T, c aCase, name, options string, whole bool) *paper {
	t.Helper()
	folder := "build"
	if whole {
		folder = "docs/runs"
	}
	wireguard := "userspace WireGuard (wireguard-go)"
	if c.in(t, c.routers[0], "ip -o link show type wireguard") != "" {
		wireguard = "the kernel's WireGuard"
	}
	commit, _ := c.command(t, time.Minute, "git", "describe", "--always", "--dirty")
	model := "?"
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == "model name" {
			model = strings.TrimSpace(value)
		}
	}
	return &paper{file: filepath.Join(c.root, folder, name+".txt"), head: []string{
		fmt.Sprintf("make %s%s, at commit %s, begun %s", name, options, strings.TrimSpace(commit),
			time.Now().UTC().Format("2006-01-02 15:04 MST")),
		fmt.Sprintf("%d routers, %d tunnels, %d sites on one machine: %d x %s, Linux %s", len(c.routers),
			len(c.routers)*(len(c.routers)-1)/2, len(c.sites), runtime.NumCPU(), model,
			c.in(t, c.routers[0], "uname -r")),
		wireguard + ", " + strings.Join(strings.Fields(c.in(t, c.routers[0], "bird --version 2>&1 | grep BIRD")), " "),
	}}
}

func (s *sheet) add(r result) {
	s.results = append(s.results, r)
	if n, err := strconv.ParseFloat(r.load, 64); err == nil {
		s.paper.loads = append(s.paper.loads, n)
	}
}

// of are the results of a kind, those that have no other router apart.
func (s *sheet) of(kind string) (out []result) {
	for _, r := range s.results {
		if r.kind == kind {
			out = append(out, r)
		}
	}
	return out
}

// write writes the paper.
func (p *paper) write(t *testing.T) {
	t.Helper()
	var b strings.Builder
	for _, line := range p.head {
		fmt.Fprintln(&b, "# "+line)
	}
	if len(p.loads) > 0 {
		fmt.Fprintf(&b,
			"# load of the machine meanwhile: median %.1f, at most %.1f (this lab and whatever ran beside it); "+
				"ended %s\n",
			outage.Quantile(p.loads, 0.5), slices.Max(p.loads), time.Now().UTC().Format("2006-01-02 15:04 MST"))
	}
	for _, s := range p.sheets {
		fmt.Fprintf(&b, "\n%s\n", s.title)
		for _, line := range table.Lines(s.rows(s), 160) {
			fmt.Fprintln(&b, "  "+line)
		}
		for _, line := range s.notes(s) {
			fmt.Fprintln(&b, line)
		}
	}
	require.NoError(t, os.WriteFile(p.file, []byte(b.String()), 0o644))
}
