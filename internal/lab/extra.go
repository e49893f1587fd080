package lab

import (
	"cmp"
	"context"
	_ "embed" // the recipe is a file of its own
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wgmesh/router/internal/lab/profile"
)

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
