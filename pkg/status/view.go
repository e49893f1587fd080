package status

import (
	"net/netip"
	"slices"
	"time"
)

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
