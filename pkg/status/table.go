package status

import (
	"fmt"
	"net/netip"
	"slices"
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
		parts = append(parts, fmt.Sprintf("%d/%d %s", count(kind.good), len(kind.good), kind.name))
	}
	state := "healthy"
	if !rep.Healthy() {
		state = fmt.Sprintf("not healthy, problems: %d", len(rep.Texts()))
	}
	return strings.Join(append([]string{state}, parts...), ", ")
}

// A View is one tunnel as the module returns it. Times are in seconds; -1 and
// empty stand for what is not known.
type View struct {
	Name         string  `json:"name"`
	Peer         string  `json:"peer"`
	Healthy      bool    `json:"healthy"`
	HandshakeAge float64 `json:"handshake_age"` // seconds
	Endpoint     string  `json:"endpoint"`
	Rx           int64   `json:"rx"`       // bytes
	Tx           int64   `json:"tx"`       // bytes
	RTT          float64 `json:"rtt"`      // milliseconds
	PathMTU      int     `json:"path_mtu"` // bytes
	BGP          string  `json:"bgp"`
	BFD          string  `json:"bfd"`
	Imported     int     `json:"imported"` // routes
	PSK          bool    `json:"preshared_key"`
}

// Views returns the tunnels of an observation in the order of the request.
func Views(r Request, o Observation, rep Report) []View {
	out := make([]View, len(r.Tunnels))
	for i, t := range r.Tunnels {
		s := o.Tunnels[i]
		v := View{Name: t.Name, Peer: t.Peer, Healthy: rep.Tunnels[i], HandshakeAge: -1, RTT: -1, PathMTU: s.PathMTU}
		if p := s.Device.Peer; p != nil {
			v.Rx, v.Tx, v.PSK = p.Rx, p.Tx, p.PSK
			if p.Endpoint.IsValid() {
				v.Endpoint = p.Endpoint.String()
			}
			if !p.Handshake.IsZero() {
				v.HandshakeAge = max(0, o.At.Sub(p.Handshake).Seconds())
			}
		}
		if o.Probed && s.DeviceErr == nil && s.Device.Peer != nil && s.PingErr == nil {
			v.RTT = float64(s.RTT) / float64(time.Millisecond)
		}
		if s.Session != nil {
			v.BGP, v.Imported = s.Session.State, s.Session.Imported
		}
		if s.BFD != nil {
			v.BFD = s.BFD.State
		}
		out[i] = v
	}
	return out
}

// A Way is a network of another site, and a router to which the kernel sends what goes there.
type Way struct {
	Network netip.Prefix `json:"network"`
	Peer    string       `json:"peer"`
}

// Ways lists the kernel's ways to the prefixes of the request; nil: they cannot be read.
func Ways(r Request, o Observation) []Way {
	if o.RoutesErr != nil {
		return nil
	}
	out := []Way{}
	for _, p := range r.Prefixes {
		for _, t := range r.Tunnels {
			if slices.Contains(o.Routes[p.Network].Devices, t.Name) {
				out = append(out, Way{p.Network, t.Peer})
			}
		}
	}
	return out
}
