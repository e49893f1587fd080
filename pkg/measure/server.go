package measure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/pkg/plan"
)

// A Server is an iperf3 that serves one test on one address and ends, after the test or at the
// latest after Limit, also when nobody is there any more to end it: timeout(1) sees to that.
type Server struct {
	Address netip.Addr
	Port    int
	Limit   time.Duration
}

// nobody is who iperf3 runs as when we are root: it reads what anybody sends.
const nobody = 65534

// startWait is how long a server may take to listen, or to end.
const startWait = 3 * time.Second

func (s Server) at() netip.AddrPort { return netip.AddrPortFrom(s.Address, uint16(s.Port)) }

// command is the server's argument list. By all of it but the limit, at
// position 2, a server of ours is known again.
func (s Server) command() []string {
	return []string{
		"timeout", "--kill-after=5", strconv.Itoa(int(s.Limit.Seconds())),
		"iperf3", "--server", "--one-off", "--bind", s.Address.String(), "--port", strconv.Itoa(s.Port),
	}
}

// Serve starts a server and returns when it listens. One that an earlier run
// left on the same address and port is ended first.
func (s Server) Serve(ctx context.Context) error {
	if err := s.Stop(ctx); err != nil {
		return err
	}
	if _, err := exec.LookPath("iperf3"); err != nil {
		return err
	}
	if Listens(s.Address, s.Port) {
		return fmt.Errorf("something else listens on %s: end it, or measure with another port", s.at())
	}
	argv := s.command()
	said, err := scratch()
	if err != nil {
		return err
	}
	defer func() { _ = said.Close() }()
	cmd := exec.Command(argv[0], argv[1:]...) // outlives us, so no context
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", said, said
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	ctx, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	for !Listens(s.Address, s.Port) {
		select {
		case <-ended:
			return fmt.Errorf("iperf3 does not listen on %s: %s", s.at(), words(said))
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("iperf3 does not listen on %s within %s", s.at(), startWait),
				s.Stop(context.WithoutCancel(ctx)))
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

// scratch makes a file without a name, for what the server prints. With a pipe
// it would be told to die at its first word after we are gone.
func scratch() (*os.File, error) {
	fd, err := unix.MemfdCreate("iperf3", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("a file for what iperf3 prints: %w", err)
	}
	return os.NewFile(uintptr(fd), "iperf3"), nil
}

func words(f *os.File) string {
	text := make([]byte, 4096)
	n, _ := f.ReadAt(text, 0)
	return last(string(text[:n]))
}

// Stop ends the servers of ours on this address and port, and returns when they are gone.
func (s Server) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	for {
		left := s.running()
		if len(left) == 0 {
			return nil
		}
		for _, pid := range left {
			if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("end iperf3 of process %d: %w", pid, err)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("iperf3 on %s, below process %d, does not end: end it with kill -9", s.at(), left[0])
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// running lists the processes of timeout(1) that hold a server of ours on this
// address and port. They pass on the signal that ends them.
func (s Server) running() []int {
	want := s.command()
	var out []int
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is right
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		have := splitZero(raw)
		if len(have) != len(want) {
			continue
		}
		have[2] = want[2]
		if slices.Equal(have, want) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			out = append(out, pid)
		}
	}
	return out
}

func splitZero(raw []byte) []string {
	var out []string
	for part := range bytes.SplitSeq(bytes.TrimSuffix(raw, []byte{0}), []byte{0}) {
		out = append(out, string(part))
	}
	return out
}

// Limit is how long a server waits for, and serves, two tests in turn.
func (r Request) Limit() time.Duration {
	return 2*(time.Duration(r.Seconds)*time.Second+settleWait) + 10*time.Second
}

// Serve starts, on the peer, the servers for the two ways to it. It returns what
// the tunnels cannot be served for, as results; those that are served are none.
func (r Request) Serve(ctx context.Context, tunnels []plan.MeasureTunnel) []Result {
	out := []Result{}
	for _, t := range tunnels {
		result := r.Planned(t)
		outside, err := r.outside(t)
		for _, s := range outside {
			err = s.Serve(ctx)
		}
		if err != nil {
			result.Outside.Throughput = failed(err, t.Peer)
		}
		if err := r.server(t.Address).Serve(ctx); err != nil {
			result.Inside.Throughput = failed(err, t.Peer)
		}
		if result.rated() {
			out = append(out, result)
		}
	}
	return out
}

// Stop ends on the peer what Serve started there, if it still runs.
func (r Request) Stop(ctx context.Context, tunnels []plan.MeasureTunnel) error {
	var errs []error
	for _, t := range tunnels {
		servers, err := r.outside(t)
		errs = append(errs, err)
		for _, s := range append(servers, r.server(t.Address)) {
			errs = append(errs, s.Stop(ctx))
		}
	}
	return errors.Join(errs...)
}

func (r Request) server(a netip.Addr) Server {
	return Server{Address: a, Port: r.Port, Limit: r.Limit()}
}

// outside is the server for the way outside, or none when there is no such way.
func (r Request) outside(t plan.MeasureTunnel) ([]Server, error) {
	if !t.Endpoint.IsValid() {
		return nil, nil
	}
	address, err := BindAddress(t.Endpoint)
	if err != nil {
		return nil, err
	}
	return []Server{r.server(address)}, nil
}

// Listens reports whether a program listens on exactly this address and TCP port.
// It reads the kernel's list (proc_net_tcp in the kernel's documentation): a
// connection would be taken for the one test.
func Listens(address netip.Addr, port int) bool {
	const listen = "0A"
	path := "/proc/net/tcp"
	if address.Is6() {
		path = "/proc/net/tcp6"
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	want := local(address, port)
	for row := range strings.Lines(string(text)) {
		f := strings.Fields(row)
		if len(f) > 3 && f[1] == want && f[3] == listen {
			return true
		}
	}
	return false
}

// local is an address and port as the kernel's list has it: words of 32 bits, in
// the byte order of the machine, which is little-endian wherever this runs.
func local(address netip.Addr, port int) string {
	var b strings.Builder
	raw := address.AsSlice()
	for ; len(raw) > 0; raw = raw[4:] {
		fmt.Fprintf(&b, "%02X%02X%02X%02X", raw[3], raw[2], raw[1], raw[0])
	}
	fmt.Fprintf(&b, ":%04X", port)
	return b.String()
}

// BindAddress is the address of this router at which packets to its endpoint
// arrive: the endpoint itself, or when a cloud maps that one to one, the
// address from which packets to the outside start.
func BindAddress(endpoint netip.Addr) (netip.Addr, error) {
	// Nothing is sent: a UDP socket that connects only asks for the route.
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(endpoint, 9)))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("route to the outside, to serve on: %w", err)
	}
	defer func() { _ = conn.Close() }()
	// To an own address, the source is that address.
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}
