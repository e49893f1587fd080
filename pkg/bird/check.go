package bird

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// What other programs may take: BIRD's parser reads some kilobytes, systemd starts a
// unit. A play gives up on a router after a minute, and this says why before.
const (
	checkTime   = 20 * time.Second
	commandTime = 45 * time.Second
)

// ErrNoBird reports that BIRD is not installed, so nothing could be checked.
var ErrNoBird = errors.New("bird is not installed; install the package bird2")

// Check lets BIRD's own parser read the text. It touches neither the disk nor
// a running daemon.
func Check(ctx context.Context, text []byte) error {
	bin, err := program("bird")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, checkTime, fmt.Errorf("it did not end within %v", checkTime))
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, "-p", "-c", "/dev/stdin")
	cmd.WaitDelay = 2 * time.Second // a child may keep the pipe
	cmd.Stdin = bytes.NewReader(text)
	out, err := cmd.CombinedOutput()
	if err != nil {
		// It stops at an error. After 2.0.12 a warning for each function is before that,
		// since 2.0.12 knows no "-> bool".
		out = bytes.TrimSpace(out)
		return fmt.Errorf("bird refuses the configuration: %s (%w)", oneLine(out[bytes.LastIndexByte(out, '\n')+1:]),
			cmp.Or(context.Cause(ctx), err))
	}
	return nil
}

// program finds a daemon's or administrator's program also when the PATH of
// the login is that of an ordinary user.
func program(name string) (string, error) {
	for _, candidate := range []string{name, "/usr/sbin/" + name, "/usr/local/sbin/" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path, nil
		}
	}
	if name == "bird" {
		return "", ErrNoBird
	}
	return "", fmt.Errorf("%s: not found on this host", name)
}

func oneLine(out []byte) string {
	return strings.Join(strings.Fields(string(out)), " ")
}
