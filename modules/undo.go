package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/wgmesh/router/modules/guarded"
	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/guard"
)

const undoHelp = `wgmesh undo takes the change of this router back that waits for its
confirmation: tunnels, keys, kernel parameters and BIRD, as one.

  wgmesh undo            now
  wgmesh undo --wait ID  when its time is up; the modules start it
  wgmesh undo --boot     when it was made before this boot; systemd starts it
`

// lockPatience is how long to wait for a module that changes this router. One that
// hangs must not keep the router from going back.
const lockPatience = 5 * time.Second

func undoCommand(ctx context.Context, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	boot, id := false, ""
	switch {
	case len(args) == 0:
	case len(args) == 1 && strings.TrimLeft(args[0], "-") == "help":
		fmt.Fprint(stdout, undoHelp)
		return 0
	case len(args) == 1 && args[0] == "--boot":
		boot = true
	case len(args) == 2 && args[0] == "--wait" && args[1] != "":
		id = args[1]
	default:
		fmt.Fprint(stderr, undoHelp)
		return 2
	}
	g := guard.Host()
	say := func(line string) { fmt.Fprintln(stdout, line) }
	err := ansible.Harden()
	switch {
	case err != nil:
	case boot:
		err = report(say)(guarded.UndoAtBoot(ctx, g))
	case id != "":
		err = g.Wait(ctx, id, func(ctx context.Context) error {
			say("the change was not confirmed in time: taking it back")
			return undo(ctx, g, say, func(j guard.Journal) bool { return j.ID == id && j.Overdue() })
		}, say)
	default:
		err = undo(ctx, g, say, func(guard.Journal) bool { return true })
	}
	if err != nil {
		fmt.Fprintln(stderr, "wgmesh undo:", err)
		return 1
	}
	return 0
}

// undo waits for the router's lock, but not forever.
func undo(ctx context.Context, g guard.Guard, say func(string), due func(guard.Journal) bool) error {
	release, err := ansible.Hold(ctx, lockPatience)
	if err != nil {
		say(err.Error() + "; going on without it")
	} else {
		defer release()
	}
	return report(say)(guarded.Undo(ctx, g, due))
}

func report(say func(string)) func([]string, error) error {
	return func(done []string, err error) error {
		for _, line := range done {
			say(line)
		}
		if len(done) == 0 && err == nil {
			say("nothing waits for its confirmation, or nothing of it had to go back")
		}
		return err
	}
}
