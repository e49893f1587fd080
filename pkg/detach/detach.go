// Package detach starts this program once more, for work that outlives who began it: the
// session of Ansible, the module, or the way to the router.
package detach

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"github.com/wgmesh/router/pkg/program"
)

// launchTime is how long systemd may take to start a unit.
const launchTime = 15 * time.Second

// A Unit is how systemd knows what is started.
type Unit struct {
	Name        string // without .service
	Description string
	Identifier  string   // in the journal
	Properties  []string // besides, as systemd-run(1) takes them
	NoBlock     bool     // do not wait for it: a boot that is not over starts it later
}

// Systemd reports whether systemd runs here, as sd_booted(3) does.
func Systemd() bool {
	_, err := os.Stat("/run/systemd/system")
	return err == nil
}

// Start runs this program with other arguments: in a unit of its own, or in a session of
// its own where systemd does not run.
func Start(ctx context.Context, u Unit, args ...string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if !Systemd() {
		return session(self, args)
	}
	run := []string{
		"--quiet", "--collect", "--unit=" + u.Name, "--description=" + u.Description,
		"--property=SyslogIdentifier=" + u.Identifier, "--property=LimitCORE=0",
	}
	if u.NoBlock {
		run = append(run, "--no-block")
	}
	for _, p := range u.Properties {
		run = append(run, "--property="+p)
	}
	run = slices.Concat(run, []string{self}, args)
	_, err = program.Call{Name: "systemd-run", Args: run, Limit: launchTime}.Run(ctx)
	return err
}

func session(self string, args []string) error {
	cmd := exec.CommandContext(context.Background(), self, args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	return cmd.Process.Release()
}
