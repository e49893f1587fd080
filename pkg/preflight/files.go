package preflight

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/plan"
)

// files asks whether the folders that a run writes to can be written to, and its files replaced.
func files(w Want, h Have) (out []finding) {
	for _, path := range h.Mounts {
		if path == h.Bird.Path || ours(w, path) {
			out = append(out, never(cause.New(
				"%s is a mount point, which cannot be replaced: use a mount of its folder instead", path)))
		}
	}
	folders := map[string]cause.List{}
	for _, folder := range slices.Sorted(maps.Keys(h.Closed)) {
		folders[h.Closed[folder]] = append(folders[h.Closed[folder]], folder)
	}
	for _, why := range slices.Sorted(maps.Keys(folders)) { // one disk, as a rule
		out = append(out, refuse(cause.New("%s: %s: make room and make it writable, since keys and settings go there",
			folders[why], why)))
	}
	return out
}

// ours reports whether a run writes to a file with that path, beside bird.conf.
func ours(w Want, path string) bool {
	folder, name := filepath.Split(path)
	if filepath.Clean(folder) == plan.TunnelDirectory {
		return slices.ContainsFunc(w.Plan.Tunnels, func(t plan.Tunnel) bool { return name == t.Name+".conf" })
	}
	// A folder of ours may well be mounted: those have no ending, or that of drop-ins.
	ending := filepath.Ext(name)
	return strings.HasPrefix(folder, "/etc/") && strings.Contains(name, "wgmesh") && ending != "" && ending != ".d"
}
