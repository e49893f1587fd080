package lab

import (
	"cmp"
	"context"
	"crypto/sha256"
	_ "embed" // the recipe is a file of its own
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/wgmesh/router/internal/lab/profile"
)

//go:embed base.sh
var baseRecipe string

// images makes sure that the root file systems are in the cache and gives their layers.
func (l *lab) images(ctx context.Context, wanted []image) (layers, error) {
	out := layers{Routers: map[string][]string{}}
	if strings.ContainsAny(l.cache, `:,'"\`) {
		return out, fmt.Errorf("--cache: %s: overlayfs wants a path without colon and comma", l.cache)
	}
	if err := os.MkdirAll(l.cache, 0o755); err != nil {
		return out, err
	}
	unlock, err := l.lockCache(syscall.LOCK_EX) // two labs make an image one after the other
	if err != nil {
		return out, err
	}
	defer unlock()
	base, err := l.base(ctx, l.suite)
	if err != nil {
		return out, err
	}
	out.Node = []string{base}
	content, err := l.content()
	if err != nil {
		return out, err
	}
	var unmade []batch
	for _, i := range wanted {
		if base, err = l.base(ctx, i.suite); err != nil {
			return out, err
		}
		below := []string{base}
		if len(i.packages) > 0 {
			extra, err := l.extra(ctx, base, i)
			if err != nil {
				return out, err
			}
			below = []string{extra, base}
		}
		if l.bare {
			out.Routers[i.String()] = below
			continue
		}
		b := batch{
			image: i, below: below,
			path: filepath.Join(l.cache, "router-"+hash(baseRecipe+i.String()+l.playbook+content)),
		}
		out.Routers[i.String()] = append([]string{b.path}, below...)
		if _, err := os.Stat(b.path); err != nil {
			unmade = append(unmade, b)
			continue
		}
		now := time.Now()
		if err := os.Chtimes(b.path, now, now); err != nil { // used last, pruned last
			return out, err
		}
	}
	return out, l.makeRouters(ctx, unmade)
}

func (l *lab) lockCache(how int) (func(), error) {
	f, err := os.OpenFile(filepath.Join(l.cache, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), how); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// base is Debian or Ubuntu with sshd, by base.sh.
func (l *lab) base(ctx context.Context, suite string) (string, error) {
	path := filepath.Join(l.cache, "base-"+hash(baseRecipe+suite))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	l.say("making the base image (%s, once; about a minute)", suite)
	work := path + ".new"
	if err := cook(ctx, 15*time.Minute, work, baseRecipe, work, suite); err != nil {
		return "", fmt.Errorf("base image of %s: %w", suite, err)
	}
	if err := os.Rename(work, path); err != nil {
		return "", err
	}
	l.say("base image: %s", path)
	return path, nil
}

// cook runs a recipe that makes the folder work, in namespaces of its own, so that it ends and
// unmounts as a whole.
func cook(ctx context.Context, limit time.Duration, work, recipe string, args ...string) error {
	if err := os.RemoveAll(work); err != nil {
		return err
	}
	argv := []string{"unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-s"}
	_, err := command(ctx, limit, recipe, append(argv, args...)...)
	return err
}

// content is what the router images are made from, besides the base.
func (l *lab) content() (string, error) {
	if l.bare || l.playbook == "none" {
		return "apt", nil
	}
	content, err := collectionContent()
	if text, e := os.ReadFile(l.playbook); e == nil { // else it is the name of a play of the collection
		content += string(text)
	}
	return content, err
}

// makeRouters makes the router layers that the image playbook, or apt-get, has to make.
func (l *lab) makeRouters(ctx context.Context, unmade []batch) error {
	if len(unmade) == 0 {
		return nil
	}
	for _, b := range unmade {
		l.say("making the router image with %s on %s", l.playbook, b.image)
	}
	if err := l.bake(ctx, unmade); err != nil {
		return fmt.Errorf("router image: %w", err)
	}
	for _, b := range unmade {
		l.say("router image: %s", b.path)
	}
	return l.prune()
}

func hash(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s)))[:12] }

// collectionContent hashes what an image is made from: the staged collection,
// which a router that joins by itself has whole.
func collectionContent() (string, error) {
	paths := cmp.Or(os.Getenv("ANSIBLE_COLLECTIONS_PATH"), os.Getenv("ANSIBLE_COLLECTIONS_PATHS"))
	for _, dir := range filepath.SplitList(paths) {
		root := filepath.Join(strings.TrimSuffix(dir, "/ansible_collections"), "ansible_collections/wgmesh/router")
		if _, err := os.Stat(root); err != nil {
			continue
		}
		sum := sha256.New()
		for _, part := range []string{"roles", "playbooks", "plugins", "meta"} {
			err := filepath.WalkDir(filepath.Join(root, part), func(path string, e fs.DirEntry, err error) error {
				if err != nil || !e.Type().IsRegular() || strings.HasSuffix(path, ".pyc") {
					return err
				}
				text, err := os.ReadFile(path)
				fmt.Fprintf(sum, "%s %d\n%s", strings.TrimPrefix(path, root), len(text), text)
				return err
			})
			if err != nil {
				return "", fmt.Errorf("collection: %w", err)
			}
		}
		return fmt.Sprintf("%x", sum.Sum(nil)), nil
	}
	return "", errors.New("collection wgmesh.router is in no folder of ANSIBLE_COLLECTIONS_PATH; " +
		"`make collection` and `. build/env`, or take --image-playbook none")
}

// keepImages is how many router images stay in the cache besides those in use: a
// mixed lab has some at once.
const keepImages = 8

// prune removes the router images that were not used for longest, and what failed
// bakes have left for their logs.
func (l *lab) prune() error {
	used := ""
	states, _ := filepath.Glob(filepath.Join(stateRoot, "*", "state.json"))
	for _, path := range states {
		var s state
		if text, err := os.ReadFile(path); err == nil && json.Unmarshal(text, &s) == nil {
			for _, paths := range s.Layers.Routers {
				used += strings.Join(paths, " ") + " "
			}
		}
	}
	all, _ := filepath.Glob(filepath.Join(l.cache, "router-????????????"))
	age := func(path string) time.Time {
		info, err := os.Stat(path)
		if err != nil {
			return time.Time{}
		}
		return info.ModTime()
	}
	slices.SortFunc(all, func(a, b string) int { return age(b).Compare(age(a)) })
	var problem error
	failed, _ := filepath.Glob(filepath.Join(l.cache, "router-*.new")) // nobody else bakes: the cache is locked
	for _, path := range failed {
		problem = errors.Join(problem, os.RemoveAll(path))
	}
	for i, path := range all {
		if i >= keepImages && !strings.Contains(used, path) {
			problem = errors.Join(problem, os.RemoveAll(path))
		}
	}
	return problem
}

// An image is what a router boots from: a distribution, and what is installed on it
// besides the product's packages and before them.
type image struct {
	suite    string
	packages []string // sorted
}

func (i image) String() string { return strings.Join(append([]string{i.suite}, i.packages...), "+") }

func (l *lab) imageOf(p profile.Profile) image {
	i := image{p.Suite, slices.Concat(p.Installed(l.bare), l.packages)}
	i.suite = cmp.Or(i.suite, l.suite)
	return i
}

//go:embed extra.sh
var extraRecipe string

// extra is the layer over base with an image's packages, by extra.sh.
func (l *lab) extra(ctx context.Context, base string, i image) (string, error) {
	path := filepath.Join(l.cache, "extra-"+hash(baseRecipe+extraRecipe+i.String()))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	l.say("installing %s on %s (once)", strings.Join(i.packages, ", "), i.suite)
	work := path + ".new"
	args := append([]string{base, work}, i.packages...)
	if err := cook(ctx, 10*time.Minute, work, extraRecipe, args...); err != nil {
		return "", fmt.Errorf("image %s: %w", i, err)
	}
	if err := keep(filepath.Join(work, "upper"), path); err != nil {
		return "", err
	}
	return path, os.RemoveAll(work)
}
