package wg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// commandTime is how long a tool may take. Units wait for the network. A play gives
// up on a router after a minute, and this says why before.
const commandTime = 45 * time.Second

// run runs a tool and returns what it prints. Its error has the last lines of
// that which are not the echo of a command.
func run(ctx context.Context, stdin, name string, args ...string) (stdout string, err error) {
	path, err := look(name)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, commandTime, fmt.Errorf("it did not end within %v", commandTime))
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Args[0] = name // as wg-quick calls it: people look for "wireguard-go wg1"
	// wireguard-go forks forever when it inherits WG_PROCESS_FOREGROUND=0, and
	// holds our pipes open with LOG_LEVEL.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(kv string) bool {
		k, _, _ := strings.Cut(kv, "=")
		return k == "LC_ALL" || k == "LOG_LEVEL" || k == "WG_PROCESS_FOREGROUND"
	})
	cmd.Env = append(cmd.Env, "LC_ALL=C")
	cmd.WaitDelay = 2 * time.Second
	var out, errOut bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errOut
	err = cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it ended well; a child of it kept a pipe
	}
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return out.String(), fmt.Errorf("%s: %w: %s", name, err, lastLines(errOut.String()))
	}
	return out.String(), nil
}

// look finds a tool, or says which package has it.
func look(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	packages := map[string]string{"wg-quick": "wireguard-tools", "nft": "nftables", "systemctl": "systemd"}
	if p := packages[name]; p != "" {
		return "", fmt.Errorf("%s is not installed: install package %s", name, p)
	}
	return "", fmt.Errorf("%s is not installed", name)
}

func lastLines(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "[#]") && !strings.ContainsAny(line, "│┌└") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-3):], "; ")
}
