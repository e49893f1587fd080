package ansible

import (
	"os"

	"github.com/wgmesh/router/pkg/cause"
)

// ByRoot returns an error unless root runs this. Whom the kernel and BIRD tell nothing would take a
// router for one without tunnels.
func ByRoot() error {
	uid := os.Geteuid()
	if uid == 0 {
		return nil
	}
	return cause.New("this runs as user %d, and a router is set up by root: set ansible_become to true", uid)
}
