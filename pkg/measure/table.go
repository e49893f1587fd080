package measure

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/order"
	"github.com/wgmesh/router/pkg/table"
)

const tableWidth = 100

// Table draws the results side by side, one line a tunnel: first the times, then
// the throughput of those where it was asked for. What has not been measured yet
// shows its address. The last line of each sums up.
func Table(results []Result) []string {
	if len(results) == 0 {
		return []string{"no tunnel to measure: a router measures those to routers of a higher id"}
	}
	var times, rates [][]string
	for _, r := range results {
		name := []string{r.Router, "-", r.Peer, " " + r.Name}
		if !r.only() {
			cells := slices.Concat(name, []string{"  outside"}, r.Outside.times(),
				[]string{"  inside"}, r.Inside.times())
			times = append(times, append(cells, difference(r)))
		}
		if r.rated() {
			cells := slices.Concat(name, []string{"  outside", r.Outside.rate(), "  inside", r.Inside.rate()})
			rates = append(rates, append(cells, share(r)))
		}
	}
	var lines []string
	if len(times) > 0 {
		lines = append(table.Lines(times, tableWidth, 0, 2), sumTimes(results))
	}
	if len(rates) > 0 {
		lines = append(append(lines, table.Lines(rates, tableWidth, 0, 2)...), sumRates(results))
	}
	return lines
}

// rated reports whether throughput was measured, or tried.
func (r Result) rated() bool {
	return r.Outside.Throughput != (Throughput{}) || r.Inside.Throughput != (Throughput{})
}

// only reports whether throughput is all that was measured.
func (r Result) only() bool {
	return r.rated() && r.Outside.Ping == (Ping{}) && r.Inside.Ping == (Ping{})
}

// times are two cells: least and average round-trip time, and loss.
func (p Path) times() []string {
	switch {
	case !p.Address.IsValid():
		return []string{"no endpoint", ""}
	case p.Sent == 0 && p.PingError == "":
		return []string{p.Address.String(), ""}
	case p.Sent == 0:
		return []string{"not measured", ""}
	case !p.Answered():
		return []string{"no answer", ""}
	}
	return []string{
		fmt.Sprintf("%.[3]*[1]f/%.[3]*[2]f ms", p.Min, p.Avg, digits(p.Avg)),
		strconv.Itoa(int(math.Ceil(p.Loss()))) + " %",
	}
}

// digits is how many matter after the point of a time in milliseconds.
func digits(ms float64) int {
	if math.Abs(ms) < 1 {
		return 2
	}
	return 1
}

// cost is what the tunnel adds to the average time, in milliseconds.
func (r Result) cost() (ms float64, known bool) {
	return r.Inside.Avg - r.Outside.Avg, r.Inside.Answered() && r.Outside.Answered()
}

func difference(r Result) string {
	ms, known := r.cost()
	if !known {
		return ""
	}
	return "  " + signed(ms)
}

func signed(ms float64) string {
	sign := "+"
	if ms < 0 {
		sign = "-"
	}
	return fmt.Sprintf("%s %.*f ms", sign, digits(ms), math.Abs(ms))
}

func (p Path) rate() string {
	switch {
	case !p.Address.IsValid():
		return "no endpoint"
	case p.Blocked:
		return "blocked"
	case p.Missing != "":
		return "no iperf3"
	case p.ThroughputError != "":
		return "not measured"
	case p.Mbits == 0:
		return "-"
	}
	return strconv.FormatFloat(p.Mbits, 'f', 0, 64) + " Mbit/s"
}

// share is the throughput inside in parts of that outside.
func share(r Result) string {
	if r.Inside.Mbits == 0 || r.Outside.Mbits == 0 {
		return ""
	}
	return fmt.Sprintf("  %.0f %%", 100*r.Inside.Mbits/r.Outside.Mbits)
}

func sumTimes(results []Result) string {
	var costs []int // in microseconds, as ping prints them
	measured := 0
	for _, r := range results {
		if r.Inside.Ping != (Ping{}) || r.Outside.Ping != (Ping{}) {
			measured++
		}
		if ms, known := r.cost(); known {
			costs = append(costs, int(math.Round(ms*1000)))
		}
	}
	switch {
	case measured == 0:
		return fmt.Sprintf("tunnels: %d, nothing measured", len(results))
	case len(costs) == 0:
		return fmt.Sprintf("tunnels: %d, measured on both ways: 0 (times are min/avg)", len(results))
	}
	order.By(costs, cmp.Compare)
	return fmt.Sprintf(
		"tunnels: %d, measured on both ways: %d, what a tunnel costs: median %s, most %s (times are min/avg)",
		len(results), len(costs), signed(float64(costs[len(costs)/2])/1000), signed(float64(costs[len(costs)-1])/1000))
}

func sumRates(results []Result) string {
	both, inside := 0, 0
	for _, r := range results {
		if r.Inside.Mbits > 0 {
			inside++
			if r.Outside.Mbits > 0 {
				both++
			}
		}
	}
	return fmt.Sprintf("throughput of tunnels: %d, on both ways: %d (TCP from the first router to the second)",
		inside, both)
}

// A Problem is something that could not be measured and should have been.
type Problem struct {
	// Router is who has to be looked at.
	Router string `json:"router"`
	// Peer is the other one, where one of the two says it and it may be either.
	Peer string `json:"peer,omitempty"`
	cause.Cause
}

// Text is the problem in one line.
func (p Problem) Text() string {
	if p.Peer != "" {
		return p.Prefixed("%s - %s", p.Router, p.Peer).String()
	}
	return p.Prefixed("%s", p.Router).String()
}

// Problems lists what could not be measured and should have been, each once, and what is wrong with
// a router as such before what is wrong on a way. That an endpoint answers no ping, or that a
// firewall lets no iperf3 in from outside, is how most clouds are, and no problem.
func Problems(results []Result) []Problem {
	out := []Problem{}
	for _, r := range results {
		for _, p := range r.problems() {
			if !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	return out
}

func (r Result) problems() []Problem {
	var out []Problem
	add := func(router string, c cause.Cause) { out = append(out, Problem{Router: router, Cause: c}) }
	for way, p := range map[string]Path{"outside": r.Outside, "inside": r.Inside} {
		if c := cause.Parse(p.PingError); p.Sent == 0 && c.Do != "" { // about the router itself
			add(r.Router, c)
		} else if p.PingError != "" && p.Sent == 0 {
			add(r.Router, cause.New("tunnel %s to %s: ping %s to %s failed (%s): "+
				"see what wgmesh.router.status says", r.Name, r.Peer, way, p.Address, p.PingError))
		}
		if p.Missing != "" {
			add(p.Missing, cause.New("iperf3 is not there: install it (apt-get install iperf3, dnf install iperf3)"))
		}
		if p.ThroughputError != "" {
			add(r.Router, cause.New("tunnel %s to %s: no throughput %s to %s (%s): "+
				"see what wgmesh.router.status says", r.Name, r.Peer, way, p.Address, p.ThroughputError))
		}
	}
	order.By(out, func(a, b Problem) int { return cmp.Compare(a.Text(), b.Text()) })
	if p := r.Inside.Ping; p.Sent > 0 && !p.Answered() {
		why := ""
		if p.PingError != "" {
			why = " (" + p.PingError + ")"
		}
		add(r.Router, cause.New("tunnel %s to %s: %s does not answer ping inside%s: "+
			"see what wgmesh.router.status says", r.Name, r.Peer, r.Inside.Address, why))
	}
	if r.Inside.Blocked {
		out = append(out, Problem{
			r.Router, r.Peer,
			cause.New("tunnel %s: the iperf3 port of %s is closed inside the tunnel: open it in the firewall of %s",
				r.Name, r.Inside.Address, r.Peer),
		})
	}
	return out
}
