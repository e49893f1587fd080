package measure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
)

// A Throughput is what iperf3 counted.
type Throughput struct {
	Mbits       float64 `json:"mbits"` // Mbit/s that arrived at the peer; 0: not known
	Retransmits int     `json:"retransmits"`
	// Blocked says that the server's port does not let anybody in.
	Blocked bool `json:"blocked"`
	// Missing names the router that has no iperf3.
	Missing string `json:"missing"`
	// ThroughputError says why there is no number otherwise.
	ThroughputError string `json:"throughput_error"`
}

const (
	// connectWait is how long iperf3 tries to reach the server.
	connectWait = 3 * time.Second
	// settleWait is what a test may take beyond its seconds, to begin and end.
	settleWait = 15 * time.Second
)

// throughput sends to the peer's server, which Serve started. When device names
// an interface, the kernel's route has to go out of it: an iperf3 that can bind
// to an interface is too new for many systems.
func (r Request) throughput(ctx context.Context, to netip.Addr, device string) Throughput {
	if device != "" {
		if err := leavesBy(to, device); err != nil {
			return Throughput{ThroughputError: err.Error()}
		}
	}
	out := run(ctx, time.Duration(r.Seconds)*time.Second+settleWait, "iperf3",
		"--client", to.String(), "--port", strconv.Itoa(r.Port), "--parallel", strconv.Itoa(r.Parallel),
		"--time", strconv.Itoa(r.Seconds), "--json", "--connect-timeout",
		strconv.FormatInt(connectWait.Milliseconds(), 10))
	if out.err != nil {
		return failed(out.err, r.Router)
	}
	t, err := ParseIperf(out.Out)
	if err != nil {
		return Throughput{ThroughputError: err.Error()}
	}
	return t
}

// failed is why iperf3 did not run on a router.
func failed(err error, router string) Throughput {
	if errors.Is(err, exec.ErrNotFound) {
		return Throughput{Missing: router}
	}
	return Throughput{ThroughputError: err.Error()}
}

// leavesBy reports whether packets to an address leave by an interface.
func leavesBy(to netip.Addr, device string) error {
	link, err := netlink.LinkByName(device)
	if err != nil {
		return fmt.Errorf("interface %s: %w", device, err)
	}
	routes, err := netlink.RouteGet(to.AsSlice())
	if err != nil {
		return fmt.Errorf("route to %s: %w", to, err)
	}
	for _, route := range routes {
		if route.LinkIndex == link.Attrs().Index {
			return nil
		}
	}
	return fmt.Errorf("the route to %s does not leave by %s: look at ip route get %s", to, device, to)
}

// ParseIperf reads what iperf3 --json prints as a client. Its exit status says
// nothing: a test that failed ends with 0.
func ParseIperf(text string) (Throughput, error) {
	var report struct {
		Error string `json:"error"`
		End   struct {
			Sent struct {
				Retransmits int `json:"retransmits"`
			} `json:"sum_sent"`
			Received *struct {
				BitsPerSecond float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		} `json:"end"`
	}
	if err := json.Unmarshal([]byte(text), &report); err != nil {
		return Throughput{}, fmt.Errorf("iperf3 --json printed no JSON that is known here: %w", err)
	}
	said := strings.TrimPrefix(report.Error, "error - ")
	switch {
	case strings.HasPrefix(said, "unable to connect to server"):
		return Throughput{Blocked: true}, nil
	case said != "":
		return Throughput{}, fmt.Errorf("iperf3: %s", line(said))
	case report.End.Received == nil || report.End.Received.BitsPerSecond < 0:
		return Throughput{}, errors.New("iperf3 --json printed no sum_received: expected iperf3 3.1 or newer")
	case report.End.Received.BitsPerSecond == 0:
		return Throughput{}, errors.New("iperf3: nothing arrived at the peer")
	}
	mbits := math.Round(report.End.Received.BitsPerSecond/1e5) / 10
	return Throughput{Mbits: max(mbits, 0.1), Retransmits: max(0, report.End.Sent.Retransmits)}, nil
}
