package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/wgmesh/router/modules/guarded"
	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/gate"
	"github.com/wgmesh/router/pkg/guard"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/wg"
)

const gateHelp = `wgmesh gate ROUTER runs the module mesh_peer for the router ROUTER, whose request
is on standard input. sshd starts it for the account wgmesh, by the line of
/etc/wgmesh/authorized_keys that has ROUTER's host key.
`

// gateCommand is the door for routers that join by themselves: whatever a caller
// asked sshd to run, it gets mesh_peer, for the tunnel between the two.
func gateCommand(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) != 1 || args[0] == "--help" {
		fmt.Fprint(stderr, gateHelp)
		return 2
	}
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	request, err := readRequest(ctx, stdin)
	var arguments []byte
	if err == nil {
		arguments, err = gate.Admit(request, args[0])
	}
	var release func()
	if err == nil {
		release, err = ansible.Turn(ctx, "gate-"+args[0])
	}
	if err != nil {
		return refuse(err, stdout)
	}
	defer release()
	return modules()["mesh_peer"].Patient().Run(nil, bytes.NewReader(arguments), stdout)
}

// requestLimit is how long a caller may take to send its request. Ansible sends it
// at once; an sftp, say, would wait for an answer forever, and so would we.
const requestLimit = 10 * time.Second

func readRequest(ctx context.Context, stdin io.Reader) ([]byte, error) {
	type answer struct {
		request []byte
		err     error
	}
	ch := make(chan answer, 1)
	go func() {
		request, err := io.ReadAll(io.LimitReader(stdin, gate.MaxRequest+1))
		ch <- answer{request, err}
	}()
	select {
	case a := <-ch:
		return a.request, a.err
	case <-ctx.Done():
		return nil, fmt.Errorf("gate: no request came within %v; a shell, a file or a tunnel is not to be had here",
			requestLimit)
	}
}

// refuse answers in the form of a module, so that the caller's Ansible shows why.
func refuse(err error, stdout io.Writer) int {
	text, _ := json.Marshal(map[string]any{"failed": true, "changed": false, "msg": err.Error()})
	_, werr := stdout.Write(append(text, '\n'))
	if werr != nil {
		return 2
	}
	return 1
}

const handoverHelp = `wgmesh handover INTERFACE KEY NEWKEY SECONDS gives the allowed IPs of the peer KEY of
INTERFACE to the peer NEWKEY as soon as something comes from that one, and back if KEY is
heard again. After SECONDS it removes KEY if NEWKEY has them and is heard once more. wg_tunnel
starts it when a peer takes a new key.
`

func handoverCommand(ctx context.Context, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 1 && strings.TrimLeft(args[0], "-") == "help" {
		fmt.Fprint(stdout, handoverHelp)
		return 0
	}
	if len(args) != 4 {
		fmt.Fprint(stderr, handoverHelp)
		return 2
	}
	if err := handOver(ctx, args); err != nil {
		fmt.Fprintln(stderr, "wgmesh handover:", err)
		return 1
	}
	return 0
}

func handOver(ctx context.Context, args []string) error {
	o := wg.Handover{Interface: args[0]}
	var errs [3]error
	o.From, errs[0] = plan.ParsePublicKey(args[1])
	o.To, errs[1] = plan.ParsePublicKey(args[2])
	seconds, err := strconv.Atoi(args[3])
	errs[2] = err
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	if err := ansible.Harden(); err != nil {
		return err
	}
	host, err := wg.Open(plan.TunnelDirectory)
	if err != nil {
		return err
	}
	defer func() { _ = host.Close() }()
	return host.HandOver(ctx, o, time.Duration(seconds)*time.Second)
}

// cloudProgram is where the image play puts wgmesh-cloud, always together with wgmesh.
const cloudProgram = plan.JoinCloud

// joinCommand is "wgmesh join", which becomes `wgmesh-cloud join`: it needs HTTP, TLS and
// YAML, which are 3 MB that every router would keep and every task load.
func joinCommand(program string) command {
	return func(_ context.Context, args []string, _ io.Reader, _, stderr io.Writer) int {
		err := syscall.Exec(program, append([]string{"wgmesh", "join"}, args...), os.Environ())
		_, _ = fmt.Fprintf(stderr,
			"wgmesh join: %s: %v; the play wgmesh.router.image with router_join: true brings it\n", program, err)
		return 78 // EX_CONFIG: another try is of no use
	}
}

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
			return undo(ctx, g, say, func(j guard.Journal) bool {
				return (j.ID == id || id == guard.Unread) && j.Overdue()
			})
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
