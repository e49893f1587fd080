// Package measure measures what a tunnel costs: round-trip times and losses
// with ping(8), and on request the throughput with iperf3(1), to the peer's
// outside address and to its end of the tunnel, side by side.
//
// It changes nothing on the router, but for the iperf3 server that Serve starts
// on the peer and that ends by itself. The module mesh_measure calls it.
package measure

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"time"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/program"
)

// A Request says how to measure.
type Request struct {
	Router     string        `json:"router"` // this one's name
	Ping       bool          `json:"ping"`
	Count      int           `json:"count"` // pings
	Size       int           `json:"size"`  // bytes of data in each
	Interval   time.Duration `json:"-"`     // between two
	Throughput bool          `json:"throughput"`
	Parallel   int           `json:"parallel"` // TCP streams
	Seconds    int           `json:"seconds"`
	Port       int           `json:"port"` // of the peer's iperf3 server
}

// A Result is one tunnel with both ways to the peer.
type Result struct {
	Router  string `json:"router"` // the initiator
	Peer    string `json:"peer"`
	Name    string `json:"name"`
	Outside Path   `json:"outside"`
	Inside  Path   `json:"inside"`
}

// A Path is what was measured on one way to the peer.
type Path struct {
	Address netip.Addr `json:"address"` // zero: there is no such way
	Ping
	Throughput
}

// Planned is a tunnel that is not measured yet.
func (r Request) Planned(t plan.MeasureTunnel) Result {
	return Result{
		Router: r.Router, Peer: t.Peer, Name: t.Name, Outside: Path{Address: t.Endpoint},
		Inside: Path{Address: t.Address},
	}
}

// Measure measures a tunnel, one way after the other, so that they do not
// disturb each other. What cannot be measured is told in the result.
func (r Request) Measure(ctx context.Context, t plan.MeasureTunnel) Result {
	out := r.Planned(t)
	if r.Ping {
		if t.Endpoint.IsValid() {
			out.Outside.Ping = r.ping(ctx, t.Endpoint, "")
		}
		out.Inside.Ping = r.ping(ctx, t.Address, t.Name)
	}
	if r.Throughput {
		if t.Endpoint.IsValid() {
			out.Outside.Throughput = r.throughput(ctx, t.Endpoint, "")
		}
		out.Inside.Throughput = r.throughput(ctx, t.Address, t.Name)
	}
	return out
}

// Merge puts results of the same tunnel together, in the order in which the
// tunnels first appear: one may hold its pings, another its throughput.
func Merge(results []Result) []Result {
	out := []Result{}
	at := map[[2]string]int{}
	for _, r := range results {
		key := [2]string{r.Router, r.Name}
		i, known := at[key]
		if !known {
			at[key] = len(out)
			out = append(out, r)
			continue
		}
		out[i].Outside.merge(r.Outside)
		out[i].Inside.merge(r.Inside)
	}
	return out
}

func (p *Path) merge(other Path) {
	if other.Ping != (Ping{}) {
		p.Ping = other.Ping
	}
	if other.Throughput != (Throughput{}) {
		p.Throughput = other.Throughput
	}
}

// An output is what a program printed. err is set when it did not run or did
// not end in time; its exit status is not an error.
type output struct {
	program.Said
	err error
}

func run(ctx context.Context, limit time.Duration, name string, args ...string) output {
	said, err := program.Call{Name: name, Args: args, Limit: limit}.Run(ctx)
	var failed *program.Failure
	switch {
	case errors.As(err, new(*exec.ExitError)):
		err = nil
	case errors.As(err, &failed):
		err = fmt.Errorf("%s: %w", name, failed.Err)
	}
	return output{said, err}
}

func last(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return line(lines[len(lines)-1])
}

// line makes one printable line of a program's words, not a long one.
func line(text string) string { return cause.Line(text, 160) }
