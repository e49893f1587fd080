package measure

import (
	"cmp"
	"slices"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/order"
)

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

// Problems lists what could not be measured and should have been, each once, and what
// is wrong with a router as such before what is wrong on a way. That an endpoint answers
// no ping, or that a firewall lets no iperf3 in from outside, is how most clouds are,
// and no problem.
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
