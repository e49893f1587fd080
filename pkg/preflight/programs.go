package preflight

import "github.com/wgmesh/router/pkg/cause"

// programs asks whether what the modules run is installed.
func programs(_ Want, h Have) []finding {
	if len(h.No) == 0 {
		return nil
	}
	return []finding{
		refuse(cause.New("not installed: %s: run the image play (wgmesh.router.image) on this host first",
			cause.List(h.No))),
	}
}
