// Package join brings a router into the mesh by itself, at boot and whenever it
// is run again. It finds the routers with ansible-inventory and either runs the
// peering play over SSH to them, or asks a controller to run it.
//
// It decides nothing about tunnels: the play and its modules do. Every outcome is one line that
// says what to do, and an exit status that tells systemd whether another try can help.
package join

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/wgmesh/router/pkg/plan"
)

// Exit statuses besides 0, from sysexits.h.
const (
	usage     = 64 // EX_USAGE
	absent    = 69 // EX_UNAVAILABLE: some others have been missing for long, all else is done
	tryAgain  = 75 // EX_TEMPFAIL: another try can succeed although nothing is changed here
	badConfig = 78 // EX_CONFIG: someone has to change something on this machine first
)

// A problem is an outcome that is not a success.
type problem struct {
	status int
	text   string
}

func (p problem) Error() string { return p.text }

// later is a problem that may be gone at the next try.
func later(format string, args ...any) error {
	return problem{tryAgain, fmt.Sprintf(format, args...)}
}

// wrong is a problem that stays until someone changes this machine.
func wrong(format string, args ...any) error {
	return problem{badConfig, fmt.Sprintf(format, args...)}
}

// unwritten is a file of ours that cannot be written. A disk that is full, or read-only after an error, may be mended
// without a change of this machine's configuration.
func unwritten(err error) error {
	for _, disk := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EIO} {
		if errors.Is(err, disk) {
			return later("%v: make room and make it writable", err)
		}
	}
	return wrong("%v", err)
}

// A run is one start of the command.
type run struct {
	config  Config
	verbose bool
	machine machine
	out     io.Writer
}

const help = `wgmesh join brings this router into the mesh, as the file --config says.

  wgmesh join [--config FILE] [--verbose]
  wgmesh join --core SOURCE...

  --config FILE  how to join (default /etc/wgmesh/join.yml)
  --verbose      show the play as ansible-playbook does
  --core         print the oldest ansible-core that may read the sources of an inventory

Exit status: 0 done, 69 done but for routers that have been missing for ten minutes,
75 try again, 78 something here has to be changed first.
`

// Command is "wgmesh join", which wgmesh has wgmesh-cloud do.
func Command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("wgmesh join", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	path := flags.String("config", plan.JoinFile, "")
	verbose := flags.Bool("verbose", false, "")
	core := flags.Bool("core", false, "")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, _ = io.WriteString(stdout, help)
		return 0
	case err == nil && *core:
		return printCore(stdout, stderr, flags.Args())
	case err == nil && flags.NArg() > 0:
		err = fmt.Errorf("%q is one argument too many", flags.Arg(0))
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "wgmesh join: %v\n\n%s", err, help)
		return usage
	}
	return report(stdout, func() (string, error) {
		config, err := Load(*path)
		if err != nil {
			return "", err
		}
		r := run{config: config, verbose: *verbose, machine: thisMachine(), out: stdout}
		return r.join(ctx)
	})
}

// report runs join, prints its outcome in one line, and returns the exit status.
func report(out io.Writer, join func() (string, error)) int {
	began := time.Now()
	line, err := join()
	var p problem
	switch {
	case err == nil:
	case errors.As(err, &p):
		line = p.text
	default:
		p, line = problem{status: tryAgain}, err.Error()
	}
	if p.status != badConfig {
		line += fmt.Sprintf(" (%.0f s)", time.Since(began).Seconds())
	}
	if _, err := fmt.Fprintf(out, "wgmesh join: %s\n", line); err != nil && p.status == 0 {
		return tryAgain
	}
	return p.status
}

// join does what the mode says, unless another join is at it.
func (r run) join(ctx context.Context) (string, error) {
	if err := os.MkdirAll(r.config.StateDir, 0o700); err != nil {
		return "", unwritten(err)
	}
	unlock, err := lock(r.config.StateDir)
	if errors.Is(err, errBusy) {
		return "another wgmesh join is at work, this one leaves it to that; " +
			"`journalctl -u wgmesh-join` shows how it ends", nil
	}
	if err != nil {
		return "", err
	}
	defer unlock()
	// A run of the controller may have given this router keys that its peers do not know yet.
	switch j, err := os.Stat(plan.UndoJournal); {
	case err == nil:
		return "", later("a change of this router waits for its confirmation since %s: "+
			"another run is at it, or it is taken back soon", j.ModTime().Format(time.TimeOnly))
	case !errors.Is(err, fs.ErrNotExist):
		return "", later("whether a change of this router waits for its confirmation is not known: %v", err)
	}
	if r.config.Mode == "controller" {
		return r.callController(ctx)
	}
	return r.joinFromHere(ctx)
}

func (r run) say(format string, args ...any) {
	_, _ = fmt.Fprintf(r.out, "wgmesh join: "+format+"\n", args...)
}
