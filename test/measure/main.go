// Command measure counts what a reader of this tree has to carry: lines of Go and
// shell, stand-ins, set-ups of networks, repeated code, long files, functions and lines.
// It reads what git tracks in the folder it is given, or in this one.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

var (
	proves    = regexp.MustCompile(`^(internal|test|tests|cmd/lab|molecule|\.ci)/`)
	standIn   = regexp.MustCompile(`(^|/)(fakecloud/[a-z]+/|[a-z_]*fake(_test)?\.(go|py)$|ec2_test\.go$|aws_moto\.py$)`)
	setsUp    = regexp.MustCompile(`CLONE_NEWNET|ip netns add|"netns", "add"|"unshare", "--net"`)
	whether   = regexp.MustCompile(`(tells?|says?) whether`)
	generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT`)
)

type counts struct {
	product, proving, tests, shell, scripts, links, long, functions, tunnels, whether int
	standIns, setUps                                                                  map[string]bool
	largest                                                                           string
	most                                                                              int
}

func main() {
	if len(os.Args) > 1 {
		if err := os.Chdir(os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	c := counts{standIns: map[string]bool{}, setUps: map[string]bool{}}
	out, err := exec.Command("git", "ls-files", "-z").Output()
	if err != nil {
		fmt.Fprintln(os.Stderr, "git ls-files:", err)
		os.Exit(1)
	}
	for _, path := range strings.Split(strings.TrimRight(string(out), "\x00"), "\x00") {
		c.file(path)
	}
	fmt.Printf("Go: product %d, proving %d, tests %d; together %d\n", c.product, c.proving, c.tests,
		c.product+c.proving+c.tests)
	fmt.Printf("shell: %d lines in %d scripts\n", c.shell, c.scripts)
	fmt.Printf("stand-ins %d, set-ups of networks %d, symlinks %d\n", len(c.standIns), len(c.setUps), c.links)
	fmt.Printf("pairs of repeated code: %s\n", pairs())
	fmt.Printf("largest Go file: %s, %d lines\n", c.largest, c.most)
	fmt.Printf("functions over 60 lines %d, Go lines over 120 columns %d\n", c.functions, c.long)
	fmt.Printf("structs called Tunnel %d, \"tells/says whether\" %d\n", c.tunnels, c.whether)
	for name, list := range map[string]map[string]bool{"stand-ins": c.standIns, "set-ups": c.setUps} {
		fmt.Printf("%s: %s\n", name, strings.Join(slices.Sorted(maps.Keys(list)), " "))
	}
}

func (c *counts) file(path string) {
	info, err := os.Lstat(path)
	if err != nil || strings.HasSuffix(path, "main.go") && strings.Contains(path, "measure/") {
		return
	}
	if info.Mode()&os.ModeSymlink != 0 {
		c.links++
		return
	}
	if standIn.MatchString(path) {
		name := path
		if strings.Contains(path, "fakecloud/") {
			name = filepath.Dir(path)
		}
		c.standIns[name] = true
	}
	text, err := os.ReadFile(path)
	if info.IsDir() || err != nil || bytes.HasPrefix(text, []byte{0x7f}) {
		return
	}
	lines := bytes.Count(text, []byte("\n"))
	switch {
	case filepath.Ext(path) == ".go":
		c.source(path, text, lines)
	case filepath.Ext(path) == ".sh" || bytes.HasPrefix(text, []byte("#!")) &&
		bytes.Contains(bytes.SplitN(text, []byte("\n"), 2)[0], []byte("sh")):
		c.shell += lines
		c.scripts++
	}
}

func (c *counts) source(path string, text []byte, lines int) {
	switch {
	case strings.HasSuffix(path, "_test.go"):
		c.tests += lines
	case proves.MatchString(path):
		c.proving += lines
	default:
		c.product += lines
	}
	c.whether += len(whether.FindAll(text, -1))
	if (strings.HasSuffix(path, "_test.go") || proves.MatchString(path)) && setsUp.Match(text) {
		c.setUps[path] = true
	}
	if generated.Match(text) {
		return
	}
	if lines > c.most {
		c.largest, c.most = path, lines
	}
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		if utf8.RuneCount(bytes.ReplaceAll(s.Bytes(), []byte("\t"), []byte("    "))) > 120 {
			c.long++
		}
	}
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, text, parser.SkipObjectResolution)
	if err != nil {
		return
	}
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if !strings.HasSuffix(path, "_test.go") && set.Position(d.End()).Line-set.Position(d.Pos()).Line >= 60 {
				c.functions++
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				t, ok := spec.(*ast.TypeSpec)
				if !ok || !strings.HasSuffix(t.Name.Name, "Tunnel") || !t.Name.IsExported() {
					continue
				}
				if _, ok := t.Type.(*ast.StructType); ok {
					c.tunnels++
				}
			}
		}
	}
}

// pairs is the number of rows that the program duplicates prints, where there is one.
func pairs() string {
	out, err := exec.Command("duplicates", "--most", "200", "--seconds", "120").CombinedOutput()
	if err != nil {
		return "not counted, without the program duplicates"
	}
	return strings.TrimSpace(string(out[:min(len(out), bytes.IndexByte(append(out, '\n'), '\n'))]))
}
