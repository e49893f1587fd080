package status

import (
	"context"
	"fmt"
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
		links[i] = packets(tunnel.Name)
	}
	select {
	case <-ctx.Done():
		return t, ctx.Err()
	case <-time.After(d):
	}
	after, err := forwardedPackets()
	rate := func(before, after uint64) int {
		if after < before { // made anew meanwhile
			before = 0
		}
		return int(math.Ceil(float64(after-before) / time.Since(began).Seconds()))
	}
	t = Traffic{Forwarded: rate(before, after), Tunnels: []Carried{}}
	for i, tunnel := range r.Tunnels {
		now := packets(tunnel.Name)
		t.Tunnels = append(t.Tunnels, Carried{
			Name: tunnel.Name, Peer: tunnel.Peer, Received: rate(links[i].RxPackets, now.RxPackets),
			Sent: rate(links[i].TxPackets, now.TxPackets),
		})
	}
	return t, err
}

// packets are the counters of an interface, none when it is not there.
func packets(name string) netlink.LinkStatistics {
	link, err := netlink.LinkByName(name)
	if err != nil || link.Attrs().Statistics == nil {
		return netlink.LinkStatistics{}
	}
	return *link.Attrs().Statistics
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
	six, _ := os.ReadFile("/proc/thread-self/net/snmp6")
	for line := range strings.Lines(string(six)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "Ip6OutForwDatagrams" {
			more, _ := strconv.ParseUint(f[1], 10, 64)
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
