package join

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The playbook that peers this router with the others, and the plugin that
// tells what became of it: collection/plugins/callback/join.py.
const (
	playbook = "wgmesh.router.join"
	plugin   = "wgmesh.router.join"
)

// A result is what the plugin writes when the play has ended.
type result struct {
	Peered  []string `json:"peered"`
	Missing []string `json:"missing"`
	Changed int      `json:"changed"`
	Planned bool     `json:"planned"` // mesh_plan has accepted the inventory
}

func (r run) joinFromHere(ctx context.Context) (string, error) {
	c := r.config
	if _, err := os.Stat(c.IdentityFile); err != nil {
		return "", later("identity_file %s: no such file; "+
			"user-data (cloud-init, ssh_keys) brings it or the first boot makes it", c.IdentityFile)
	}
	mesh, err := r.discover(ctx)
	if err != nil {
		return "", err
	}
	ended, err := r.play(ctx, mesh)
	if ended.Planned && mesh.file == c.found() {
		if err := os.Rename(mesh.file, c.kept()); err != nil {
			return "", unwritten(err)
		}
	}
	if err != nil {
		return "", later("%s: %v", mesh.self, err)
	}
	patience := r.patience(ended.Missing)
	if len(ended.Peered) == 0 { // it reaches nobody, so nobody is asked too often
		patience = tryAgain
	}
	return ended.summary(mesh.self, patience)
}

// soon is how long the next try comes soon while the same routers are missing: they may
// boot as well. Then the timer is enough, and who comes back joins by itself.
const soon = 10 * time.Minute

// patience is the exit status for these missing routers. Since when they are missing is
// the time of the file with their names.
func (r run) patience(missing []string) int {
	slices.Sort(missing)
	path, names := filepath.Join(r.config.StateDir, "missing"), strings.Join(missing, "\n")+"\n"
	before, err := os.ReadFile(path)
	if err == nil && string(before) == names {
		info, err := os.Stat(path)
		switch {
		case err == nil && time.Until(info.ModTime()) > time.Minute:
			// The clock was ahead then: written anew, or the wait has no end.
		case err == nil && time.Since(info.ModTime()) > soon:
			return absent
		default:
			return tryAgain
		}
	}
	_ = os.WriteFile(path, []byte(names), 0o600) // without it the next try comes soon
	return tryAgain
}

// play runs the playbook. The lines about single hosts are the plugin's.
func (r run) play(ctx context.Context, mesh members) (result, error) {
	c := r.config
	path, err := find("ansible-playbook", c.AnsibleBinDir)
	if err != nil {
		return result{}, err
	}
	dir, err := c.ansibleDir()
	if err != nil {
		return result{}, err
	}
	report := filepath.Join(dir, "join.json")
	if err := os.Remove(report); err != nil && !errors.Is(err, os.ErrNotExist) {
		return result{}, unwritten(err)
	}
	extra := map[string]any{"wgmesh_self": mesh.self, "wgmesh_identity_file": c.IdentityFile, "mesh_group": c.Group}
	if mesh.old {
		extra["wgmesh_known_only"] = true
	}
	vars, err := json.Marshal(extra)
	if err != nil {
		return result{}, err
	}
	env := []string{
		"ANSIBLE_HOST_KEY_CHECKING=1",
		"ANSIBLE_INVENTORY_ENABLED=yaml",
		"WGMESH_JOIN_REPORT=" + report,
	}
	if r.verbose {
		env = append(env, "ANSIBLE_STDOUT_CALLBACK=default", "ANSIBLE_CALLBACKS_ENABLED="+plugin)
	} else {
		env = append(env, "ANSIBLE_STDOUT_CALLBACK="+plugin)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.PlayTimeout,
		fmt.Errorf("the play did not end within play_timeout, %v; `wgmesh join --verbose` shows where it waits",
			c.PlayTimeout))
	defer cancel()
	var stderr tail
	failed := tool{
		path: path, args: []string{"-i", mesh.file, playbook, "-e", string(vars)}, dir: dir,
		env: env, out: r.out, err: &stderr,
	}.run(ctx)
	if ctx.Err() != nil {
		return result{}, failed
	}
	return outcome(report, failed, string(stderr.text))
}

// outcome is what the plugin has written, and the error of a play that failed though
// nobody is missing.
func outcome(report string, failed error, stderr string) (ended result, err error) {
	text, err := os.ReadFile(report)
	if err != nil {
		return result{}, fmt.Errorf("the play did not start: %s",
			cmp.Or(condense(stderr), "`wgmesh join --verbose` shows more"))
	}
	if err := json.Unmarshal(text, &ended); err != nil {
		return result{}, fmt.Errorf("%s: %w", report, err)
	}
	well := !errors.As(failed, new(*exec.ExitError))
	switch {
	case well && !ended.Planned && len(ended.Peered)+len(ended.Missing) == 0:
		return ended, errors.New("the play has planned nothing: the lines above say why")
	case well, len(ended.Missing) > 0:
		return ended, nil
	}
	if len(ended.Peered) == 0 {
		return ended, errors.New("the play failed before it had asked another router: the lines above say why")
	}
	return ended, fmt.Errorf("peered with %s, but the play failed: the lines above say why",
		of(len(ended.Peered), len(ended.Peered), "routers"))
}

// summary is the outcome of a play that ended; missing is the exit status when some routers were.
func (r result) summary(name string, missing int) (string, error) {
	all := len(r.Peered) + len(r.Missing)
	changed := "nothing changed"
	switch {
	case r.Changed == 1:
		changed = "1 thing changed"
	case r.Changed > 1:
		changed = fmt.Sprintf("%d things changed", r.Changed)
	}
	if len(r.Missing) > 0 {
		return "", problem{missing, fmt.Sprintf("%s: peered with %s; not with %s; %s", name,
			of(len(r.Peered), all, "routers"), strings.Join(r.Missing, ", "), changed)}
	}
	if all == 0 {
		return fmt.Sprintf("%s is in the mesh: it is the only router there, %s", name, changed), nil
	}
	return fmt.Sprintf("%s is in the mesh: %s, %s", name, of(all, all, "peers"), changed), nil
}

func of(some, all int, what string) string { return fmt.Sprintf("%d of %d %s", some, all, what) }
