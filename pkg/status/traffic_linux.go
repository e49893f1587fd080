package status

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
)

// A Traffic is what a router forwards, in packets per second.
type Traffic struct {
	Forwarded int
	Tunnels   []Carried
}

// Carried is what one tunnel carries, that of the router itself included.
type Carried struct {
	Name     string `json:"name"`
	Peer     string `json:"peer"`
	Received int    `json:"received"`
	Sent     int    `json:"sent"`
}

// ObserveTraffic counts for a while. The kernel counts what it forwards apart from what
// is for the host itself, so BGP, BFD and pings of the router are not in it.
func ObserveTraffic(ctx context.Context, r Request, d time.Duration) (t Traffic, err error) {
	began := time.Now()
	before, err := forwardedPackets()
	if err != nil {
		return t, err
	}
	links := make([]netlink.LinkStatistics, len(r.Tunnels))
	for i, tunnel := range r.Tunnels {
		if links[i], err = packets(tunnel.Name); err != nil {
			return t, err
		}
	}
	select {
	case <-ctx.Done():
		return t, ctx.Err()
	case <-time.After(d):
	}
	after, err := forwardedPackets()
	if err != nil {
		return t, err
	}
	rate := func(before, after uint64) int {
		if after < before { // made anew meanwhile
			before = 0
		}
		return int(math.Ceil(float64(after-before) / time.Since(began).Seconds()))
	}
	t = Traffic{Forwarded: rate(before, after), Tunnels: []Carried{}}
	for i, tunnel := range r.Tunnels {
		now, err := packets(tunnel.Name)
		if err != nil {
			return Traffic{}, err
		}
		t.Tunnels = append(t.Tunnels, Carried{
			Name: tunnel.Name, Peer: tunnel.Peer, Received: rate(links[i].RxPackets, now.RxPackets),
			Sent: rate(links[i].TxPackets, now.TxPackets),
		})
	}
	return t, nil
}

// packets are the counters of an interface, none when it is not there.
func packets(name string) (n netlink.LinkStatistics, err error) {
	link, err := netlink.LinkByName(name)
	switch {
	case errors.As(err, new(netlink.LinkNotFoundError)):
		return n, nil
	case err == nil && link.Attrs().Statistics != nil:
		return *link.Attrs().Statistics, nil
	}
	return n, fmt.Errorf("the counters of %s: %w", name, cmp.Or(err, fs.ErrNotExist))
}

// forwardedPackets is the kernel's count of forwarded packets of both families, in this
// thread's network namespace. A host without IPv6 has none of those.
func forwardedPackets() (n uint64, err error) {
	four, err := os.ReadFile("/proc/thread-self/net/snmp")
	if err != nil {
		return 0, err
	}
	n, err = parseForwarded(string(four))
	if err != nil {
		return 0, err
	}
	six, err := os.ReadFile("/proc/thread-self/net/snmp6")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	for line := range strings.Lines(string(six)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "Ip6OutForwDatagrams" {
			more, err := strconv.ParseUint(f[1], 10, 64)
			if err != nil {
				return 0, err
			}
			n += more
		}
	}
	return n, nil
}

// parseForwarded reads ForwDatagrams from a line of names and one of values, both with
// "Ip:" in front.
func parseForwarded(text string) (uint64, error) {
	var names []string
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case len(f) == 0 || f[0] != "Ip:":
		case names == nil:
			names = f
		default:
			for i, name := range names {
				if name == "ForwDatagrams" && i < len(f) {
					return strconv.ParseUint(f[i], 10, 64)
				}
			}
		}
	}
	return 0, fmt.Errorf("/proc/net/snmp: expected the count ForwDatagrams of the kernel, found none")
}
