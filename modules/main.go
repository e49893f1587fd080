// Command wgmesh holds all modules of the collection wgmesh.router in one binary, so that they
// share their code and reach a router in one piece, and the commands that a router runs by itself.
//
// Ansible starts it as "wgmesh MODULE" with the arguments as JSON on standard input. Under the name
// of a module it is a plain binary module, which gets the name of a file of arguments.
package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	birdconfig "github.com/wgmesh/router/modules/bird_config"
	meshgate "github.com/wgmesh/router/modules/mesh_gate"
	meshguard "github.com/wgmesh/router/modules/mesh_guard"
	meshmeasure "github.com/wgmesh/router/modules/mesh_measure"
	meshpeer "github.com/wgmesh/router/modules/mesh_peer"
	meshplan "github.com/wgmesh/router/modules/mesh_plan"
	meshpreflight "github.com/wgmesh/router/modules/mesh_preflight"
	meshstatus "github.com/wgmesh/router/modules/mesh_status"
	meshsteps "github.com/wgmesh/router/modules/mesh_steps"
	sysctlrouter "github.com/wgmesh/router/modules/sysctl_router"
	wgkeypair "github.com/wgmesh/router/modules/wg_keypair"
	wgpsk "github.com/wgmesh/router/modules/wg_psk"
	wgtunnel "github.com/wgmesh/router/modules/wg_tunnel"
	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/version"
)

func modules() map[string]ansible.Module {
	table := map[string]ansible.Module{
		"bird_config":    ansible.New(birdconfig.Plan),
		"mesh_gate":      ansible.New(meshgate.Plan),
		"mesh_guard":     ansible.New(meshguard.Plan).Patient(),
		"mesh_measure":   ansible.New(meshmeasure.Plan, ansible.Unlocked()),
		"mesh_peer":      ansible.New(meshpeer.Plan),
		"mesh_plan":      ansible.New(meshplan.Plan, ansible.Unlocked()),
		"mesh_preflight": ansible.New(meshpreflight.Plan, ansible.Unlocked()),
		"mesh_status":    ansible.New(meshstatus.Plan, ansible.Unlocked()),
		"sysctl_router":  ansible.New(sysctlrouter.Plan),
		"wg_keypair":     ansible.New(wgkeypair.Plan),
		"wg_psk":         ansible.New(wgpsk.Plan),
		"wg_tunnel":      ansible.New(wgtunnel.Plan),
	}
	table["mesh_steps"] = meshsteps.Module(maps.Clone(table))
	return table
}

// A command is what systemd, sshd or a person starts as "wgmesh COMMAND", and is
// no module. It returns the exit status and ends early when ctx does.
type command func(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int

func commands() map[string]command {
	return map[string]command{
		"gate":     gateCommand,
		"handover": handoverCommand,
		"join":     joinCommand(cloudProgram),
		"undo":     undoCommand,
	}
}

// search returns a PATH with the folders of root's (ENV_SUPATH of login.defs(5)) at its end. A shell over
// SSH, or one of su, may have less.
func search(path string) string {
	return strings.Trim(path+":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", ":")
}

func main() {
	// A module lives for a tenth of a second: collecting its few megabytes costs more than it frees.
	debug.SetGCPercent(400)
	// A login's umask is for what people make. networkd and sshd read our folders as users of their own.
	syscall.Umask(0o022)
	os.Setenv("PATH", search(os.Getenv("PATH")))
	module, argv, found := choose(modules(), os.Args)
	if found {
		os.Setenv("LC_ALL", "C") // what tools say is read
		module.Main(argv)
	}
	if len(argv) > 0 {
		if run, found := commands()[argv[0]]; found {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			os.Exit(run(ctx, argv[1:], os.Stdin, os.Stdout, os.Stderr))
		}
	}
	os.Exit(person(argv, os.Stdout, os.Stderr))
}

// choose finds the module that a command line names, by the program's own name
// or by its first argument, and the arguments that are left for it.
func choose(table map[string]ansible.Module, args []string) (m ansible.Module, argv []string, found bool) {
	// Ansible puts this before the name of a module that it copies to a host.
	name := strings.TrimPrefix(filepath.Base(args[0]), "AnsiballZ_")
	if m, found = table[name]; found {
		return m, args[1:], true
	}
	if len(args) < 2 {
		return m, nil, false
	}
	if m, found = table[args[1]]; found {
		return m, args[2:], true
	}
	return m, args[1:], false
}

// person answers someone who started the program by hand.
func person(argv []string, stdout, stderr io.Writer) (status int) {
	help := "The modules of the Ansible collection wgmesh.router, to be run by Ansible,\n" +
		"and the commands that a router runs by itself.\n" +
		"A module by hand takes its options as JSON in a file or on standard input:\n\n" +
		"  wgmesh MODULE [FILE]\n  wgmesh COMMAND --help\n  wgmesh --version\n\n" +
		"Modules:\n" + list(modules()) + "\nCommands:\n" + list(commands())
	out := stdout
	text := help
	switch {
	case slices.Equal(argv, []string{"--help"}):
	case slices.Equal(argv, []string{"--version"}):
		text = version.Line("wgmesh")
	default:
		out, status = stderr, 2
		if len(argv) > 0 {
			text = fmt.Sprintf("wgmesh: %s: no such module or command\n\n%s", argv[0], help)
		}
	}
	if _, err := io.WriteString(out, text); err != nil {
		return 1
	}
	return status
}

func list[V any](table map[string]V) string {
	return "  " + strings.Join(slices.Sorted(maps.Keys(table)), "\n  ") + "\n"
}
