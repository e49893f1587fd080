package status

import (
	"fmt"
	"strings"

	"github.com/wgmesh/router/pkg/socket"
)

// bgpPort is where BIRD listens for BGP (RFC 4271).
const bgpPort = 179

// noSocket is what BIRD says of a session that it could not listen for. It does
// not try again.
const noSocket = "No listening socket"

// portHolder names the processes that listen on TCP 179, other than BIRD, or is
// empty.
func portHolder() string {
	held, err := socket.Owners(socket.TCP, bgpPort)
	owners, taken := held[bgpPort]
	switch {
	case err != nil || !taken:
		return ""
	case len(owners) == 0:
		return "a process that cannot be found"
	}
	var names []string
	for _, o := range owners {
		names = append(names, fmt.Sprintf("%s, pid %d", o.Name, o.PID))
	}
	return strings.Join(names, " and ")
}
