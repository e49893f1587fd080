package bird

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/wgmesh/router/pkg/birdc"
	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/program"
	"github.com/wgmesh/router/pkg/socket"
)

// Reply codes of BIRD, from doc/reply_codes of its source.
const (
	codeDone        = 3
	codeInProgress  = 4
	codeQueued      = 5
	codeConfirmed   = 18
	codeNothing     = 19
	codeCheckOK     = 20
	codeUndoIn      = 22
	codeEval        = 23
	codeProtocol    = 1002
	settle          = 30 * time.Second // for a reconfiguration to come through
	pollInterval    = 50 * time.Millisecond
	protocolColumns = 4
)

// A Daemon is what a running BIRD says about itself.
type Daemon struct {
	Running bool
	Runs    Stamp    // of the text it runs; empty when that is not ours
	Pending bool     // an undo is scheduled
	Left    string   // how long until the undo, in BIRD's words
	Deaf    []string // protocols of the site that hear of no interface any more
	Down    []string // protocols that someone disabled, or whose port is free again, sorted by BIRD
	Up      []string // BGP sessions that are established
}

// ObserveDaemon asks the daemon on the control socket. A BIRD that does not
// run is not an error. One in the middle of a reconfiguration is waited for.
func ObserveDaemon(ctx context.Context, control string) (Daemon, error) {
	c, err := birdc.Dial(ctx, control)
	if errors.Is(err, birdc.ErrNotRunning) {
		return Daemon{}, nil
	}
	if err != nil {
		return Daemon{}, err
	}
	defer func() { _ = c.Close() }()
	d := Daemon{Running: true}
	if err := d.configuration(ctx, c); err != nil {
		return d, err
	}
	// BIRD may take a change back between two answers. What two rounds agree on is true.
	for was := (Daemon{}); d.Pending && (d.Runs != was.Runs || !was.Pending); {
		was = d
		if err := d.configuration(ctx, c); err != nil {
			return d, err
		}
	}
	table, err := c.Command(ctx, "show protocols")
	if err != nil {
		return d, err
	}
	status, err := c.Command(ctx, "show status")
	if err != nil {
		return d, err
	}
	d.Deaf = birdc.Deaf(status.Text(), table.Text())
	for _, l := range table.Lines {
		// Name Proto Table State Since Info...
		column := strings.Fields(l.Text)
		if l.Code != codeProtocol || len(column) < protocolColumns {
			continue
		}
		switch {
		case column[3] == "down" && strings.Contains(l.Text, noSocket) && portTaken(control):
			// To enable it does not help while somebody else has the port.
		case column[3] == "down":
			d.Down = append(d.Down, column[0])
		case column[1] == "BGP" && column[len(column)-1] == "Established":
			d.Up = append(d.Up, column[0])
		}
	}
	return d, nil
}

// configuration asks what the daemon runs, and whether it waits for a confirmation.
func (d *Daemon) configuration(ctx context.Context, c *birdc.Client) error {
	status, err := waitIdle(ctx, c)
	if err != nil {
		return err
	}
	d.Pending, d.Left = false, ""
	for _, l := range status.Lines {
		if l.Code == codeUndoIn {
			d.Pending, d.Left = true, strings.TrimPrefix(l.Text, "Configuration unconfirmed, undo in ")
		}
	}
	d.Runs, err = running(ctx, c)
	return err
}

// noSocket is what BIRD says of a session that it could not listen for. It does not try again
// by itself.
const noSocket = "No listening socket"

// portTaken reports whether somebody else than the BIRD of a control socket listens for
// BGP. What cannot be found out is not a reason to leave a session down.
func portTaken(control string) bool {
	held, err := socket.Owners(socket.TCP, plan.BGPPort)
	birds, _ := socket.Listeners(control)
	owners, taken := held[plan.BGPPort]
	return err == nil && taken && !slices.ContainsFunc(owners, func(o socket.Owner) bool {
		return slices.Contains(birds, o)
	})
}

func running(ctx context.Context, c *birdc.Client) (Stamp, error) {
	reply, err := c.Command(ctx, "eval "+plan.BirdStamp)
	var refused *birdc.Error
	switch {
	case errors.As(err, &refused): // no such constant: not our text
		return "", nil
	case err != nil:
		return "", err
	case reply.Code() != codeEval:
		return "", fmt.Errorf("bird: expected 0023 for eval, got %04d %q", reply.Code(), reply.Text())
	}
	return Stamp(strings.TrimSpace(reply.Text())), nil
}

func waitIdle(ctx context.Context, c *birdc.Client) (birdc.Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	for {
		status, err := c.Command(ctx, "configure status")
		if err != nil {
			return status, err
		}
		if status.Has(codeDone) && !status.Has(codeInProgress, codeQueued) {
			return status, nil
		}
		if !status.Has(codeInProgress, codeQueued) {
			return status, fmt.Errorf("BIRD takes no configuration now (%s): run again", status.Text())
		}
		select {
		case <-ctx.Done():
			return status, fmt.Errorf("bird has been reconfiguring for %s; look at birdc show protocols: %w",
				settle, ctx.Err())
		case <-time.After(pollInterval):
		}
	}
}

// configure sends one command of the "configure" family and waits until its
// effect is there. want is the reply code that means success.
func configure(ctx context.Context, c *birdc.Client, command string, want ...int) error {
	reply, err := c.Command(ctx, command)
	if err != nil {
		return err
	}
	if !reply.Has(want...) {
		return fmt.Errorf("bird %q: expected %04d, got %04d %s", command, want[0], reply.Code(),
			oneLine(reply.Text()))
	}
	_, err = waitIdle(ctx, c)
	return err
}

// A Version is the first two numbers of BIRD's, such as 3.1.
type Version struct{ Major, Minor int }

// hasDev reports whether a next hop may have dev "INTERFACE", where any name may stand.
func (v Version) hasDev() bool { return v.Major >= 3 || v.Minor >= 17 }

// Installed asks the installed BIRD, and refuses one that this configuration is not
// known to be right for: docs/runs/bird.txt has those that were tried.
func Installed(ctx context.Context) (Version, error) {
	said, err := birdProgram(ctx, "", "--version")
	if err != nil {
		return Version{}, err
	}
	return ParseVersion(said.Out + said.Err)
}

// ParseVersion reads what "bird --version" says, such as "BIRD version 2.0.12".
func ParseVersion(text string) (v Version, err error) {
	_, number, _ := strings.Cut(text, "BIRD version ")
	number, _, _ = strings.Cut(strings.TrimSpace(number), "\n")
	n := append(birdc.Numbers(number), 0)
	if len(n) < 3 {
		return v, fmt.Errorf("bird --version: expected a version such as 2.17.6, got %q", oneLine(text))
	}
	v = Version{n[0], n[1]}
	if v.Major == 2 && (v.Minor > 0 || n[2] >= 8) || v.Major == 3 && v.Minor >= 1 {
		return v, nil
	}
	return v, fmt.Errorf("BIRD %s is installed: expected 2.0.8 or a later 2, or 3.1 or a later 3", number)
}

// checkTime is how long BIRD's parser may take. It reads some kilobytes.
const checkTime = 20 * time.Second

// ErrNoBird reports that BIRD is not installed, so nothing could be checked.
var ErrNoBird = errors.New("BIRD is not installed: install the package bird2, on EL bird")

// Check lets BIRD's own parser read the text. It touches neither the disk nor a running daemon.
func Check(ctx context.Context, text []byte) error {
	said, err := birdProgram(ctx, string(text), "-p", "-c", "/dev/stdin")
	if refused, ok := errors.AsType[*program.Failure](err); ok {
		// It stops at an error. After 2.0.12 a warning for each function is before that,
		// since 2.0.12 knows no "-> bool".
		lines := strings.Split(strings.TrimSpace(said.Err), "\n")
		return fmt.Errorf("BIRD refuses the configuration: %s (%w)", oneLine(lines[len(lines)-1]), refused.Err)
	}
	return err
}

func birdProgram(ctx context.Context, stdin string, args ...string) (program.Said, error) {
	said, err := program.Call{Name: "bird", Args: args, Stdin: stdin, Limit: checkTime}.Run(ctx)
	if errors.Is(err, exec.ErrNotFound) {
		err = ErrNoBird
	}
	return said, err
}

func oneLine(text string) string { return cause.Line(text, 300) }
