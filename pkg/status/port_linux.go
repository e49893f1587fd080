package status

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// bgpPort is TCP 179 as the kernel writes it.
const bgpPort = ":00B3"

// noSocket is what BIRD says of a session that it could not listen for. It does
// not try again.
const noSocket = "No listening socket"

// portHolder names the processes that listen on TCP 179, other than BIRD, or is
// empty.
func portHolder() string {
	inodes := append(listeners("/proc/self/net/tcp"), listeners("/proc/self/net/tcp6")...)
	if len(inodes) == 0 {
		return ""
	}
	var names []string
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*") // a pattern of ours is not malformed
	for _, link := range links {
		to, err := os.Readlink(link)
		if err != nil || !slices.Contains(inodes, to) {
			continue
		}
		proc := filepath.Dir(filepath.Dir(link))
		comm, _ := os.ReadFile(filepath.Join(proc, "comm")) // gone is as good as empty
		name := fmt.Sprintf("%s, pid %s", printable(strings.TrimSpace(string(comm))), filepath.Base(proc))
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "a process that cannot be found"
	}
	return strings.Join(names, " and ")
}

// listeners lists the sockets that listen on TCP 179, as links in /proc have them.
func listeners(table string) (links []string) {
	f, err := os.Open(table)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	for in := bufio.NewScanner(f); in.Scan(); {
		// sl local_address rem_address st queues timer retransmits uid timeout inode
		column := strings.Fields(in.Text())
		const listen, inode = "0A", 9
		if len(column) > inode && strings.HasSuffix(column[1], bgpPort) && column[3] == listen {
			links = append(links, "socket:["+column[inode]+"]")
		}
	}
	return links
}
