package bird

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
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
	cmd := exec.CommandContext(ctx, bin, "-p", "-c", "/dev/stdin")
	cmd.Stdin = bytes.NewReader(text)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("bird refuses the configuration: %s (%w)", oneLine(out), err)
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
