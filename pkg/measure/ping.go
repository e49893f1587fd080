package measure

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/wgmesh/router/pkg/plan"
)

// A Ping is what ping(8) counted. Times are in milliseconds, and 0 when nothing was received.
type Ping struct {
	Sent     int     `json:"sent"` // 0: nothing was
	Received int     `json:"received"`
	Min      float64 `json:"min"`
	Avg      float64 `json:"avg"`
	Max      float64 `json:"max"`
	Mdev     float64 `json:"mdev"`
	// PingError is what ping said when it could not send.
	PingError string `json:"ping_error"`
}

// Answered reports whether there are times.
func (p Ping) Answered() bool { return p.Received > 0 }

// Loss is the share of packets without an answer, in percent.
func (p Ping) Loss() float64 {
	if p.Sent == 0 {
		return 0
	}
	return 100 * float64(p.Sent-p.Received) / float64(p.Sent)
}

// patience is how long a ping waits for an answer while none has come. After one it waits
// for twice the longest round trip (ping(8), -W).
const patience = 2 * time.Second

func (r Request) ping(ctx context.Context, to netip.Addr, device string) Ping {
	limit := time.Duration(r.Count)*r.Interval + patience + 5*time.Second
	args := []string{
		"-n", "-q", "-c", strconv.Itoa(r.Count), "-s", strconv.Itoa(r.Size),
		"-i", strconv.FormatFloat(r.Interval.Seconds(), 'f', -1, 64), "-W", strconv.Itoa(int(patience.Seconds())),
	}
	if device != "" {
		args = append(args, "-I", device)
	}
	out := run(ctx, limit, "ping", append(args, to.String())...)
	if errors.Is(out.err, exec.ErrNotFound) {
		return Ping{
			PingError: "ping is not there: install the package iputils-ping (apt-get) or iputils (dnf) on " + r.Router,
		}
	}
	if out.err != nil {
		return Ping{PingError: out.err.Error()}
	}
	p, err := ParsePing(out.Out)
	switch said := strings.TrimPrefix(last(out.Err), "ping: "); {
	case err != nil && said != "":
		return Ping{PingError: said}
	case err != nil:
		return Ping{PingError: err.Error()}
	case !p.Answered():
		p.PingError = said
	}
	return p
}

// pingCounts are the numbers of a line of ping that says how many packets were sent and received.
func pingCounts(line string) []string {
	sent, rest, _ := strings.Cut(line, " packets transmitted, ")
	received, _, ok := strings.Cut(rest, " received, ")
	return numbers(ok, plan.Digits, sent, received)
}

// pingTimes are those of the line with the times.
func pingTimes(line string) []string {
	rest, ours := strings.CutPrefix(line, "rtt min/avg/max/mdev = ")
	times, _, ok := strings.Cut(rest, " ms")
	fields := strings.Split(times, "/")
	return numbers(ours && ok && len(fields) == 4, plan.Digits+".", fields...)
}

// numbers are those texts, or none when they are not all numbers.
func numbers(ok bool, characters string, texts ...string) []string {
	for _, text := range texts {
		ok = ok && plan.Only(text, characters)
	}
	if !ok {
		return nil
	}
	return texts
}

// find is what a function finds in the first line in which it finds something.
func find(text string, in func(line string) []string) []string {
	for line := range strings.SplitSeq(text, "\n") {
		if found := in(line); found != nil {
			return found
		}
	}
	return nil
}

// ErrNoSummary says that a text is not what ping of iputils prints.
var ErrNoSummary = errors.New(
	"ping printed no summary that is known here: expected ping of iputils (package iputils-ping or iputils)")

// ParsePing reads the summary that ping of iputils prints at the end (ping/ping_common.c, finish).
func ParsePing(text string) (Ping, error) {
	counts := find(text, pingCounts)
	if counts == nil {
		return Ping{}, ErrNoSummary
	}
	var p Ping
	var err1, err2 error
	p.Sent, err1 = strconv.Atoi(counts[0])
	p.Received, err2 = strconv.Atoi(counts[1])
	if err := errors.Join(err1, err2); err != nil || p.Received > p.Sent {
		return Ping{}, fmt.Errorf("%w: %s sent and %s received", ErrNoSummary, counts[0], counts[1])
	}
	if p.Received == 0 {
		return p, nil
	}
	times := find(text, pingTimes)
	if times == nil {
		return Ping{}, fmt.Errorf("%w: it has no times", ErrNoSummary)
	}
	for i, to := range []*float64{&p.Min, &p.Avg, &p.Max, &p.Mdev} {
		f, err := strconv.ParseFloat(times[i], 64)
		if err != nil {
			return Ping{}, fmt.Errorf("%w: %q is not a time", ErrNoSummary, times[i])
		}
		*to = f
	}
	if p.Min > p.Avg || p.Avg > p.Max {
		return Ping{}, fmt.Errorf("%w: min, avg and max are not in order", ErrNoSummary)
	}
	return p, nil
}
