package preflight

import (
	"maps"
	"slices"

	"github.com/wgmesh/router/pkg/cause"
)

// files asks whether the folders that a run writes to can be written to.
func files(_ Want, h Have) (out []finding) {
	for _, folder := range slices.Sorted(maps.Keys(h.Closed)) {
		out = append(out,
			refuse(cause.New("%s: %s: make room and make it writable, since keys and settings go there", folder,
				h.Closed[folder])))
	}
	return out
}
