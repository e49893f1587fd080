package status

import (
	"bytes"
	"fmt"
	"strings"
)

// Metrics renders the tunnels of a router in Prometheus's text format, for
// the textfile collector of node_exporter
// (https://prometheus.io/docs/instrumenting/exposition_formats/).
func Metrics(router string, views []View, healthy bool) []byte {
	var b bytes.Buffer
	head := func(name, kind, help string) {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
	}
	head("wgmesh_healthy", "gauge", "1 when everything that was asked for is up.")
	fmt.Fprintf(&b, "wgmesh_healthy{router=\"%s\"} %d\n", escape(router), bit(healthy))
	for _, m := range []struct {
		name, kind, help string
		value            func(View) (float64, bool)
	}{
		{"wgmesh_tunnel_handshake_age_seconds", "gauge", "Age of the last handshake.", func(v View) (float64, bool) { return v.HandshakeAge, v.HandshakeAge >= 0 }},
		{"wgmesh_tunnel_rtt_seconds", "gauge", "Round-trip time through the tunnel.", func(v View) (float64, bool) { return v.RTT / 1000, v.RTT >= 0 }},
		{"wgmesh_tunnel_path_mtu_bytes", "gauge", "Largest packet that gets through whole.", func(v View) (float64, bool) { return float64(v.PathMTU), v.PathMTU > 0 }},
		{"wgmesh_tunnel_receive_bytes_total", "counter", "Bytes received.", func(v View) (float64, bool) { return float64(v.Rx), true }},
		{"wgmesh_tunnel_transmit_bytes_total", "counter", "Bytes sent.", func(v View) (float64, bool) { return float64(v.Tx), true }},
		{"wgmesh_bgp_up", "gauge", "1 when the BGP session is established.", func(v View) (float64, bool) { return float64(bit(v.BGP == "Established")), true }},
		{"wgmesh_bfd_up", "gauge", "1 when the BFD session is up.", func(v View) (float64, bool) { return float64(bit(v.BFD == "Up")), true }},
		{"wgmesh_bgp_imported_routes", "gauge", "Routes taken from the peer.", func(v View) (float64, bool) { return float64(v.Imported), true }},
	} {
		head(m.name, m.kind, m.help)
		for _, v := range views {
			if value, known := m.value(v); known {
				fmt.Fprintf(&b, "%s{router=\"%s\",tunnel=\"%s\",peer=\"%s\"} %g\n", m.name, escape(router), escape(v.Name), escape(v.Peer), value)
			}
		}
	}
	return b.Bytes()
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// escape makes a label's value of s.
func escape(s string) string {
	return strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`).Replace(s)
}
