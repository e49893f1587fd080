package wg

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Ports says who holds which of these UDP ports, but for the WireGuard interfaces
// with the given names.
func (h *Host) Ports(ports []int, except []string) (map[int]string, error) {
	out := map[int]string{}
	if len(ports) == 0 {
		return out, nil
	}
	inodes := map[string]int{} // of sockets, by number
	for _, table := range []string{"udp", "udp6"} {
		if err := readSockets("/proc/thread-self/net/"+table, ports, inodes); err != nil {
			return nil, err
		}
	}
	if len(inodes) == 0 {
		return out, nil
	}
	for _, port := range inodes {
		out[port] = "the kernel (another WireGuard interface? see wg show)"
	}
	for inode, owner := range owners(inodes) {
		out[inodes[inode]] = owner.words
		for _, name := range except {
			if owner.name == "wireguard-go" && owner.last == name {
				delete(out, inodes[inode])
			}
		}
	}
	return out, nil
}

// readSockets adds the sockets of a table of /proc/net that have one of the ports.
func readSockets(table string, ports []int, inodes map[string]int) error {
	f, err := os.Open(table)
	if errors.Is(err, fs.ErrNotExist) { // a kernel without IPv6
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	for in := bufio.NewScanner(f); in.Scan(); {
		// sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode
		column := strings.Fields(in.Text())
		if len(column) < 10 {
			continue
		}
		_, text, _ := strings.Cut(column[1], ":")
		port, err := strconv.ParseUint(text, 16, 16)
		for _, p := range ports {
			if err == nil && int(port) == p {
				inodes[column[9]] = p
			}
		}
	}
	return nil
}

// An owner is the process of a socket.
type owner struct{ name, last, words string }

// owners finds the processes that have these sockets open. What ends meanwhile, or
// is nobody's, is left out.
func owners(inodes map[string]int) map[string]owner {
	out := map[string]owner{}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		to, err := os.Readlink(link)
		inode, ok := strings.CutPrefix(to, "socket:[")
		inode = strings.TrimSuffix(inode, "]")
		if _, wanted := inodes[inode]; err != nil || !ok || !wanted {
			continue
		}
		dir := filepath.Dir(filepath.Dir(link))
		name, _ := os.ReadFile(dir + "/comm")
		line, _ := os.ReadFile(dir + "/cmdline")
		words := strings.Split(strings.Trim(string(line), "\x00"), "\x00")
		o := owner{name: printable(string(name)), last: words[len(words)-1]}
		o.words = fmt.Sprintf("%s (process %s)", o.name, filepath.Base(dir))
		out[inode] = o
	}
	return out
}

// printable takes from a process's name what could not be read on one line.
func printable(name string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.TrimSpace(name))
}
