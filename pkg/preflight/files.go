package preflight

import (
	"maps"
	"slices"
)

// files asks whether the folders that a run writes to can be written to.
func files(_ Want, h Have) (out []Finding) {
	for _, folder := range slices.Sorted(maps.Keys(h.Closed)) {
		out = append(out, Finding{Cause: folder + ": " + h.Closed[folder], Do: "the mesh keeps its keys and settings there: make it writable"})
	}
	return out
}
