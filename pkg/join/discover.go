package join

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/wgmesh/router/pkg/atomicfile"

	"github.com/wgmesh/router/pkg/inventory"
)

// A members is who is in the mesh, as a source says.
type members struct {
	self string // the name of this router
	file string // the inventory
	// old says that it is the last good answer, and older than inventory_max_age.
	old bool
}

// discover finds the routers and this one's name among them. When nobody answers,
// the last good answer serves.
func (r run) discover(ctx context.Context) (members, error) {
	c := r.config
	found, name, err := r.ask(ctx)
	if err == nil {
		text, err := found.render()
		if err == nil {
			err = atomicfile.Write(c.found(), text, 0o600)
		}
		if err != nil {
			return members{}, unwritten(err)
		}
		return members{self: name, file: c.found()}, nil
	}
	var p problem
	if ctx.Err() != nil || errors.As(err, &p) && p.status == badConfig {
		return members{}, err
	}
	text, missing := os.ReadFile(c.kept())
	if missing != nil {
		return members{}, later("discovery failed: %v", err)
	}
	last, broken := parseKept(text)
	if broken != nil {
		return members{}, later("discovery failed: %v; and %s is damaged: %v", err, c.kept(), broken)
	}
	name, unnamed := self(c, r.machine, last)
	if unnamed != nil {
		return members{}, later("discovery failed: %v", err)
	}
	info, missing := os.Stat(c.kept())
	if missing != nil {
		return members{}, later("discovery failed: %v", err)
	}
	// A clock that was far ahead must not make it good for years. One that is behind somewhat does not matter.
	m := members{self: name, file: c.kept(), old: time.Since(info.ModTime()).Abs() > c.InventoryMaxAge}
	r.say("discovery failed: %v; using the routers known on %s", err,
		info.ModTime().UTC().Format("2006-01-02 15:04 UTC"))
	if m.old {
		r.say("WARNING: that is longer ago than inventory_max_age, %v, or as far ahead: "+
			"nothing new is made from it; see to discovery", c.InventoryMaxAge)
	}
	return m, nil
}

// ask runs ansible-inventory. An answer that is not about this router is none.
func (r run) ask(ctx context.Context) (listing, string, error) {
	c := r.config
	path, err := find("ansible-inventory", c.AnsibleBinDir)
	if err != nil {
		return listing{}, "", err
	}
	dir, err := c.ansibleDir()
	if err != nil {
		return listing{}, "", err
	}
	var args []string
	for _, source := range c.Inventory {
		if _, err := os.Stat(source); err != nil {
			return listing{}, "", fmt.Errorf("%s: no such file or directory", source)
		}
		args = append(args, "-i", source)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.DiscoveryTimeout,
		fmt.Errorf("no answer from %s within discovery_timeout, %v",
			strings.Join(c.Inventory, ", "), c.DiscoveryTimeout))
	defer cancel()
	if err := r.checkCore(ctx, path, dir); err != nil {
		return listing{}, "", err
	}
	var stdout bytes.Buffer
	var stderr tail
	err = tool{
		path: path, args: append(args, "--list"), dir: dir, out: &stdout, err: &stderr,
		// Half of the sources are not the mesh: without this a source that cannot
		// be read is only a warning.
		env: []string{"ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED=1"},
	}.run(ctx)
	if err != nil {
		if why := condense(string(stderr.text)); why != "" && ctx.Err() == nil {
			err = errors.New(why)
		}
		return listing{}, "", err
	}
	list, err := inventory.Parse(stdout.Bytes())
	if err != nil {
		return listing{}, "", errors.New(oneLine(err.Error()))
	}
	found := listing{list}
	if len(found.Members(c.Group)) == 0 {
		return listing{}, "", fmt.Errorf("%s: there is no router in the group %s",
			strings.Join(c.Inventory, ", "), c.Group)
	}
	name, err := self(c, r.machine, found)
	return found, name, err
}

// ansibleDir makes the folder in which Ansible keeps its own things, without what one that was
// killed has left of them. The lock is held, so no other one is at work.
func (c Config) ansibleDir() (string, error) {
	dir := filepath.Join(c.StateDir, "ansible")
	err := errors.Join(os.MkdirAll(dir, 0o700), os.RemoveAll(filepath.Join(dir, "tmp")))
	if err != nil {
		return "", unwritten(err)
	}
	return dir, nil
}
