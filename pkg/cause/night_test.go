package cause_test

import (
	"go/ast"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/must"
)

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
