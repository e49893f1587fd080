package preflight

import "strings"

// programs asks whether what the modules run is installed.
func programs(_ Want, h Have) []Finding {
	if len(h.No) == 0 {
		return nil
	}
	return []Finding{{Cause: "not installed: " + strings.Join(h.No, ", "), Do: "run the image play (wgmesh.router.image) on this host first"}}
}
