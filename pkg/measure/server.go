package measure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Server is an iperf3 that serves one test on one address and ends, after the
// test or at the latest after Limit, also when nobody is there any more to end
// it: timeout(1) sees to that.
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

// Stop ends the servers of ours on this address and port, and returns when they
// are gone.
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
