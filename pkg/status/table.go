package status

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/table"
)

const tableWidth = 80

// Table draws the tunnels in at most 80 columns, one line each, with "!" in
// front of those that are not healthy, and a line that sums up.
func Table(r Request, o Observation, rep Report) []string {
	rows := [][]string{{" ", "tunnel", "peer", "handshake", "rtt", "mtu", "bgp", "bfd", "routes"}}
	for i, t := range r.Tunnels {
		mark := " "
		if !rep.Tunnels[i] {
			mark = "!"
		}
		rows = append(rows, append([]string{mark}, row(t, &o.Tunnels[i], &o)...))
	}
	lines := append(table.Lines(rows, tableWidth, 2, 1), summary(rep, o.Probed))
	lines = append(lines, ageLines(&o)...)
	return append(lines, Notes(r, o)...)
}

// Notes are what is to be known about this router beside its health; it is never nil.
func Notes(r Request, o Observation) []string {
	notes := []string{}
	if o.Drained.On() {
		notes = append(notes, drainNote(&r, &o))
	}
	if hole := knownHole(o.BirdVersion); hole != "" {
		notes = append(notes, hole)
	}
	return append(append(notes, ageNotes(&r, &o)...), o.agedNotes(&r)...)
}

// drainNote says how long the router has been drained, and when that is too long.
func drainNote(r *Request, o *Observation) string {
	note := fmt.Sprintf("drained for %s, since %s", age(o.At.Sub(o.Drained.Since)),
		o.Drained.Since.Format("2006-01-02 15:04 MST"))
	if o.Drained.Why != "" {
		note += " (" + o.Drained.Why + ")"
	}
	if r.DrainWarn > 0 && o.At.Sub(o.Drained.Since) > r.DrainWarn {
		note += ": that is long: run wgmesh.router.undrain when the work is done"
	}
	return note
}

func row(t plan.StatusTunnel, s *TunnelState, o *Observation) []string {
	cells := []string{t.Name, t.Peer, "-", "-", "-", "-", "-", "-"}
	if p := s.Device.Peer; s.DeviceErr == nil && p != nil {
		cells[2] = "never"
		if !p.Handshake.IsZero() {
			cells[2] = age(o.At.Sub(p.Handshake))
		}
		if o.Probed && s.PingErr == nil {
			cells[3] = fmt.Sprintf("%.1f ms", float64(s.RTT)/float64(time.Millisecond))
		}
		if o.Probed && s.PingErr == nil && t.MTU > 0 {
			cells[4] = mtuCell(s)
		}
	}
	if s.Session != nil {
		cells[5] = s.Session.State
		cells[7] = strconv.Itoa(s.Session.Imported)
	}
	if s.BFD != nil {
		cells[6] = s.BFD.State
	}
	return cells
}

// mtuCell is the MTU that works, or the least one that is known not to.
func mtuCell(s *TunnelState) string {
	switch {
	case s.WholeErr == nil:
		return strconv.Itoa(s.PathMTU)
	case s.PathMTU > 0:
		return fmt.Sprintf("<%d", s.PathMTU+20)
	}
	return "small"
}

// age is a duration in at most six characters.
func age(d time.Duration) string {
	s := int(max(d, 0).Seconds())
	switch {
	case s < 600:
		return fmt.Sprintf("%d s", s)
	case s < 36000:
		return fmt.Sprintf("%d min", s/60)
	case s < 360000:
		return fmt.Sprintf("%d h", s/3600)
	}
	return fmt.Sprintf("%d d", s/86400)
}

func summary(rep Report, probed bool) string {
	var parts []string
	for _, kind := range []struct {
		name string
		good []bool
	}{{"tunnels", rep.Tunnels}, {"prefixes", rep.Prefixes}, {"routers answer", rep.Targets}} {
		if len(kind.good) == 0 || kind.name == "routers answer" && !probed {
			continue
		}
		n := 0
		for _, ok := range kind.good {
			if ok {
				n++
			}
		}
		parts = append(parts, fmt.Sprintf("%d/%d %s", n, len(kind.good), kind.name))
	}
	state := "healthy"
	if !rep.Healthy() {
		state = fmt.Sprintf("not healthy, problems: %d", len(rep.Texts()))
	}
	return strings.Join(append([]string{state}, parts...), ", ")
}
