// Package lab makes the hosts of any wgmesh.router inventory on one Linux machine: booted systemd
// containers for the routers, light ones for the nodes behind them, and the sites' gateways and the
// internet between them as network namespaces. See `lab help`.
package lab

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

const help = `lab makes the hosts of an inventory on this machine (needs root).

  lab up --inventory FILE    boot a host for every router, and nodes behind them
  lab down                   take everything away, also what a killed lab left
  lab stop HOST              cut its power: all its processes and links are gone
  lab start HOST             boot it again; its files were kept
  lab cut A B                drop every packet between two sites or two routers
  lab join [A B]             let them talk again (no names: all of them)
  lab status                 list the hosts
  lab exec HOST COMMAND...   run a command on a host

Options, before the names:
  --name NAME        which lab (default "lab"); several can run side by side
  --dir DIR          its folder (default build/lab, or build/lab/NAME)
  --inventory FILE   what ansible-inventory reads, or its --list output (.json);
                     given again, a file that adds to it, such as lab_host of hosts
  --bare             up: boot the routers without the product's packages
  --limit A,B        up: boot only these hosts (lab start boots others later)
  --image-playbook P up: the play that makes the router image
                     (default wgmesh.router.image; "none": only the packages)
  --suite NAME       up: the distribution: bookworm, trixie, jammy or noble
  --package NAME     up: one more on each router, before the image play runs; again for another
  --cache DIR        where root file systems are kept (/var/cache/wgmesh-lab)
`

// Main runs the program with these arguments, and returns its exit status.
func Main(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, args); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		return 1
	}
	return 0
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 || args[0] == "help" || args[0] == "--help" {
		fmt.Print(help)
		return nil
	}
	verb, args := args[0], args[1:]
	if verb == "dial" { // called by ssh for every connection: no flags, no files
		return dial(args)
	}
	var o options
	flags := flag.NewFlagSet("lab "+verb, flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, help) }
	o.register(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("%s: needs root, to make network namespaces and containers", verb)
	}
	l, err := open(o)
	if err != nil {
		return err
	}
	return l.do(ctx, verb, flags.Args())
}

func (l *lab) do(ctx context.Context, verb string, names []string) error {
	want := map[string]int{"up": 0, "down": 0, "status": 0, "stop": 1, "start": 1, "cut": 2}
	if n, ok := want[verb]; ok && n != len(names) {
		return fmt.Errorf("%s: takes %d names, got %d: %q", verb, n, len(names), names)
	}
	switch verb {
	case "status":
		return l.status()
	case "exec":
		return l.exec(names)
	}
	unlock, err := l.lock()
	if err != nil {
		return err
	}
	defer unlock()
	switch verb {
	case "up":
		return l.up(ctx)
	case "down":
		return l.down(ctx)
	case "stop":
		return l.stop(ctx, names[0])
	case "start":
		return l.start(ctx, names[0])
	case "cut":
		return l.cut(ctx, names, true)
	case "join":
		return l.cut(ctx, names, false)
	}
	return fmt.Errorf("%q: unknown; `lab help` lists the commands", verb)
}

// command runs a program to its end with that text as its input. The error holds
// the last line that the program said.
func command(ctx context.Context, limit time.Duration, input string, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin = strings.NewReader(input)
	cmd.WaitDelay = 2 * time.Second
	// A lab that is killed takes its helpers along. The kernel means the thread.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err == nil {
		return out.String(), nil
	}
	if ctx.Err() == context.DeadlineExceeded {
		err = fmt.Errorf("no end after %s", limit)
	}
	said := cmp.Or(strings.TrimSpace(errs.String()), strings.TrimSpace(out.String()))
	if said != "" {
		err = fmt.Errorf("%w: %s", err, strings.ReplaceAll(last(said, 400), "\n", " / "))
	}
	return out.String(), fmt.Errorf("%s: %w", strings.Join(argv[:min(len(argv), 4)], " "), err)
}

// leave starts what is to stay, with what it says in a log.
func leave(cmd *exec.Cmd, path string) error {
	log, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }() // if it ends while we are here, it leaves no zombie
	return nil
}

func last(s string, n int) string {
	if len(s) > n {
		return "..." + s[len(s)-n:]
	}
	return s
}

func (l *lab) status() error {
	if !l.isUp() {
		if left := l.leftovers(); len(left) > 0 {
			return fmt.Errorf("lab %s was killed and has left %s; `lab down --name %s` removes it",
				l.name, strings.Join(left, ", "), l.name)
		}
		fmt.Printf("lab %s is not up\n", l.name)
		return nil
	}
	fmt.Printf("%-20s %-7s %-10s %-16s %-16s %s\n", "host", "site", "zone", "address", "endpoint", "power")
	for _, h := range l.Topology.Hosts {
		power, address, endpoint := "off", "-", "-"
		if l.running(h.Name) {
			power = "on"
		}
		if len(h.Addresses) > 0 {
			address = h.Addresses[0].Addr().String()
		}
		if h.Endpoint.IsValid() {
			endpoint = h.Endpoint.String()
		}
		fmt.Printf("%-20s %-7s %-10s %-16s %-16s %s\n", h.Name, h.Site, h.Zone, address, endpoint, power)
	}
	for _, c := range l.Cuts {
		fmt.Printf("cut: %s from %s\n", c.A, c.B)
	}
	return nil
}

// exec becomes ssh to a host, so that input, output and exit status are its own.
func (l *lab) exec(args []string) error {
	if len(args) < 1 {
		return errors.New("exec: want a host and a command")
	}
	if _, err := l.find(args[0]); err != nil {
		return err
	}
	ssh, err := exec.LookPath("ssh")
	if err != nil {
		return err
	}
	// As root, whoever comes over ssh otherwise: this is the lab's own way in.
	argv := slices.Concat([]string{"ssh", "-F", l.files().Config, "-l", "root", args[0], "--"}, args[1:])
	return syscall.Exec(ssh, argv, syscall.Environ())
}
