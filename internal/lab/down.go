package lab

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/wgmesh/router/internal/lab/topology"
)

var papersOfLab = []string{"inventory.yml", "ssh_config", "known_hosts", "id_ed25519", "id_ed25519.pub"}

// down takes the lab away. It finds it by the names of its namespaces and
// cgroups, so that it also works when the lab was killed while it came up.
func (l *lab) down(context.Context) error {
	if err := l.sweepBakes(); err != nil {
		return err
	}
	was := "down"
	if !l.isUp() && len(l.leftovers()) == 0 {
		was = "not up"
	}
	if err := l.sweep(true); err != nil {
		return err
	}
	l.say("lab %s is %s", l.name, was)
	return os.Remove(l.lockPath())
}

// leftovers names what there is of the lab on this machine.
func (l *lab) leftovers() []string {
	out := namespaces(topology.Prefix(l.name))
	for _, g := range groupsOf(l.name) {
		if base := filepath.Base(g); !slices.Contains(out, base) {
			out = append(out, base)
		}
	}
	return out
}

// sweep ends all processes of the lab and removes its namespaces, its inventory
// and its state and, if told so, the hosts' files.
func (l *lab) sweep(files bool) error {
	l.hangUp("")
	problem := kill(groupsOf(l.name), 30*time.Second)
	for _, ns := range namespaces(topology.Prefix(l.name)) {
		problem = errors.Join(problem, deleteNamespace(ns))
	}
	if problem != nil {
		return problem // the state stays, for another try
	}
	for _, name := range papersOfLab {
		if err := os.Remove(filepath.Join(l.Dir, name)); err != nil && !os.IsNotExist(err) {
			problem = errors.Join(problem, err)
		}
	}
	if files {
		problem = errors.Join(problem, os.RemoveAll(filepath.Join(l.Dir, "hosts")))
		if l.name != "lab" {
			_ = os.Remove(l.files().Tool)
			_ = os.Remove(l.Dir) // only if nothing of others is in it
		}
	}
	problem = errors.Join(problem, os.RemoveAll(l.runtime()))
	l.state = state{Dir: l.Dir}
	return problem
}

// hangUp ends the connections that ssh keeps open to a host, or to all of them.
func (l *lab) hangUp(host string) {
	sockets, _ := filepath.Glob(filepath.Join(l.files().Control, "*"))
	for _, s := range sockets {
		if host != "" && filepath.Base(s) != host {
			continue
		}
		// It fails when the master is gone already; then only the socket is left.
		_ = exec.Command("ssh", "-F", "/dev/null", "-o", "ControlPath="+s, "-O", "exit", "lab").Run()
		_ = os.Remove(s)
	}
}
