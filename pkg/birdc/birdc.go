// Package birdc talks to a running BIRD over its control socket, as birdc(8)
// does. It returns the numeric reply codes, because the exit status of birdc
// is 0 for refusals such as "Nothing to do" and so proves nothing.
//
// It knows the line protocol and nothing about configurations, routes or
// sessions: pkg/bird and pkg/status give the codes a meaning.
package birdc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// Socket is where Debian's bird2 has its control socket.
const Socket = "/run/bird/bird.ctl"

// CodeReady is the greeting of a BIRD that listens.
const CodeReady = 1

// maxReply bounds one reply. A full table of a mesh is far below it; a peer
// that is not BIRD shall not fill the memory.
const maxReply = 64 << 20

// patience bounds every answer. BIRD gives one within milliseconds, or tens of
// them while it converges; the kernel accepts connections for one that is stopped.
const patience = 3 * time.Second

// ErrNotRunning reports that no BIRD listens on the socket.
var ErrNotRunning = errors.New("no BIRD listens on the control socket")

// ErrSilent reports a BIRD that listens and does not answer.
var ErrSilent = fmt.Errorf("BIRD does not answer within %v: "+
	"restart it (systemctl restart bird), or kill -CONT it if stopped", patience)

// A Client is one connection to BIRD. It is not safe for concurrent use.
type Client struct {
	conn net.Conn
	in   *bufio.Reader
}

// Dial connects to the control socket at path and reads the greeting. The
// error wraps ErrNotRunning when the socket is absent or nobody listens, and no other
// one does: whoever is not let in knows nothing of BIRD.
func Dial(ctx context.Context, path string) (*Client, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, ErrSilent)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	for errors.Is(err, syscall.EAGAIN) && ctx.Err() == nil { // so many wait for BIRD already
		time.Sleep(20 * time.Millisecond)
		conn, err = d.DialContext(ctx, "unix", path)
	}
	if os.IsTimeout(err) { // on a busy machine the dialer sees the same deadline first
		<-ctx.Done()
	}
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return nil, fmt.Errorf("bird control socket %s: %w", path, context.Cause(ctx))
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR):
		return nil, fmt.Errorf("bird control socket %s: %w: %w", path, ErrNotRunning, err)
	default:
		return nil, fmt.Errorf("bird control socket %s: %w", path, err)
	}
	c := &Client{conn: conn, in: bufio.NewReader(conn)}
	greeting, err := c.read(ctx)
	if err == nil && greeting.Code() != CodeReady {
		err = fmt.Errorf("expected greeting 0001, got %04d %q", greeting.Code(), greeting.Text())
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("bird control socket %s: %w", path, err)
	}
	return c, nil
}

// Command sends one command line, for example "show status", and returns the whole reply. When BIRD
// refuses it (a code from 8000) the error is an *Error and the reply is returned too. After any
// other error, also that of ctx, the connection is useless: close it.
func (c *Client) Command(ctx context.Context, text string) (Reply, error) {
	if strings.ContainsAny(text, "\r\n\x00") {
		return Reply{}, fmt.Errorf("bird command %q: a command is one line", text)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, ErrSilent)
	defer cancel()
	stop := c.watch(ctx)
	_, err := io.WriteString(c.conn, text+"\n")
	stop()
	if err != nil {
		return Reply{}, fmt.Errorf("bird command %q: %w", text, because(ctx, err))
	}
	reply, err := c.read(ctx)
	if err != nil {
		return reply, fmt.Errorf("bird command %q: %w", text, err)
	}
	if reply.Code() >= 8000 {
		return reply, &Error{Command: text, Code: reply.Code(), Text: reply.Text()}
	}
	return reply, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Do connects, sends one command and closes the connection again.
func Do(ctx context.Context, path, command string) (Reply, error) {
	c, err := Dial(ctx, path)
	if err != nil {
		return Reply{}, err
	}
	defer func() { _ = c.Close() }()
	return c.Command(ctx, command)
}

func (c *Client) read(ctx context.Context) (Reply, error) {
	defer c.watch(ctx)()
	reply, err := ReadReply(c.in)
	return reply, because(ctx, err)
}

// watch makes the connection's reads and writes end when ctx does.
func (c *Client) watch(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) })
}

// because prefers the context's reason to the time-out error it caused.
func because(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
