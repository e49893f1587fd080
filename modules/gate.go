package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/gate"
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
