// Package socket finds out who holds a port of this host: a program that stands in
// the way is named by its process, as ss(8) does it, from /proc (proc(5)).
package socket

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wgmesh/router/pkg/cause"
)

// The protocols. Of TCP only sockets that listen count.
const (
	TCP = "tcp"
	UDP = "udp"
)

// listens is the state of a TCP socket that listens (TCP_LISTEN, net/tcp_states.h).
const listens = "0A"

// An Owner is a process that has a socket open.
type Owner struct {
	Name string // of the program, without what a terminal would obey
	PID  int
	Last string // the last word of its command line
}

// WireGuard reports whether it is a WireGuard in user space. Ubuntu 22.04 calls the
// program of wireguard-go wireguard, and by that name it starts itself as a daemon.
func (o Owner) WireGuard() bool { return o.Name == "wireguard-go" || o.Name == "wireguard" }

// Owners returns those of the ports that are held, in the network namespace of the
// calling thread, with the processes that hold them. A port without a process is the
// kernel's own, or its process has just ended.
func Owners(protocol string, ports ...int) (map[int][]Owner, error) {
	held, err := Look(map[string][]int{protocol: ports}, "")
	return held.Ports[protocol], err
}

// Listeners returns the processes that have the Unix socket of this path open, in the
// network namespace of the calling thread.
func Listeners(path string) ([]Owner, error) {
	held, err := Look(nil, path)
	return held.Unix, err
}

// Held says who holds what Look was asked for.
type Held struct {
	Ports map[string]map[int][]Owner // by protocol
	Unix  []Owner
}

// Look is Owners of several protocols and Listeners at once: to find processes takes as
// long for many sockets as for one.
func Look(ports map[string][]int, unix string) (Held, error) {
	type place struct {
		protocol string // empty: the Unix socket
		port     int
	}
	out, inodes, owners := Held{Ports: map[string]map[int][]Owner{}}, map[string]place{}, map[place][]Owner{}
	for protocol, wanted := range ports {
		out.Ports[protocol] = map[int][]Owner{}
		for _, table := range []string{protocol, protocol + "6"} {
			found, err := sockets("/proc/thread-self/net/"+table, protocol == TCP, wanted)
			if err != nil {
				return out, err
			}
			for _, s := range found {
				out.Ports[protocol][s.port] = nil
				if s.inode != "0" { // the kernel's own
					inodes[s.inode] = place{protocol, s.port}
				}
			}
		}
	}
	found, err := listeners(unix)
	if err != nil {
		return out, err
	}
	for _, inode := range found {
		inodes[inode] = place{}
	}
	holders(inodes, owners)
	for p, found := range owners {
		if p == (place{}) {
			out.Unix = found
		} else {
			out.Ports[p.protocol][p.port] = found
		}
	}
	return out, nil
}

// listeners are the numbers of the Unix sockets with a path.
func listeners(path string) (inodes []string, err error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open("/proc/thread-self/net/unix")
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	in := bufio.NewScanner(f)
	for in.Scan() {
		// Num RefCount Protocol Flags Type St Inode Path
		if column := strings.Fields(in.Text()); len(column) == 8 && run(column[7]) == run(path) {
			inodes = append(inodes, column[6])
		}
	}
	return inodes, in.Err()
}

// run is a path in which /var/run is /run, to which it is a link.
func run(path string) string { return strings.TrimPrefix(path, "/var") }

// holders adds the processes that have sockets open, by what each socket stands for.
func holders[K comparable](inodes map[string]K, out map[K][]Owner) {
	if len(inodes) == 0 {
		return
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*") // a pattern of ours is not malformed
	for _, link := range links {
		to, err := os.Readlink(link)
		inode, found := strings.CutPrefix(to, "socket:[")
		key, wanted := inodes[strings.TrimSuffix(inode, "]")]
		if err != nil || !found || !wanted {
			continue // or it has ended meanwhile
		}
		o := owner(filepath.Dir(filepath.Dir(link)))
		if !slices.Contains(out[key], o) {
			out[key] = append(out[key], o)
		}
	}
}

type held struct {
	inode string
	port  int
}

// sockets returns the sockets of a table of /proc/net that have one of the ports.
func sockets(table string, listening bool, ports []int) (out []held, err error) {
	f, err := os.Open(table)
	if errors.Is(err, fs.ErrNotExist) { // a kernel without IPv6
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	in := bufio.NewScanner(f)
	for in.Scan() {
		// sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode
		column := strings.Fields(in.Text())
		if len(column) < 10 || listening && column[3] != listens {
			continue
		}
		_, text, _ := strings.Cut(column[1], ":")
		if port, err := strconv.ParseUint(text, 16, 16); err == nil && slices.Contains(ports, int(port)) {
			out = append(out, held{column[9], int(port)})
		}
	}
	return out, in.Err()
}

// owner is the process of a folder in /proc. What is gone is as good as empty.
func owner(dir string) Owner {
	name, _ := os.ReadFile(filepath.Join(dir, "comm"))
	line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
	words := strings.Split(strings.Trim(string(line), "\x00"), "\x00")
	pid, _ := strconv.Atoi(filepath.Base(dir))
	return Owner{Name: cause.Line(string(name), 64), PID: pid, Last: words[len(words)-1]}
}

// patience is how long a WireGuard in user space may take to answer.
const patience = 5 * time.Second

// ErrHangs reports a process that has the socket open, and does not answer.
var ErrHangs = errors.New("its wireguard-go does not answer")

// Userspace is the socket of an interface whose WireGuard is a process (wgctrl has the same path).
func Userspace(name string) string { return "/var/run/wireguard/" + name + ".sock" }

// Hangs reports a WireGuard in user space that does not answer, for which wgctrl would wait
// for ever, with an error that wraps ErrHangs. Nil also where no process listens: there is
// none, or it is gone.
func Hangs(name string) error { return hangs(Userspace(name), patience) }

func hangs(path string, patience time.Duration) error {
	conn, err := net.DialTimeout("unix", path, patience)
	if err != nil {
		return nil
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience)) // as for each that is open
	// All of the answer comes at once, and the first byte of it holds no secret.
	_, err = io.WriteString(conn, "get=1\n\n")
	if err == nil {
		_, err = conn.Read(make([]byte, 1))
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%w within %v: end that process (kill -KILL), and run again", ErrHangs, patience)
	}
	return nil // whatever it says is for wgctrl to judge
}
