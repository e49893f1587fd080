package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/wg"
)

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
