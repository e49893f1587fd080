// Command probe is a module that tells how it was run. The tests of the action
// plugin run it in place of the real modules.
package main

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/wgmesh/router/pkg/ansible"
)

type options struct {
	Path    string     `json:"path"` // the file whose content it manages
	Content string     `json:"content"`
	State   string     `json:"state"`
	Fault   string     `json:"fault"`
	Port    int        `json:"port"`
	Flag    bool       `json:"flag"`
	Via     netip.Addr `json:"via"`
	List    []string   `json:"list"`
	Nested  map[string][]struct {
		Port int `json:"port"`
	} `json:"nested"`
}

func (o options) Validate() error { return ansible.Required("path", o.Path) }

func main() {
	argv := os.Args[1:]
	if filepath.Base(os.Args[0]) == "wgmesh" {
		argv = argv[1:] // the name of the module, which may be any
	}
	module := ansible.New(plan)
	if len(os.Args) > 1 && os.Args[1] == "mesh_steps" {
		module = ansible.Sequence(map[string]ansible.Module{"probe": module, "bird_config": module})
	}
	module.Main(argv)
}

func plan(_ context.Context, o options) (ansible.Plan, error) {
	have, err := os.ReadFile(o.Path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return ansible.Plan{}, err
	}
	switch o.Fault {
	case "kill":
		os.Exit(3)
	case "hang": // in the middle of the answer
		_, _ = os.NewFile(1, "stdout").WriteString(`{"changed": fal`)
		time.Sleep(20 * time.Second)
	case "plan":
		return ansible.Plan{}, errors.New("wg20: no such interface")
	}
	_, err = os.Stat(os.Args[len(os.Args)-1])
	return ansible.Plan{
		Before: string(have), After: o.Content, Changed: string(have) != o.Content,
		Apply: func(context.Context) (ansible.Outcome, error) {
			if err := os.WriteFile(o.Path, []byte(o.Content), 0o600); err != nil {
				return ansible.Outcome{}, err
			}
			out := ansible.Outcome{Done: []string{"wrote the file"}}
			if o.Fault == "apply" {
				return out, errors.New("wg20: no such interface")
			}
			return out, nil
		},
		Return: map[string]any{
			"uid": os.Getuid(), "program": os.Args[0], "arguments": os.Args[1:],
			"greeting":   os.Getenv("GREETING"),
			"connection": strings.Fields(os.Getenv("SSH_CONNECTION") + " none none")[1], // the client's port
			// the file of arguments is still there
			"left":     err == nil,
			"template": "{{ 1 + 1 }}",
			"options":  o,
		},
		Warnings: warnings(o.Fault),
	}, nil
}

func warnings(fault string) []string {
	if fault == "warn" {
		return []string{"the probe warns"}
	}
	return nil
}
