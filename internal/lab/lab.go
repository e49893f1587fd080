package lab

import (
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/wgmesh/router/internal/lab/topology"
)

// stateRoot is where the state of all labs of this machine lives until it reboots.
const stateRoot = "/run/wgmesh-lab"

type options struct {
	name, dir, limit, playbook, cache, suite string
	inventory, packages                      []string
	bare                                     bool
}

func (o *options) register(f *flag.FlagSet) {
	f.StringVar(&o.name, "name", "lab", "")
	f.StringVar(&o.dir, "dir", "", "")
	f.Func("inventory", "", func(path string) error { o.inventory = append(o.inventory, path); return nil })
	f.StringVar(&o.limit, "limit", "", "")
	f.StringVar(&o.playbook, "image-playbook", "wgmesh.router.image", "")
	f.StringVar(&o.suite, "suite", "bookworm", "")
	f.Func("package", "", func(name string) error { o.packages = append(o.packages, name); return nil })
	f.StringVar(&o.cache, "cache", "/var/cache/wgmesh-lab", "")
	f.BoolVar(&o.bare, "bare", false, "")
}

// state is what a lab remembers while it is up.
type state struct {
	Topology topology.Topology `json:"topology"`
	Dir      string            `json:"dir"`
	Layers   layers            `json:"layers"`
	Cuts     []topology.Cut    `json:"cuts"`
	Booted   []string          `json:"booted"` // hosts that `up` was told to boot
	Input    string            `json:"input"`  // hash of the inventory and options
}

// layers are the root file systems, upper first, as overlayfs takes them.
type layers struct {
	Routers map[string][]string `json:"routers"` // by image
	Node    []string            `json:"node"`
}

// lab is one lab of this machine, up or not.
type lab struct {
	options
	state
	begun time.Time
}

var labName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,23}$`)

// open finds the lab of that name and what it remembers, if it is up.
func open(o options) (*lab, error) {
	if !labName.MatchString(o.name) || o.name == "hosts" {
		return nil, fmt.Errorf("--name: %q: want at most 24 small letters, digits and dashes", o.name)
	}
	l := &lab{options: o, begun: time.Now()}
	text, err := os.ReadFile(l.statePath())
	if err == nil {
		err = json.Unmarshal(text, &l.state)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.state = state{} // a half-written state is not a state: down works without
	}
	l.Dir = cmp.Or(l.Dir, o.dir)
	if l.Dir == "" {
		l.Dir = filepath.Join("build", "lab")
		if o.name != "lab" {
			l.Dir = filepath.Join(l.Dir, o.name)
		}
	}
	l.Dir, err = filepath.Abs(l.Dir)
	if err == nil && strings.ContainsAny(l.Dir, `:,'"\`) {
		err = fmt.Errorf("--dir: %s: overlayfs and ssh want a path without colon, comma, quote and backslash", l.Dir)
	}
	return l, err
}

func (l *lab) runtime() string   { return filepath.Join(stateRoot, l.name) }
func (l *lab) statePath() string { return filepath.Join(l.runtime(), "state.json") }
func (l *lab) isUp() bool        { return l.Topology.Lab != "" }

// hostDir is the folder with a host's files and its console's log.
func (l *lab) hostDir(name string) string { return filepath.Join(l.Dir, "hosts", name) }

func (l *lab) files() topology.Files {
	return topology.Files{
		Tool:       filepath.Join(l.Dir, "lab"),
		Config:     filepath.Join(l.Dir, "ssh_config"),
		Key:        filepath.Join(l.Dir, "id_ed25519"),
		KnownHosts: filepath.Join(l.Dir, "known_hosts"),
		Control:    filepath.Join(l.runtime(), "cp"),
	}
}

// save writes the state in one step: a killed lab leaves the old one or the new.
func (l *lab) save() error {
	text, err := json.MarshalIndent(l.state, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(l.runtime(), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(l.statePath()+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(l.statePath()+".new", l.statePath())
}

// lock lets one command at a time change a lab. The lock dies with the process.
func (l *lab) lock() (func(), error) {
	if err := os.MkdirAll(stateRoot, 0o700); err != nil {
		return nil, err
	}
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		f, err := os.OpenFile(l.lockPath(), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, err
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		// A lab that went down meanwhile took the file away.
		if mine, e := f.Stat(); err == nil && e == nil {
			if there, e := os.Stat(l.lockPath()); e == nil && os.SameFile(mine, there) {
				return func() { f.Close() }, nil
			}
		}
		f.Close()
		if time.Now().After(end) {
			return nil, fmt.Errorf(
				"lab %s: another command has worked on it for 2 minutes; wait for it or end it", l.name)
		}
	}
}

func (l *lab) lockPath() string { return filepath.Join(stateRoot, l.name+".lock") }

func (l *lab) find(name string) (topology.Host, error) {
	if !l.isUp() {
		return topology.Host{}, fmt.Errorf("lab %s is not up", l.name)
	}
	h, ok := l.Topology.Host(name)
	if !ok {
		return h, fmt.Errorf("%s: no host of lab %s; `lab status` lists them", name, l.name)
	}
	return h, nil
}

// say prints one line of progress with the seconds since the command began.
func (l *lab) say(format string, args ...any) {
	fmt.Printf("%6.1fs  %s\n", time.Since(l.begun).Seconds(), fmt.Sprintf(format, args...))
}
