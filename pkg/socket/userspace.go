package socket

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

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
