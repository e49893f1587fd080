package atomicfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Replaceable refuses a path at which something is mounted, as a container's volume of one
// file is, and a file that somebody has made immutable: rename(2) does not replace these. Who
// changes something before it writes asks this before.
func Replaceable(path string) error {
	if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() &&
		errors.Is(syscall.Access(path, 2), syscall.EPERM) { // W_OK
		return fmt.Errorf("%s is immutable: chattr -i %[1]s, or leave the router out of the run", path)
	}
	folder, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err == nil {
		folder, err = filepath.Abs(folder)
	}
	if err == nil && slices.Contains(Mounts(), filepath.Join(folder, filepath.Base(path))) {
		return fmt.Errorf("%s is a mount point, which cannot be replaced; use a mount of its folder instead", path)
	}
	return nil // what is wrong otherwise, the write says
}

// mountEscapes are those of proc_pid_mountinfo(5).
var mountEscapes = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// Mounts returns where something is mounted, as this process sees it.
func Mounts() (points []string) {
	text, _ := os.ReadFile("/proc/thread-self/mountinfo")
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 4 {
			points = append(points, mountEscapes.Replace(f[4]))
		}
	}
	return points
}
