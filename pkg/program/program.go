// Package program runs the programs of others: systemctl, nft, wg-quick, bird, ping. Each
// has a time limit, speaks English, may print so much, and says in one line why it failed.
package program

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/wgmesh/router/pkg/cause"
)

// Patience is how long a program may take that has no limit of its own. Units wait for the
// network. A play gives up on a router after a minute, and this says why before.
const Patience = 45 * time.Second

// grace is how long a program whose time is up has to end, and how long we read what a
// child of one that has ended may still print.
const grace = 2 * time.Second

// most is how much a program may print, in bytes: a ruleset with sets of 100,000 addresses has less.
const most = 16 << 20

// ErrMuch reports that a program printed more than that.
var ErrMuch = fmt.Errorf("it printed more than %d MiB", most>>20)

// A Call is one run of a program.
type Call struct {
	Name  string
	Args  []string
	Stdin string
	Limit time.Duration // Patience, if it is zero
	Attr  *syscall.SysProcAttr
}

// A Said is what a program printed.
type Said struct{ Out, Err string }

// A Failure is a program that did not run, or not to a good end.
type Failure struct {
	Command string
	Words   string // what it said of that, in a line; may be empty
	Err     error
}

func (f *Failure) Error() string {
	if f.Words == "" {
		return f.Command + ": " + f.Err.Error()
	}
	return f.Command + ": " + f.Words + " (" + f.Err.Error() + ")"
}

// Unwrap returns why, which is an *exec.ExitError where the program has ended by itself.
func (f *Failure) Unwrap() error { return f.Err }

// Run runs a program with its arguments, and returns what it prints on standard output.
func Run(ctx context.Context, name string, args ...string) (string, error) {
	said, err := Call{Name: name, Args: args}.Run(ctx)
	return said.Out, err
}

// Run runs the program. Its error is a *Failure, or that of Find.
func (c Call) Run(ctx context.Context) (Said, error) {
	if _, err := Find(c.Name); err != nil {
		return Said{}, err
	}
	limit := cmp.Or(c.Limit, Patience)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it did not end within %v", limit))
	defer cancel()
	cmd := exec.CommandContext(ctx, c.Name, c.Args...)
	// wireguard-go forks forever when it inherits WG_PROCESS_FOREGROUND=0, and holds our
	// pipes open with LOG_LEVEL.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(kv string) bool {
		k, _, _ := strings.Cut(kv, "=")
		return k == "LC_ALL" || k == "LOG_LEVEL" || k == "WG_PROCESS_FOREGROUND"
	})
	cmd.Env = append(cmd.Env, "LC_ALL=C")
	cmd.SysProcAttr = c.Attr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = grace
	var out, errOut bounded
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(c.Stdin), &out, &errOut
	err := cmd.Run()
	said := Said{out.text.String(), errOut.text.String()}
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay) && ctx.Err() == nil: // a child of it kept a pipe
		return said, nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case out.full || errOut.full:
		err = ErrMuch
	}
	command := cause.Line(strings.Join(append([]string{c.Name}, c.Args...), " "), 120)
	return said, &Failure{Command: command, Words: cmp.Or(Words(said.Err), Words(said.Out)), Err: err}
}

// packages are those of programs that have another name.
var packages = map[string]string{"wg-quick": "wireguard-tools", "nft": "nftables", "systemctl": "systemd"}

type missing string

func (m missing) Error() string {
	if p := packages[string(m)]; p != "" {
		return fmt.Sprintf("%s is not installed: install package %s", string(m), p)
	}
	return string(m) + " is not installed"
}

func (missing) Unwrap() error { return exec.ErrNotFound }

// Find returns where a program is, or an exec.ErrNotFound that says which package has it.
func Find(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", missing(name)
	}
	return path, nil
}

// Words are the last lines of what a program said that are neither the echo of a command
// nor a frame.
func Words(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "[#]") && !strings.ContainsAny(line, "│┌└") {
			lines = append(lines, line)
		}
	}
	return cause.Line(strings.Join(lines[max(0, len(lines)-3):], "; "), 300)
}

// bounded keeps what is written to it, up to a bound. It embeds no buffer, whose ReadFrom io.Copy would
// take and know no bound.
type bounded struct {
	text bytes.Buffer
	full bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.full = b.text.Len()+len(p) > most; b.full {
		return 0, ErrMuch
	}
	return b.text.Write(p)
}

// unitFolders are where a unit is masked.
var unitFolders = []string{"/etc/systemd/system", "/run/systemd/system"}

// Masked is the path by which a unit is linked to nothing (systemctl(1), mask); empty: it is not.
func Masked(unit string) string {
	for _, folder := range unitFolders {
		path := filepath.Join(folder, unit)
		if to, err := os.Readlink(path); err == nil && to == os.DevNull {
			return path
		}
	}
	return ""
}
