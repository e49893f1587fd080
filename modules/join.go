package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/wgmesh/router/pkg/plan"
)

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
