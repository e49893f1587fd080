package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/wgmesh/router/internal/lab/topology"
)

const cgroupRoot = "/sys/fs/cgroup"

// hierarchies lists the cgroup trees in which each host gets a group of its own:
// the unified one, and beside it the named tree of systemd on a hybrid machine.
// The controllers of version 1 are left alone: containers see only version 2.
func hierarchies() ([]string, error) {
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	var out []string
	unified := false
	for line := range strings.Lines(string(text)) {
		w := strings.Fields(line)
		if len(w) < 4 || !strings.HasPrefix(w[1], cgroupRoot) {
			continue
		}
		unified = unified || w[2] == "cgroup2"
		if w[2] == "cgroup2" || strings.Contains(","+w[3]+",", ",name=systemd,") {
			out = append(out, w[1])
		}
	}
	if !unified {
		return nil, fmt.Errorf("%s: no cgroup version 2 is mounted; the lab's containers need it", cgroupRoot)
	}
	return out, nil
}

// makeGroups makes the groups of a host and lists them.
func makeGroups(name string) ([]string, error) {
	trees, err := hierarchies()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, tree := range trees {
		dir := filepath.Join(tree, name)
		if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
			return nil, err
		}
		out = append(out, dir)
	}
	return out, nil
}

// ownGroups gives a process groups of that name: a command to put before its own where
// systemd rules the cgroups, else what joinGroups wants in the environment.
func ownGroups(name string) (before, env []string, err error) {
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		return []string{
			"systemd-run", "--quiet", "--scope", "--collect",
			"--unit=" + name + ".scope", "--property=Delegate=yes",
		}, nil, nil
	}
	own, err := makeGroups(name)
	return nil, []string{"GROUPS_OF_HOST=" + strings.Join(own, " ")}, err
}

// joinGroups is a shell's way into the groups of ownGroups.
const joinGroups = `for g in $GROUPS_OF_HOST; do echo $$ > "$g/cgroup.procs"; done
unset GROUPS_OF_HOST
`

// groupsOf finds the groups of a lab's hosts and DHCP servers. Its name alone is not
// enough: "wgmesh-join." begins a group of the lab join, and a unit of any router.
func groupsOf(lab string) []string {
	return slices.Concat(groups(topology.Prefix(lab)+"host."), groups(topology.Prefix(lab)+"dhcp."))
}

// groups finds the groups whose names begin with prefix, wherever systemd or the
// lab has put them. The groups inside them are not listed.
func groups(prefix string) []string {
	var out []string
	var walk func(dir string, depth int)
	walk = func(dir string, depth int) {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			switch {
			case !e.IsDir():
			case strings.HasPrefix(e.Name(), prefix):
				out = append(out, path)
			case depth > 0:
				walk(path, depth-1)
			}
		}
	}
	walk(cgroupRoot, 6)
	return out
}

// group finds the groups of exactly one host.
func group(name string) []string {
	var out []string
	for _, dir := range groups(name) {
		if base := filepath.Base(dir); base == name || base == name+".scope" {
			out = append(out, dir)
		}
	}
	return out
}

func pids(dir string) []int {
	var out []int
	_ = filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return nil
		}
		text, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		for _, w := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(w); err == nil && pid > 0 {
				out = append(out, pid)
			}
		}
		return nil
	})
	return out
}

// kill ends every process of the groups with SIGKILL, waits until they are gone
// and removes the groups.
func kill(dirs []string, limit time.Duration) error {
	end := time.Now().Add(limit)
	for _, dir := range dirs {
		for {
			// Kernels before 5.14 have no cgroup.kill; the loop does it then.
			if os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0) != nil {
				for _, pid := range pids(dir) {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			}
			left := pids(dir)
			if len(left) == 0 && remove(dir) {
				break
			}
			if time.Now().After(end) {
				return fmt.Errorf("%s: processes %v still there after %s", dir, left, limit)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	return nil
}

// remove removes a tree of groups, innermost first; false: one is still in use.
func remove(dir string) bool {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			remove(filepath.Join(dir, e.Name()))
		}
	}
	err := syscall.Rmdir(dir)
	return err == nil || err == syscall.ENOENT
}

const (
	watchLimit = "/proc/sys/fs/inotify/max_user_instances"
	// What a booted systemd with its services takes, and a wireguard-go, of
	// inotify instances (counted on Debian 12). They count together for root.
	watchesOfRouter = 7
	watchesOfTunnel = 1
)

// roomToWatch refuses a lab that would exhaust the machine's inotify instances: its hosts would
// hang at boot without a word, and other labs' tunnels fail. The lab does not raise the limit,
// because that is the host's. The others are what profiles add.
func roomToWatch(routers, others int, userspace bool) error {
	text, err := os.ReadFile(watchLimit)
	if err != nil {
		return nil // no inotify, no limit
	}
	limit, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return err
	}
	need := routers * watchesOfRouter
	if userspace {
		need += (routers*(routers-1) + others) * watchesOfTunnel
	}
	if used := watchesInUse(); used+need > limit {
		return fmt.Errorf("this lab needs %d inotify instances and %d of this machine's %d are in use; "+
			"take another lab down, or run: sysctl fs.inotify.max_user_instances=%d", need, used, limit, 4*(used+need))
	}
	return nil
}

// watchesInUse counts the inotify instances of all processes that can be seen.
func watchesInUse() int {
	descriptors, _ := filepath.Glob("/proc/[0-9]*/fd/*") // the pattern is right
	n := 0
	for _, fd := range descriptors {
		if target, err := os.Readlink(fd); err == nil && target == "anon_inode:inotify" {
			n++
		}
	}
	return n
}
