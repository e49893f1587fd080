package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/internal/lab/topology"
)

// dial is ssh's ProxyCommand with ProxyUseFdpass: it connects to a host's sshd
// from inside the management namespace and hands ssh the connected socket, so
// that no relay runs for as long as the connection.
func dial(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("dial: want a namespace and the number of a host, got %q", args)
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return fmt.Errorf("dial: host number: %w", err)
	}
	fd, err := connectTo(args[0], n, 8*time.Second)
	if err != nil {
		return fmt.Errorf("dial: %w; is the host up? `lab status` tells", err)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		return err
	}
	return unix.Sendmsg(1, []byte{0}, unix.UnixRights(fd), nil, 0)
}

// connectTo opens a TCP connection to port 22 of a host by its link-local address.
func connectTo(ns string, n int, limit time.Duration) (int, error) {
	sock := -1
	err := within(ns, func() error {
		bridge, err := net.InterfaceByName("br0")
		if err != nil {
			return fmt.Errorf("namespace %s: br0: %w", ns, err)
		}
		fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return err
		}
		to := &unix.SockaddrInet6{Port: 22, ZoneId: uint32(bridge.Index)}
		to.Addr[0], to.Addr[1], to.Addr[14], to.Addr[15] = 0xfe, 0x80, byte(n>>8), byte(n)
		if err = unix.Connect(fd, to); errors.Is(err, unix.EINPROGRESS) {
			err = established(fd, limit)
		}
		if err != nil {
			_ = unix.Close(fd)
			return err
		}
		sock = fd
		return nil
	})
	return sock, err
}

func established(fd int, limit time.Duration) error {
	for end := time.Now().Add(limit); ; {
		left := int(time.Until(end).Milliseconds())
		if left <= 0 {
			return fmt.Errorf("no answer in %s", limit)
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, left)
		if err == unix.EINTR || n == 0 {
			continue
		}
		if err != nil {
			return err
		}
		code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && code != 0 {
			err = unix.Errno(code)
		}
		return err
	}
}

// answers waits until a host's sshd greets.
func (l *lab) answers(ctx context.Context, h topology.Host, limit time.Duration) error {
	err := error(nil)
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(30 * time.Millisecond) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err = l.greets(h); err == nil {
			return nil
		}
		if len(group(l.Topology.Namespace(h.Name))) == 0 {
			return fmt.Errorf("%s: its container ended; %s", h.Name, l.consoleTail(h.Name))
		}
	}
	return fmt.Errorf("%s: sshd did not answer in %s: %w; %s", h.Name, limit, err, l.consoleTail(h.Name))
}

func (l *lab) greets(h topology.Host) error {
	fd, err := connectTo(l.Topology.Management(), h.Number, 500*time.Millisecond)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), h.Name)
	defer f.Close()
	if err := f.SetReadDeadline(time.Now().Add(3 * time.Second)); err != nil {
		return err
	}
	greeting := make([]byte, 4)
	if _, err := f.Read(greeting); err != nil {
		return err
	}
	if string(greeting) != "SSH-" {
		return fmt.Errorf("greeted with %q", greeting)
	}
	return nil
}
