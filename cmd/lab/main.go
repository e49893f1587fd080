// Lab makes the hosts of any wgmesh.router inventory on one Linux machine. See
// internal/lab/README.md.
package main

import (
	"os"

	"github.com/wgmesh/router/internal/lab"
)

func main() { os.Exit(lab.Main(os.Args[1:])) }
