package wg

import (
	"fmt"
	"slices"

	"github.com/wgmesh/router/pkg/socket"
)

// Ports says who holds which of these UDP ports, but for the WireGuard interfaces
// with the given names.
func (h *Host) Ports(ports []int, except []string) (map[int]string, error) {
	out := map[int]string{}
	if len(ports) == 0 {
		return out, nil
	}
	held, err := socket.Owners(socket.UDP, ports...)
	for port, owners := range held {
		ours := func(o socket.Owner) bool { return o.WireGuard() && slices.Contains(except, o.Last) }
		switch {
		case slices.ContainsFunc(owners, ours):
		case len(owners) == 0:
			out[port] = h.listener(port)
		default:
			out[port] = fmt.Sprintf("%s (process %d)", owners[0].Name, owners[0].PID)
		}
	}
	return out, err
}

// listener names the kernel's WireGuard interface that listens on a port.
func (h *Host) listener(port int) string {
	links, err := h.Links()
	for _, name := range sortedKeys(links) {
		if links[name].Kind != kindKernel || err != nil {
			continue
		}
		if d, err := h.Device(name); err == nil && d.ListenPort == port {
			return "the WireGuard interface " + name
		}
	}
	return "the kernel (not WireGuard; see ss -lunp)"
}
