package measure

import (
	"fmt"
	"slices"
)

// Problems lists what could not be measured and should have been, each in one
// line and once. That an endpoint answers no ping, or that a firewall lets no
// iperf3 in from outside, is how most clouds are, and no problem.
func Problems(results []Result) []string {
	out := []string{}
	for _, r := range results {
		for _, text := range r.problems() {
			if !slices.Contains(out, text) {
				out = append(out, text)
			}
		}
	}
	return out
}

func (r Result) problems() []string {
	var out []string
	tunnel := fmt.Sprintf("tunnel %s from %s to %s", r.Name, r.Router, r.Peer)
	for way, p := range map[string]Path{"outside": r.Outside, "inside": r.Inside} {
		if p.PingError != "" && p.Sent == 0 {
			out = append(out, fmt.Sprintf("%s: ping %s to %s: %s", tunnel, way, p.Address, p.PingError))
		}
		if p.Missing != "" {
			out = append(out, fmt.Sprintf("iperf3 is not on %[1]s: install it on %[1]s (apt-get install iperf3, dnf install iperf3)", p.Missing))
		}
		if p.ThroughputError != "" {
			out = append(out, fmt.Sprintf("%s: throughput %s to %s: %s", tunnel, way, p.Address, p.ThroughputError))
		}
	}
	slices.Sort(out)
	if p := r.Inside.Ping; p.Sent > 0 && !p.Answered() {
		why := ""
		if p.PingError != "" {
			why = " (" + p.PingError + ")"
		}
		out = append(out, fmt.Sprintf("%s: %s does not answer ping inside%s: the play wgmesh.router.status says what is wrong", tunnel, r.Inside.Address, why))
	}
	if r.Inside.Blocked {
		out = append(out, fmt.Sprintf("%s: the iperf3 port of %s is closed inside the tunnel: open it in the firewall of %s", tunnel, r.Inside.Address, r.Peer))
	}
	return out
}
