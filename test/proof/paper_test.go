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

// failover is the sheet of make failover with one speed of BFD.
func (p *paper) failover(bfd string) *sheet {
	s := &sheet{title: "BFD 300 ms x 3 (mesh_bfd: normal)", paper: p, rows: (*sheet).costs, notes: (*sheet).goals}
	s.limit = 1000
	if bfd == "fast" {
		s.title, s.limit = "BFD 100 ms x 3 (mesh_bfd: fast)", 400
	}
	p.sheets = append(p.sheets, s)
	return s
}

// rowKinds are the kinds that a table has rows for, with their words.
func rowKinds() (out [][2]string) {
	for _, kind := range kinds {
		out = append(out, [2]string{kind, kindWords[kind]})
		if strings.HasPrefix(kind, "bird-") {
			out = append(out, [2]string{kind + "-alone", kindWords[kind] + ", its site's only router"})
		}
	}
	return out
}

// costs are the rows of make failover.
func (s *sheet) costs() [][]string {
	rows := [][]string{{
		"fault", "times", "felt", "gap ms: p50", "p99", "max", "at repair: max", "back s: p50", "max", "false alarms",
	}}
	for _, k := range rowKinds() {
		list := s.of(k[0])
		if len(list) == 0 {
			continue
		}
		var gaps []int64
		var back []float64
		var again int64
		alarms := 0
		for _, r := range list {
			if r.gap > 0 {
				gaps = append(gaps, r.gap.Milliseconds())
			}
			again = max(again, r.again.Milliseconds())
			back = append(back, r.back.Seconds())
			alarms += len(r.false)
		}
		gap := func(share float64) string { return fmt.Sprint(outage.Quantile(gaps, share)) }
		second := func(share float64) string { return fmt.Sprintf("%.2f", outage.Quantile(back, share)) }
		rows = append(rows, []string{
			k[1], fmt.Sprint(len(list)), fmt.Sprint(len(gaps)), gap(0.5), gap(0.99), gap(1), fmt.Sprint(again),
			second(0.5), second(1), fmt.Sprint(alarms),
		})
	}
	return rows
}

// goals compares what was measured with what is wanted: issue 13.
func (s *sheet) goals() []string {
	missed := map[string][]string{}
	const back = "sessions back in < 2 s"
	silent, told := fmt.Sprintf("p99 < %d ms of what only BFD notices",
		s.limit), "p99 <= 20 ms of what a router is told"
	for _, k := range rowKinds() {
		for _, r := range s.of(k[0]) {
			switch ms := r.gap.Milliseconds(); {
			case strings.HasSuffix(k[0], "-alone"):
			case k[0] == "flap": // it has no end that somebody could notice
			case k[0] == "bird-killed" || k[0] == "interface":
				if ms > 20 {
					missed[told] = append(missed[told], k[0])
				}
			case ms >= s.limit:
				missed[silent] = append(missed[silent], k[0])
			}
			if r.back.Seconds() >= 2 {
				missed[back] = append(missed[back], k[0])
			}
		}
	}
	var out []string
	for _, goal := range []string{silent, told, back} {
		said := "met by every fault"
		if len(missed[goal]) > 0 {
			said = fmt.Sprintf("missed %d times: %s", len(missed[goal]), counted(missed[goal]))
		}
		out = append(out, "goal "+goal+": "+said)
	}
	var boots []float64
	for _, r := range s.results {
		if r.boot > 0 {
			boots = append(boots, r.boot.Seconds())
		}
	}
	if len(boots) > 0 {
		out = append(out,
			fmt.Sprintf(
				"from power on until the last BIRD ran: p50 %.1f s, max %.1f s; back counts from there. "+
					"A gap at the repair of power is",
				outage.Quantile(boots, 0.5), outage.Quantile(boots, 1)),
			"the lab's: its gateways send to a router as soon as it has a link, before its BIRD has a route")
	}
	return out
}

// counted is "tunnel 2, zone 1" of "tunnel", "zone", "tunnel".
func counted(words []string) string {
	var out []string
	for _, k := range rowKinds() {
		n := 0
		for _, w := range words {
			if w == k[0] {
				n++
			}
		}
		if n > 0 {
			out = append(out, fmt.Sprintf("%s %d", k[0], n))
		}
	}
	return strings.Join(out, ", ")
}
