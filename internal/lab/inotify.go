package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	watchLimit = "/proc/sys/fs/inotify/max_user_instances"
	// What a booted systemd with its services takes, and a wireguard-go, of
	// inotify instances (counted on Debian 12). They count together for root.
	watchesOfRouter = 7
	watchesOfTunnel = 1
)

// roomToWatch refuses a lab that would exhaust the machine's inotify instances:
// its hosts would hang at boot without a word, and other labs' tunnels fail.
// The lab does not raise the limit, because that is the host's. The others are what
// profiles add.
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
