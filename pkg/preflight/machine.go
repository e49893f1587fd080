package preflight

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/pkg/cause"
)

// machine asks whether the machine's id is the same at the next boot: the keys and the
// tunnels belong to it, and stay down where it is another one.
func machine(w Want, h Have) []finding {
	if h.Passing == "" || !w.Bound {
		return nil
	}
	return []finding{
		refuse(cause.New("the id of this machine is new at each boot (%s): "+
			"make it last, or set mesh_bind_to_machine to false", h.Passing)),
	}
}

// passing says why /etc/machine-id does not last while the keys beside it do.
func passing(etc string) string {
	path := filepath.Join(etc, "machine-id")
	text, err := os.ReadFile(path)
	switch {
	case err != nil:
		return "" // a machine without an id is not told from another
	case strings.TrimSpace(string(text)) == "uninitialized":
		return path + " says uninitialized"
	case inMemory(path) && !inMemory(nearest(filepath.Join(etc, "wireguard"))):
		return path + " is in memory"
	}
	return ""
}

// inMemory reports whether a file is gone after a boot.
func inMemory(path string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(path, &fs) == nil && (fs.Type == unix.TMPFS_MAGIC || fs.Type == unix.RAMFS_MAGIC)
}

// nearest is a folder, or the nearest above it that there is.
func nearest(folder string) string {
	for folder != "/" {
		if _, err := os.Stat(folder); err == nil {
			break
		}
		folder = filepath.Dir(folder)
	}
	return folder
}
