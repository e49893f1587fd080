// Command wgmesh-cloud holds the modules that speak to a cloud's API, and the commands by which a
// router joins the mesh, keeps the cloud's route tables right and publishes its SSH host key, and
// the preview, which only a controller runs. They are not in wgmesh, because the vendors' SDKs,
// HTTP and TLS would more than double what every router keeps and every task loads.
//
// Ansible starts it as "wgmesh MODULE", as it starts the other one.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	cloudforwarding "github.com/wgmesh/router/modules/cloud_forwarding"
	cloudroutes "github.com/wgmesh/router/modules/cloud_routes"
	meshpreview "github.com/wgmesh/router/modules/mesh_preview"
	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/join"
	"github.com/wgmesh/router/pkg/version"
)

func modules() map[string]ansible.Module {
	return map[string]ansible.Module{
		// These change nothing on this machine.
		"cloud_forwarding": ansible.New(cloudforwarding.Plan, ansible.Unlocked()),
		"cloud_routes":     ansible.New(cloudroutes.Plan, ansible.Unlocked()),
		"mesh_preview":     ansible.New(meshpreview.Plan, ansible.Unlocked()),
	}
}

func main() {
	argv := os.Args[1:]
	// Ansible puts this before the name of a module that it copies to a host.
	module, found := modules()[strings.TrimPrefix(filepath.Base(os.Args[0]), "AnsiballZ_")]
	if !found && len(argv) > 0 {
		module, found = modules()[argv[0]]
		argv = argv[1:]
	}
	if found {
		module.Main(argv)
	}
	commands := map[string]func(context.Context, []string, io.Writer, io.Writer) int{
		"failover": failoverCommand, "join": join.Command, "publish-host-key": publishCommand,
	}
	if len(os.Args) > 1 && commands[os.Args[1]] != nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		os.Exit(commands[os.Args[1]](ctx, os.Args[2:], os.Stdout, os.Stderr))
	}
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Print(version.Line("wgmesh-cloud"))
		return
	}
	fmt.Fprint(os.Stderr,
		"The modules cloud_forwarding, cloud_routes and mesh_preview_info of the Ansible collection wgmesh.router, "+
			"to be run by Ansible.\n"+
			"By hand they take their options as JSON in a file or on standard input:\n\n"+
			"  wgmesh-cloud cloud_routes [FILE]\n\n"+
			"For what a router runs by itself, see `wgmesh join --help`, "+
			"`wgmesh-cloud failover --help` and `wgmesh-cloud publish-host-key --help`.\n"+
			"`wgmesh-cloud --version` names the build.\n")
	os.Exit(2)
}
