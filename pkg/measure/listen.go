package measure

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
)

// Listens reports whether a program listens on exactly this address and TCP port.
// It reads the kernel's list (proc_net_tcp in the kernel's documentation): a
// connection would be taken for the one test.
func Listens(address netip.Addr, port int) bool {
	const listen = "0A"
	path := "/proc/net/tcp"
	if address.Is6() {
		path = "/proc/net/tcp6"
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	want := local(address, port)
	for row := range strings.Lines(string(text)) {
		f := strings.Fields(row)
		if len(f) > 3 && f[1] == want && f[3] == listen {
			return true
		}
	}
	return false
}

// local is an address and port as the kernel's list has it: words of 32 bits, in
// the byte order of the machine, which is little-endian wherever this runs.
func local(address netip.Addr, port int) string {
	var b strings.Builder
	raw := address.AsSlice()
	for ; len(raw) > 0; raw = raw[4:] {
		fmt.Fprintf(&b, "%02X%02X%02X%02X", raw[3], raw[2], raw[1], raw[0])
	}
	fmt.Fprintf(&b, ":%04X", port)
	return b.String()
}

// BindAddress is the address of this router at which packets to its endpoint
// arrive: the endpoint itself, or when a cloud maps that one to one, the
// address from which packets to the outside start.
func BindAddress(endpoint netip.Addr) (netip.Addr, error) {
	// Nothing is sent: a UDP socket that connects only asks for the route.
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(endpoint, 9)))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("route to the outside, to serve on: %w", err)
	}
	defer func() { _ = conn.Close() }()
	// To an own address, the source is that address.
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}
