package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What pkg/plan names is named once: no other package has a type of that name, and none
// spells a path that is there.
func TestOneLanguage(t *testing.T) {
	ours := regexp.MustCompile(`^"/(etc/wgmesh|etc/wireguard|run/wgmesh)(/[^"]*)?"$`)
	words := []string{"AS", "Neighbor", "Originate", "PresharedKey", "Static", "Tunnel"}
	paths := map[string][]string{}
	for _, root := range []string{"../pkg", "."} {
		each(t, root, func(path string, node ast.Node) {
			in := filepath.Dir(path)
			switch n := node.(type) {
			case *ast.TypeSpec:
				if slices.Contains(words, n.Name.Name) && in != "../pkg/plan" {
					t.Errorf("%s: type %s: expected plan.%s, or another name", path, n.Name.Name, n.Name.Name)
				}
			case *ast.BasicLit:
				if ours.MatchString(n.Value) && in != "../pkg/plan" && in != "../pkg/ansible" { // which imports nothing
					paths[path] = append(paths[path], n.Value)
				}
			}
		})
	}
	require.Empty(t, paths, "expected the constants of pkg/plan")
}

// each goes through the nodes of the product's files below root.
func each(t *testing.T, root string, see func(path string, node ast.Node)) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err == nil {
			ast.Inspect(file, func(n ast.Node) bool { see(path, n); return true })
		}
		return err
	}))
}
