package preflight

import (
	"errors"
	"io/fs"
	"os"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/plan"
)

// programs asks whether what the modules run is installed, and whether the image play has come to
// its end: without what it brings last, such as units, a router works until its next boot.
func programs(_ Want, h Have) []finding {
	switch {
	case len(h.No) > 0:
		return []finding{
			refuse(cause.New("not installed: %s: run the image play (wgmesh.router.image) on this host first",
				cause.List(h.No))),
		}
	case h.Unmade:
		return []finding{
			// Without its name: Ansible says once what many hosts warn of in the same words.
			warn(cause.New("the image play has not come to its end here (no %s): run wgmesh.router.image",
				plan.ImageFile)),
		}
	}
	return nil
}

func unmade() bool {
	_, err := os.Stat(plan.ImageFile)
	return errors.Is(err, fs.ErrNotExist)
}
