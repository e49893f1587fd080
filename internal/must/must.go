// Package must ends a test where it is asked for something and gets an error.
package must

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Get is what a call answered, in a test that cannot go on without it:
//
//	text := must.Get(os.ReadFile(path))(t)
//
// The test ends with the error, what else is said, and the line of the caller. What was answered is never printed.
func Get[T any](got T, err error) func(t testing.TB, said ...any) T {
	return func(t testing.TB, said ...any) T {
		t.Helper()
		require.NoError(t, err, said...)
		return got
	}
}

// Prefixes are those of a text, or of several, with blanks between them.
func Prefixes(texts ...string) (out []netip.Prefix) {
	for _, text := range strings.Fields(strings.Join(texts, " ")) {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

// Err is the error alone of a call that should be refused.
func Err[T any](_ T, err error) error { return err }

// Run is what a program said, on both of its outputs; the test ends with that where it fails.
func Run(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s: %s", cmd, out)
	return string(out)
}

var update = flag.Bool("update", false, "write the golden files anew; review them")

// Golden holds a text against the file that is kept of it.
func Golden(t testing.TB, path, have string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(have), 0o644))
	}
	want := Get(os.ReadFile(path))(t, "no golden file; make it with go test -update and review it")
	assert.Equal(t, string(want), have)
}

// Write makes a file, and its folder where that is missing.
func Write(t testing.TB, path, text string, mode os.FileMode) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), mode))
}

// Tree is a folder and all that is below it, by path: the mode and time of each, and of a file
// the size and the sum. It is empty where there is no folder.
func Tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil
		} else if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		out[path] = fmt.Sprint(info.Mode(), info.ModTime())
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			out[path] += fmt.Sprintf(" %d bytes %x", len(data), sha256.Sum256(data))
			return err
		}
		return nil
	}))
	return out
}
