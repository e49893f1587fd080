package wg

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/wgmesh/router/pkg/mark"
	"github.com/wgmesh/router/pkg/plan"
)

// mesh is the one that a file of ours says it was made for.
func (f File) mesh() string { return mark.Of(f.record()) }

// made reports whether an interface that w does not name was made for the mesh of w,
// so that w may remove it. Without a mesh those are the user's own. A file of a
// version before meshes had names counts when all of its peers were removed: a
// router that was taken over has to lose its tunnels.
func (w Want) made(f *File) bool {
	if f == nil || !f.Ours {
		return false
	}
	if mesh := f.mesh(); mesh != "" || w.Mesh == "" {
		return w.Owns(mesh)
	}
	peers := parse(f.record())
	return len(peers) > 0 && !slices.ContainsFunc(peers, func(p plan.Peer) bool {
		return !slices.Contains(w.Removed, p.Name)
	})
}

// Gone is what a look before found stale. What another run has made since is not of it, even
// under the same name.
type Gone struct{ Names, Peers []string }

// purges reports whether a purge is of an interface that w does not name.
func (w Want) purges(name string, f *File) bool {
	return w.made(f) && (w.Stale == nil || slices.Contains(w.Stale.Names, name) &&
		!slices.ContainsFunc(parse(f.record()), func(p plan.Peer) bool {
			return !slices.Contains(w.Stale.Peers, nameOf([]plan.Peer{p}, p.PublicKey))
		}))
}

// others are the interfaces that wg_tunnel made for somebody else, sorted.
func (s Have) others(w Want) []string {
	wanted := w.names()
	var out []string
	for _, name := range sortedKeys(s.Interfaces) {
		f := s.Interfaces[name].File
		if _, ok := wanted[name]; !ok && f != nil && f.Ours && !w.purges(name, f) {
			out = append(out, name)
		}
	}
	return out
}

// notOurs refuses a wanted interface that wg_tunnel made for somebody else. A file of
// a version before meshes had names is taken over when it is this very tunnel.
func (w Want) notOurs(t plan.Tunnel, f File) error {
	file := filepath.Join(w.Directory, t.Name+".conf")
	mesh := f.mesh()
	if w.Owns(mesh) {
		return nil
	}
	if mesh != "" {
		return fmt.Errorf("%s: %s belongs to the mesh %s: "+
			"choose another name for this tunnel (in a play mesh_interface_prefix)", t.Name, file, mesh)
	}
	had := parse(f.record())
	known := func(p plan.Peer) bool {
		return slices.ContainsFunc(t.Peers, func(o plan.Peer) bool {
			return o.Name == p.Name || o.PresharedKeyFile != "" && o.PresharedKeyFile == p.PresharedKeyFile
		})
	}
	if len(had) == 0 || slices.ContainsFunc(had, known) {
		return nil
	}
	return fmt.Errorf("%s: %s was made with wg_tunnel for no mesh, to %s: remove it, "+
		"or choose another name (in a play mesh_interface_prefix)", t.Name, file, nameOf(had, had[0].PublicKey))
}

// Unnamed are warnings about tunnels that look like those of this mesh, from a version
// before meshes had names, to somebody who is not in it any more.
func Unnamed(w Want, s Have) []string {
	var out []string
	for _, name := range s.others(w) {
		f := s.Interfaces[name].File
		number, ok := strings.CutPrefix(name, w.InterfacePrefix)
		if _, err := strconv.Atoi(number); !ok || err != nil || w.Mesh == "" || f.mesh() != "" {
			continue
		}
		for _, p := range parse(f.record()) {
			if path.Base(p.PresharedKeyFile) == number+".psk" {
				out = append(out, fmt.Sprintf("%s: a tunnel to %s that an older version made is left alone: "+
					"if it was one of this mesh, have mesh_state: absent for %s, else end it by hand", name,
					nameOf([]plan.Peer{p}, p.PublicKey), nameOf([]plan.Peer{p}, p.PublicKey)))
			}
		}
	}
	return out
}
