package status

import (
	"fmt"
	"strings"

	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/socket"
)

// noSocket is what BIRD says of a session that it could not listen for. It does
// not try again.
const noSocket = "No listening socket"

// portHolder names the processes that listen on TCP 179, other than BIRD, or is
// empty.
func portHolder() string {
	held, err := socket.Owners(socket.TCP, plan.BGPPort)
	owners, taken := held[plan.BGPPort]
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
