package status

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Metrics renders an observation in the text format that node_exporter's textfile collector reads.
// What is not known has no sample. Times are Unix seconds, so that an old file does not look fresh.
func Metrics(router string, r Request, o Observation, rep Report) []byte {
	m := metrics{router: router}
	m.metric("wgmesh_healthy", "gauge", "Whether everything that was asked for is healthy.")
	m.sample(truth(rep.Healthy()))
	m.metric("wgmesh_last_check_seconds", "gauge", "When this was measured, in Unix time.")
	m.sample(seconds(o.At))
	m.problems(&r, rep)
	m.tunnels(&r, &o, rep)
	m.sessions(&r, &o)
	m.rest(&r, rep, o.Probed)
	m.ages(&o)
	return []byte(m.b.String())
}

type metrics struct {
	b            strings.Builder
	router, name string
}

func (m *metrics) metric(name, kind, help string) {
	m.name = name
	fmt.Fprintf(&m.b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

// sample adds a value of the present family; labels are names and values.
func (m *metrics) sample(value string, labels ...string) {
	fmt.Fprintf(&m.b, `%s{router="%s"`, m.name, label.Replace(m.router))
	for i := 0; i+1 < len(labels); i += 2 {
		fmt.Fprintf(&m.b, `,%s="%s"`, labels[i], label.Replace(labels[i+1]))
	}
	fmt.Fprintf(&m.b, "} %s\n", value)
}

var label = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// each adds a sample for every tunnel that has a value.
func (m *metrics) each(r *Request, value func(i int) (string, bool)) {
	for i, t := range r.Tunnels {
		if v, ok := value(i); ok {
			m.sample(v, "peer", t.Peer, "tunnel", t.Name)
		}
	}
}

// problems counts them by whose they are, so that one router's fault is not one of all others. A
// network without a route is a problem of those that should bring it; else it follows from another. The
// router is none of its peers, though its own address is asked with theirs: the alerts count who misses whom.
func (m *metrics) problems(r *Request, rep Report) {
	count := map[string]int{"": 0}
	for i := range r.Tunnels {
		count[r.Tunnels[i].Peer] = 0
	}
	for _, t := range r.Reach {
		count[t.Name] = 0
	}
	for _, p := range rep.Problems {
		whose := p.Owners
		if !p.Follows {
			whose = []string{p.Peer}
		}
		for _, peer := range whose {
			count[peer]++
		}
	}
	own := count[m.router]
	delete(count, m.router)
	count[""] += own
	m.metric("wgmesh_problems", "gauge", "Problems that this router has itself, or finds with a peer.")
	for _, peer := range slices.Sorted(maps.Keys(count)) {
		if n := strconv.Itoa(count[peer]); peer == "" {
			m.sample(n)
		} else {
			m.sample(n, "peer", peer)
		}
	}
}

func (m *metrics) tunnels(r *Request, o *Observation, rep Report) {
	peer := func(value func(p Peer) string) func(int) (string, bool) {
		return func(i int) (string, bool) {
			if p := o.Tunnels[i].Device.Peer; p != nil {
				return value(*p), true
			}
			return "", false
		}
	}
	m.metric("wgmesh_tunnel_healthy", "gauge", "Whether the tunnel, its BGP and its BFD session are as they should be.")
	m.each(r, func(i int) (string, bool) { return truth(rep.Tunnels[i]), true })
	m.metric("wgmesh_tunnel_last_handshake_seconds", "gauge", "Unix time of the last handshake, 0 if there was none.")
	m.each(r, peer(func(p Peer) string { return seconds(p.Handshake) }))
	m.metric("wgmesh_tunnel_receive_bytes_total", "counter", "Bytes received from the peer.")
	m.each(r, peer(func(p Peer) string { return strconv.FormatInt(p.Rx, 10) }))
	m.metric("wgmesh_tunnel_transmit_bytes_total", "counter", "Bytes sent to the peer.")
	m.each(r, peer(func(p Peer) string { return strconv.FormatInt(p.Tx, 10) }))
	m.metric("wgmesh_tunnel_rtt_seconds", "gauge", "Round-trip time to the peer's link address.")
	m.each(r, func(i int) (string, bool) {
		s := o.Tunnels[i]
		return float(s.RTT.Seconds()), o.Probed && s.PingErr == nil && s.Device.Peer != nil
	})
	m.metric("wgmesh_tunnel_path_mtu_bytes", "gauge", "Largest packet that got through, up to the MTU of the tunnel.")
	m.each(r, func(i int) (string, bool) {
		return strconv.Itoa(o.Tunnels[i].PathMTU), o.Probed && o.Tunnels[i].PathMTU > 0
	})
}

func (m *metrics) sessions(r *Request, o *Observation) {
	m.metric("wgmesh_bgp_established", "gauge", "Whether the BGP session with the peer is established.")
	m.each(r, func(i int) (string, bool) {
		s := o.Tunnels[i].Session
		return truth(s != nil && s.State == "Established"), r.Tunnels[i].Neighbor != ""
	})
	m.metric("wgmesh_bgp_since_seconds", "gauge",
		"Unix time since when the BGP session is established; its day, once that is 20 hours ago.")
	m.each(r, func(i int) (string, bool) {
		s := o.Tunnels[i].Session
		if s == nil || s.State != "Established" {
			return "", false
		}
		at := o.clock(s.Since)
		if at.IsZero() {
			at, _ = time.ParseInLocation(time.DateOnly, s.Since, o.At.Location()) // no sample, if it is none
		}
		return seconds(at), !at.IsZero()
	})
	m.metric("wgmesh_bgp_routes_imported", "gauge", "Routes taken from the peer.")
	m.each(r, func(i int) (string, bool) {
		if s := o.Tunnels[i].Session; s != nil {
			return strconv.Itoa(s.Imported), true
		}
		return "", false
	})
	m.metric("wgmesh_bfd_up", "gauge", "Whether the BFD session with the peer is up.")
	m.each(r, func(i int) (string, bool) {
		s := o.Tunnels[i].BFD
		return truth(s != nil && s.State == "Up"), r.BFD && r.Tunnels[i].Neighbor != ""
	})
}

func (m *metrics) rest(r *Request, rep Report, probed bool) {
	m.metric("wgmesh_prefix_installed", "gauge", "Whether the kernel routes the prefix into a tunnel.")
	for i, p := range r.Prefixes {
		m.sample(truth(rep.Prefixes[i]), "network", p.Network.String(), "site", p.Site)
	}
	m.metric("wgmesh_router_answers", "gauge", "Whether the other router's address in its site answers ping.")
	for i, t := range r.Reach {
		if probed {
			m.sample(truth(rep.Targets[i]), "peer", t.Name, "address", t.Address.String())
		}
	}
}

func truth(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

func seconds(t time.Time) string {
	if t.IsZero() {
		return "0"
	}
	return float(float64(t.UnixMilli()) / 1000)
}

func float(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
