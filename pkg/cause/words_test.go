package cause_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/cause"
)

var (
	verbs   = regexp.MustCompile(`%[-+# 0]*[0-9.]*[a-zA-Z]`)
	numbers = regexp.MustCompile(`%[0-9]*[od]`)
)

// Every cause that this project makes says what to do, and fits into a row of the
// table whatever its arguments are: of each argument at least a dozen characters are
// left, of a number ten, and the words are never cut.
func TestEveryCauseFits(t *testing.T) {
	found := 0
	each(t, func(at string, call *ast.CallExpr) {
		format, ok := text(t, call)
		if !ok {
			t.Errorf("%s: the format has to be a literal, so that this test can measure it", at)
			return
		}
		found++
		plain := strings.ReplaceAll(format, "%%", "%")
		if !strings.Contains(plain, ": ") {
			t.Errorf("%s: it does not say what to do: %s", at, format)
		}
		if do := plain[strings.LastIndex(plain, ": ")+2:]; !cause.Advises(do) && !strings.HasPrefix(do, "expected ") {
			t.Errorf("%s: expected what to do after the last colon, got %s", at, do)
		}
		longest := numbers.ReplaceAllString(plain, "1234567890")
		longest = verbs.ReplaceAllString(longest, "123456789abc")
		if len(longest) > cause.Most {
			t.Errorf("%s: %d characters too many: %s", at, len(longest)-cause.Most, format)
		}
		if len(plain) != len([]rune(plain)) {
			t.Errorf("%s: expected plain ASCII: %s", at, format)
		}
	})
	assert.Greater(t, found, 100, "the test does not find them any more")
}

// Every other error of a module becomes a cause as well. What it says to do is never
// cut, with arguments of a dozen characters, and is found; a question says nothing to do.
func TestWhatToDoIsNotCut(t *testing.T) {
	calls(t, func(_, of, name string) bool {
		return of == "fmt" && name == "Errorf" || of == "errors" && name == "New"
	}, func(at string, call *ast.CallExpr) {
		format, ok := text(t, call)
		if !ok {
			return
		}
		c := cause.Parse(verbs.ReplaceAllString(format, "123456789abc"))
		if strings.Contains(c.Do, "...") {
			t.Errorf("%s: too long: %s", at, format)
		}
		if c.Do == "" && (strings.HasSuffix(format, "?") || strings.Contains(format, ", and run again")) {
			t.Errorf("%s: nobody finds what to do in it: %s", at, format)
		}
	})
}

// each calls f for each place that makes a cause: cause.New, and what in pkg/mesh
// hands its format on to it.
func each(t *testing.T, f func(at string, call *ast.CallExpr)) {
	t.Helper()
	calls(t, func(path, of, name string) bool {
		return of == "cause" && name == "New" && filepath.Base(path) != "problems.go" ||
			filepath.Base(filepath.Dir(path)) == "mesh" && of == "p" && name == "add"
	}, f)
}

// calls calls f for each call of a function that is one.
func calls(t *testing.T, is func(path, of, name string) bool, f func(at string, call *ast.CallExpr)) {
	t.Helper()
	fset := token.NewFileSet()
	for _, root := range []string{"..", "../../modules"} {
		require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(fset, path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				fun, ok := call.Fun.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if of, _ := fun.X.(*ast.Ident); of != nil && is(path, of.Name, fun.Sel.Name) {
					f(fset.Position(call.Pos()).String(), call)
				}
				return true
			})
			return nil
		}))
	}
}

// text is the first argument of a call, if that is a literal, or several with + between.
func text(t *testing.T, call *ast.CallExpr) (out string, ok bool) {
	t.Helper()
	if len(call.Args) == 0 {
		return "", false
	}
	ok = true
	ast.Inspect(call.Args[0], func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			out += must.Get(strconv.Unquote(n.Value))(t)
		case nil, *ast.BinaryExpr:
		default:
			ok = false
		}
		return ok
	})
	return out, ok
}

// A command that a text says to run is on the PATH of a router that joins by itself, and of no
// other one: only what such a router says names it.
func TestNoTextNamesACommandThatIsNotThere(t *testing.T) {
	calls(t, func(path, of, name string) bool {
		said := of == "cause" && name == "New" || of == "errors" && name == "New" ||
			of == "fmt" && (name == "Errorf" || name == "Sprintf")
		return said && !strings.HasPrefix(path, "../join/") && !strings.HasPrefix(path, "../gate/")
	}, func(at string, call *ast.CallExpr) {
		ast.Inspect(call, func(n ast.Node) bool {
			if literal, ok := n.(*ast.BasicLit); ok && strings.Contains(literal.Value, "`wgmesh") {
				t.Errorf("%s: expected a path, or the page that has the command: %s", at, literal.Value)
			}
			return true
		})
	})
}

// Whoever is woken by a line of the table, of a warning or of a note searches docs/at-night.md
// for its words: of each text that the plays status and mesh show of what a router has found,
// the page has the longest run of fixed words before what to do.
func TestTheNightHasEveryCause(t *testing.T) {
	elsewhere := map[string]string{
		"not healthy, problems": "it heads the lines of a router that have the causes",
		"is of those with CVE-2026-49943 (to 2.19.0), unless its package has the fix; " +
			"this configuration is out of its reach (long paths are refused, " +
			"extended messages off": "too long for a row, which begins with it",
	}
	page := strings.Join(strings.Fields(string(must.Get(os.ReadFile("../../docs/at-night.md"))(t))), " ")
	found := 0
	calls(t, func(path, of, name string) bool {
		shown := []string{"status", "preflight", "mesh_status", "mesh_preflight"}
		return slices.Contains(shown, filepath.Base(filepath.Dir(path))) &&
			(of == "cause" && name == "New" || of == "fmt" && name == "Sprintf")
	}, func(at string, call *ast.CallExpr) {
		format, ok := text(t, call)
		if !ok {
			return // TestEveryCauseFits sees that a cause has one
		}
		words := fixed(format)
		if words == "" || elsewhere[words] != "" {
			delete(elsewhere, words)
			return
		}
		found++
		if !strings.Contains(page, words) {
			t.Errorf("%s: docs/at-night.md has no row with %q, of: %s", at, words, format)
		}
	})
	for _, words := range []string{ // those that are put together, here and in causes.py
		"`not in this run: `", "`every tunnel, as ", "`it waits: ", "`its tunnels wait: ", "`drained for ",
		": that is long`",
		"was made in the future (", "CVE-2026-49943 (to 2.19.0)", "wgmesh-failover tries in vain (",
	} {
		assert.Contains(t, page, words)
	}
	assert.Greater(t, found, 100, "the test does not find them any more")
	assert.Empty(t, elsewhere, "no text has these words any more")
}

// fixed is the longest run of words of what was found; empty: it says nothing to do.
func fixed(format string) (words string) {
	at := strings.LastIndex(format, ": ")
	if at < 0 {
		return ""
	}
	for _, run := range verbs.Split(strings.ReplaceAll(format[:at], "%%", "%"), -1) {
		if run = strings.Trim(run, " ,:;()="); len(run) > len(words) {
			words = run
		}
	}
	return words
}
