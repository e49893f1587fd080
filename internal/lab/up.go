package lab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wgmesh/router/internal/lab/topology"
)

// bootLimit is how long a host may take until its sshd answers. A quiet machine
// needs a second or two for seven of them.
const bootLimit = 2 * time.Minute

// up makes the lab. When it is up already with the same inventory it says so and
// does nothing; with another one that is an error.
func (l *lab) up(ctx context.Context) (err error) {
	text, inv, t, err := l.read(ctx)
	if err != nil {
		return err
	}
	input := fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(text, "%v %s %s %s", l.bare, l.limit, l.suite, l.packages)))
	if l.isUp() {
		return l.again(input)
	}
	booted, err := choose(t, l.limit)
	if err != nil {
		return err
	}
	if left := l.leftovers(); len(left) > 0 {
		return fmt.Errorf("lab %s: a killed lab has left %s; `lab down --name %s` removes it",
			l.name, strings.Join(left, ", "), l.name)
	}
	l.say("lab %s: %d sites, %d routers, %d nodes", l.name, len(t.Sites), len(t.Routers("")),
		len(t.Hosts)-len(t.Routers("")))
	if l.Layers, err = l.images(ctx, l.wanted(t)); err != nil {
		return err
	}
	l.Topology, l.Booted, l.Input = t, booted, input
	if err := l.save(); err != nil {
		return err
	}
	defer func() {
		if err != nil { // what a failed host left behind in its folder is worth a look
			err = fmt.Errorf("%w (logs: %s/hosts/*/console.log)", err, l.Dir)
			err = errors.Join(err, l.sweep(false))
		}
	}()
	// What a failed lab left for its logs.
	if err := os.RemoveAll(filepath.Join(l.Dir, "hosts")); err != nil {
		return err
	}
	if err := l.papers(ctx, inv); err != nil {
		return err
	}
	if err := l.network(ctx); err != nil {
		return err
	}
	l.say("network: the internet, %d gateways, the management network", len(t.Sites))
	routers, others := watchers(t, booted)
	if err := roomToWatch(routers, others, !l.tellWireGuard(ctx)); err != nil {
		return err
	}
	if err := l.bootAll(ctx, booted); err != nil {
		return err
	}
	l.say("up: ansible -i %s all -m raw -a hostname", relative(filepath.Join(l.Dir, "inventory.yml")))
	return nil
}

func (l *lab) read(ctx context.Context) (text []byte, inv topology.Inventory, t topology.Topology, err error) {
	if len(l.inventory) == 0 {
		return nil, inv, t, errors.New(
			"up: --inventory: want the inventory of the mesh, such as examples/field-case/inventory.yml")
	}
	if text, err = readInventory(ctx, l.inventory); err != nil {
		return nil, inv, t, err
	}
	if inv, err = topology.ParseInventory(text); err != nil {
		return nil, inv, t, err
	}
	t, err = topology.New(l.name, inv)
	return text, inv, t, err
}

// wanted gives every router its image and returns the images, each once: of those
// routers too that `lab start` boots later.
func (l *lab) wanted(t topology.Topology) (wanted []image) {
	for i := range t.Hosts {
		if h := &t.Hosts[i]; h.Kind == topology.Router {
			want := l.imageOf(h.Profile)
			h.Image = want.String()
			if !slices.ContainsFunc(wanted, func(o image) bool { return o.String() == h.Image }) {
				wanted = append(wanted, want)
			}
		}
	}
	return wanted
}

// watchers counts the routers that boot, and what else of theirs watches files.
func watchers(t topology.Topology, booted []string) (routers, others int) {
	for _, name := range booted {
		if h, _ := t.Host(name); h.Kind == topology.Router {
			routers++
			others += len(h.Profile.WireGuard) + len(h.Profile.Installed(false)) // Docker and NetworkManager took 3
		}
	}
	return routers, others
}

func (l *lab) again(input string) error {
	if l.Input != input {
		return fmt.Errorf("lab %s is up in %s with another inventory or other options; take it down first",
			l.name, l.Dir)
	}
	var off []string
	for _, name := range l.Booted {
		if !l.running(name) {
			off = append(off, name)
		}
	}
	if len(off) > 0 {
		return fmt.Errorf("lab %s is up, but without %s; `lab start` boots a stopped host, "+
			"`lab down --name %s` ends the lab", l.name, strings.Join(off, ", "), l.name)
	}
	l.say("lab %s is up already: %s", l.name, relative(filepath.Join(l.Dir, "inventory.yml")))
	return nil
}

// choose lists the hosts to boot: all, or those that --limit names.
func choose(t topology.Topology, limit string) ([]string, error) {
	if limit == "" {
		var all []string
		for _, h := range t.Hosts {
			all = append(all, h.Name)
		}
		return all, nil
	}
	names := strings.Split(limit, ",")
	for _, name := range names {
		if _, ok := t.Host(name); !ok {
			return nil, fmt.Errorf("--limit: %s: no host of this inventory", name)
		}
	}
	return names, nil
}

func (l *lab) papers(ctx context.Context, inv topology.Inventory) error {
	f := l.files()
	for _, dir := range []string{l.Dir, f.Control} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	if err := copySelf(f.Tool); err != nil {
		return err
	}
	for _, old := range []string{f.Key, f.Key + ".pub"} {
		if err := os.Remove(old); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	if _, err := command(ctx, time.Minute, "", "ssh-keygen", "-q", "-t", "ed25519", "-N", "",
		"-C", "wgmesh-lab", "-f", f.Key); err != nil {
		return err
	}
	known, err := l.hostKeys()
	if err != nil {
		return err
	}
	text, err := l.Topology.Inventory(inv, f)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(f.KnownHosts, known, 0o644),
		os.WriteFile(f.Config, []byte(l.Topology.SSHConfig(f)), 0o644),
		os.WriteFile(filepath.Join(l.Dir, "inventory.yml"), text, 0o644),
	)
}

// hostKeys are the keys of the bases, for known_hosts: each base has one for all of its hosts.
func (l *lab) hostKeys() ([]byte, error) {
	bases := []string{l.Layers.Node[0]}
	for _, layers := range l.Layers.Routers {
		bases = append(bases, layers[len(layers)-1])
	}
	slices.Sort(bases)
	var out []byte
	for _, base := range slices.Compact(bases) {
		key, err := os.ReadFile(filepath.Join(base, "etc/ssh/ssh_host_ed25519_key.pub"))
		if err != nil {
			return nil, err
		}
		out = append(append(out, "wgmesh-lab "...), key...)
	}
	return out, nil
}

// copySelf keeps the program beside the lab, so that ssh finds it whatever is
// built or cleaned meanwhile.
func copySelf(to string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if a, err := os.Stat(self); err == nil {
		if b, err := os.Stat(to); err == nil && os.SameFile(a, b) {
			return nil
		}
	}
	program, err := os.ReadFile(self)
	if err != nil {
		return err
	}
	if err := os.Remove(to); err != nil && !os.IsNotExist(err) {
		return err
	}
	return os.WriteFile(to, program, 0o755)
}

// bootAll connects the hosts one after the other and boots them at once.
func (l *lab) bootAll(ctx context.Context, names []string) error {
	hosts := make([]topology.Host, 0, len(names))
	for _, name := range names {
		h, _ := l.Topology.Host(name)
		hosts = append(hosts, h)
		if err := l.connect(ctx, h); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := l.boot(ctx, h); err != nil {
			return err
		}
	}
	l.say("%d hosts are booting", len(hosts))
	problems := make([]error, len(hosts))
	var wait sync.WaitGroup
	for i, h := range hosts {
		wait.Go(func() {
			if problems[i] = l.answers(ctx, h, bootLimit); problems[i] == nil {
				problems[i] = l.addressed(ctx, h)
			}
		})
	}
	wait.Wait()
	if err := errors.Join(problems...); err != nil {
		return err
	}
	l.say("%d hosts answer to ssh", len(hosts))
	return nil
}

// tellWireGuard says which WireGuard the tunnels will run in, and returns
// whether it is the kernel's.
func (l *lab) tellWireGuard(ctx context.Context) bool {
	err := ip(ctx, l.Topology.Internet(), "link add wgprobe type wireguard\nlink del wgprobe\n")
	if err == nil {
		l.say("this kernel has WireGuard: tunnels will run in the kernel")
		return true
	}
	l.say("this kernel has no WireGuard: tunnels will run in wireguard-go")
	return false
}

// readInventory asks Ansible, or reads what it has said before. Of several
// inventories the later one adds to the earlier one.
func readInventory(ctx context.Context, paths []string) ([]byte, error) {
	if len(paths) == 1 && strings.HasSuffix(paths[0], ".json") {
		text, err := os.ReadFile(paths[0])
		if err != nil {
			return nil, err
		}
		if bytes.HasPrefix(text, []byte("{")) && bytes.Contains(text, []byte(`"_meta"`)) {
			return text, nil
		}
	}
	var sources []string
	for _, path := range paths {
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("--inventory: %w", err)
		}
		sources = append(sources, "-i", path)
	}
	tool, err := exec.LookPath("ansible-inventory")
	if err != nil {
		return nil, fmt.Errorf("%w; `. build/env` puts the project's own Ansible in the path", err)
	}
	out, err := command(ctx, time.Minute, "", append(append([]string{tool}, sources...), "--list")...)
	return []byte(out), err
}

func relative(path string) string {
	if wd, err := os.Getwd(); err == nil {
		if r, err := filepath.Rel(wd, path); err == nil && !strings.HasPrefix(r, "..") {
			return r
		}
	}
	return path
}

var papersOfLab = []string{"inventory.yml", "ssh_config", "known_hosts", "id_ed25519", "id_ed25519.pub"}

// down takes the lab away. It finds it by the names of its namespaces and
// cgroups, so that it also works when the lab was killed while it came up.
func (l *lab) down(context.Context) error {
	if err := l.sweepBakes(); err != nil {
		return err
	}
	was := "down"
	if !l.isUp() && len(l.leftovers()) == 0 {
		was = "not up"
	}
	if err := l.sweep(true); err != nil {
		return err
	}
	l.say("lab %s is %s", l.name, was)
	return os.Remove(l.lockPath())
}

// leftovers names what there is of the lab on this machine.
func (l *lab) leftovers() []string {
	out := namespaces(topology.Prefix(l.name))
	for _, g := range groupsOf(l.name) {
		if base := filepath.Base(g); !slices.Contains(out, base) {
			out = append(out, base)
		}
	}
	return out
}

// sweep ends all processes of the lab and removes its namespaces, its inventory
// and its state and, if told so, the hosts' files.
func (l *lab) sweep(files bool) error {
	l.hangUp("")
	problem := kill(groupsOf(l.name), 30*time.Second)
	for _, ns := range namespaces(topology.Prefix(l.name)) {
		problem = errors.Join(problem, deleteNamespace(ns))
	}
	if problem != nil {
		return problem // the state stays, for another try
	}
	for _, name := range papersOfLab {
		if err := os.Remove(filepath.Join(l.Dir, name)); err != nil && !os.IsNotExist(err) {
			problem = errors.Join(problem, err)
		}
	}
	if files {
		problem = errors.Join(problem, os.RemoveAll(filepath.Join(l.Dir, "hosts")))
		if l.name != "lab" {
			_ = os.Remove(l.files().Tool)
			_ = os.Remove(l.Dir) // only if nothing of others is in it
		}
	}
	problem = errors.Join(problem, os.RemoveAll(l.runtime()))
	l.state = state{Dir: l.Dir}
	return problem
}

// hangUp ends the connections that ssh keeps open to a host, or to all of them.
func (l *lab) hangUp(host string) {
	sockets, _ := filepath.Glob(filepath.Join(l.files().Control, "*"))
	for _, s := range sockets {
		if host != "" && filepath.Base(s) != host {
			continue
		}
		// It fails when the master is gone already; then only the socket is left.
		_ = exec.Command("ssh", "-F", "/dev/null", "-o", "ControlPath="+s, "-O", "exit", "lab").Run()
		_ = os.Remove(s)
	}
}
