//go:build lab

package proof_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
)

// A secret is a key that exists on one or two routers. It is never printed.
type secret struct {
	text  string
	kind  string
	homes []string // routers that may hold it
}

// secrets reads every key that exists in the lab, past SSH.
func (l lab) secrets(t *testing.T) []secret {
	t.Helper()
	byText := map[string]*secret{}
	var order []string
	for _, r := range l.routers {
		out := l.in(t, r,
			`cd /etc/wireguard && for f in wgmesh.key wgmesh.seal wgmesh-psk/*.psk; `+
				`do echo "$f $(tr -d '\n' < $f)"; done`)
		for line := range strings.Lines(out) {
			file, text, ok := strings.Cut(strings.TrimSpace(line), " ")
			require.True(t, ok && len(text) >= 40, "%s: %s holds no key", r, file)
			if byText[text] == nil {
				byText[text] = &secret{text: text, kind: file}
				order = append(order, text)
			}
			byText[text].homes = append(byText[text].homes, r)
		}
	}
	var all []secret
	for _, text := range order {
		all = append(all, *byText[text])
	}
	return all
}

func killedRun(t *testing.T, l lab) {
	for _, task := range []string{
		"Make and seal the pre-shared keys", "Open the keys, and set up forwarding", "Keep the change of this router",
	} {
		l.killedIn(t, task, "mesh", slices.Concat(patient, []string{"-e", "mesh_rotate_preshared_keys=true"})...)
	}
	l.mesh(t)
	l.allPing(t)
}

func canary(t *testing.T, l lab) {
	old := l.secrets(t) // of the killed runs and all before
	_, transcript, err := l.play(t, "-vvvvv", "--diff", "-e", "mesh_rotate_preshared_keys=true", "-e", "mesh_settle=60")
	require.NoError(t, err, "the rotating run failed")
	all := append(old, l.secrets(t)...)

	patterns := &bytes.Buffer{}
	for _, s := range all {
		if strings.Contains(transcript, s.text) {
			t.Errorf("a secret of %s (%s) is in the transcript", s.homes[0], s.kind)
		}
		patterns.WriteString(s.text + "\n")
	}
	l.grepController(t, patterns.String())
	l.grepRouters(t, all)
}

// grepController looks for secrets in what the controller keeps.
func (l lab) grepController(t *testing.T, patterns string) {
	t.Helper()
	home := must.Get(os.UserHomeDir())(t)
	places := []string{filepath.Join(home, ".ansible"), filepath.Join(l.root, "examples"), l.inventory(), os.TempDir()}
	for _, place := range places {
		if _, err := os.Stat(place); err != nil {
			continue
		}
		// The lab keeps the routers' own files in a folder called hosts, and Go what it
		// compiles for the other tests in one of its own.
		assert.Empty(t,
			grep(t, patterns, "grep", "-rlsF", "--devices=skip", "--exclude-dir=hosts", "--exclude-dir=go-build*",
				"-f", "-", place),
			"files of the controller that hold a secret")
	}
}

// grepRouters looks for secrets outside of /etc/wireguard, and for those of
// others inside of it.
func (l lab) grepRouters(t *testing.T, all []secret) {
	t.Helper()
	for _, r := range l.routers {
		var own, foreign strings.Builder
		for _, s := range all {
			if slices.Contains(s.homes, r) {
				own.WriteString(s.text + "\n")
			} else {
				foreign.WriteString(s.text + "\n")
			}
		}
		// What the image has is older than the host.
		search := []string{"build/lab-tool", "exec", "--name", l.name, r, `set -f; IFS='
'; grep -lsF -f - $(find /etc /root /var /tmp /run /usr/local -type f -cnewer /etc/hostname)`}
		assert.Empty(t, l.grep(t, foreign.String(), search...), "%s: files that hold another router's secret", r)
		found := l.grep(t, own.String(), search...)
		assert.Contains(t, found, "/etc/wireguard/wgmesh.key", "%s: the search does not find what is there", r)
		for file := range strings.Lines(found) {
			assert.True(t, strings.HasPrefix(file, "/etc/wireguard/"), "%s: a secret is in %s", r, file)
		}
	}
}

func (l lab) grep(t *testing.T, patterns string, command ...string) string {
	t.Helper()
	return grep(t, patterns, append([]string{filepath.Join(l.root, command[0])}, command[1:]...)...)
}

// grep runs a search with the patterns on its standard input, so that no
// secret is written down or stands in a list of processes.
func grep(t *testing.T, patterns string, command ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Stdin = strings.NewReader(patterns)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() <= 2 {
		assert.Empty(t, string(exit.Stderr), "the search itself went wrong")
		err = nil // 1: nothing found; 2 and silent: a file went away meanwhile
	}
	require.NoError(t, err)
	return string(out)
}
