package join

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/wgmesh/router/pkg/atomicfile"
)

// discover finds the routers and this one's name among them, and leaves the
// inventory at c.kept(). When nobody answers, the last good answer serves.
func (r run) discover(ctx context.Context) (string, inventory, error) {
	c := r.config
	found, name, err := r.ask(ctx)
	if err == nil {
		text, err := found.render()
		if err == nil {
			err = atomicfile.Write(c.kept(), text, 0o600)
		}
		if err != nil {
			return "", found, wrong("%v", err)
		}
		return name, found, nil
	}
	var p problem
	if ctx.Err() != nil || errors.As(err, &p) && p.status == badConfig {
		return "", found, err
	}
	text, missing := os.ReadFile(c.kept())
	if missing != nil {
		return "", found, later("discovery failed: %v", err)
	}
	old, broken := parseKept(text)
	if broken != nil {
		return "", found, later("discovery failed: %v; and %s is damaged: %v", err, c.kept(), broken)
	}
	name, unnamed := self(c, r.machine, old)
	if unnamed != nil {
		return "", found, later("discovery failed: %v", err)
	}
	when := "before"
	if info, err := os.Stat(c.kept()); err == nil {
		when = "on " + info.ModTime().UTC().Format("2006-01-02 15:04 UTC")
	}
	r.say("discovery failed: %v; using the routers known %s", err, when)
	return name, old, nil
}

// ask runs ansible-inventory. An answer that is not about this router is none.
func (r run) ask(ctx context.Context) (inventory, string, error) {
	c := r.config
	path, err := find("ansible-inventory", c.AnsibleBinDir)
	if err != nil {
		return inventory{}, "", err
	}
	dir, err := c.ansibleDir()
	if err != nil {
		return inventory{}, "", err
	}
	var args []string
	for _, source := range c.Inventory {
		if _, err := os.Stat(source); err != nil {
			return inventory{}, "", fmt.Errorf("%s: no such file or directory", source)
		}
		args = append(args, "-i", source)
	}
	if err := r.checkCore(ctx, path, dir); err != nil {
		return inventory{}, "", err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.DiscoveryTimeout,
		fmt.Errorf("no answer from %s within discovery_timeout, %v", strings.Join(c.Inventory, ", "), c.DiscoveryTimeout))
	defer cancel()
	var stdout bytes.Buffer
	var stderr tail
	err = tool{
		path: path, args: append(args, "--list"), dir: dir, out: &stdout, err: &stderr,
		// Half of the sources are not the mesh: without this a source that can not
		// be read is only a warning.
		env: []string{"ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED=1"},
	}.run(ctx)
	if err != nil {
		if why := condense(string(stderr.text)); why != "" && ctx.Err() == nil {
			err = errors.New(why)
		}
		return inventory{}, "", err
	}
	found, err := parseList(stdout.Bytes())
	if err != nil {
		return inventory{}, "", errors.New(oneLine(err.Error()))
	}
	if len(found.members(c.Group)) == 0 {
		return inventory{}, "", fmt.Errorf("%s: there is no router in the group %s", strings.Join(c.Inventory, ", "), c.Group)
	}
	name, err := self(c, r.machine, found)
	return found, name, err
}

// ansibleDir makes the folder in which Ansible keeps its own things.
func (c Config) ansibleDir() (string, error) {
	dir := filepath.Join(c.StateDir, "ansible")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", wrong("%v", err)
	}
	return dir, nil
}
