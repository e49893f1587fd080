//go:build lab

package proof_test

import (
	"bufio"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// turned is the router that the plays are for, which has another one beside it.
const turned = "aws-1"

// A killable is a play whose controller dies, with what has to come before it and what makes
// the mesh whole again.
type killable struct {
	play          string
	before, after []string
}

var killables = []killable{
	{play: "drain", after: []string{"undrain"}},
	{play: "undrain", before: []string{"drain"}},
	{play: "rotate"},
	{play: "upgrade"},
	{play: "replace"},
	{play: "remove", after: []string{"reset", "add"}},
	{play: "reset", before: []string{"remove"}, after: []string{"add"}},
	{play: "add", before: []string{"remove", "reset"}},
}

// left is what a play leaves on a router by name: files, interfaces, peers, and a drain.
const left = `find /etc /var/lib/wgmesh -path /etc/wgmesh/status -prune -o -print 2>/dev/null | sort
ip -o link | cut -d: -f2 | sort; wg show all endpoints 2>/dev/null | wc -l
grep -o '^define wgmesh_drained = ".' /etc/bird/bird.conf 2>/dev/null; true`

// TestKills has the controller of each play die at every one of its tasks, and gives the same
// command again: make kills.
func TestKills(t *testing.T) {
	o := killOptions()
	l := up(t, "kills", "test/proof/testdata/routes.yml")
	l.mesh(t)
	hook := l.hook(t, "true")
	renewed := l.hook(t,
		"rm -rf /etc/wireguard/* /etc/bird/bird.conf* /etc/wgmesh /var/lib/wgmesh /etc/systemd/system/wg*")
	arguments := func(play string) []string {
		switch play {
		case "rotate":
			return []string{"--limit", turned, "-e", "mesh_rotate=preshared,private"}
		case "upgrade":
			return []string{"--limit", turned, "-e", "mesh_upgrade_hook=" + hook}
		case "replace":
			return []string{"--limit", turned, "-e", "mesh_upgrade_hook=" + renewed}
		case "add", "remove":
			return []string{"-e", "mesh_" + play + "=" + turned}
		}
		return []string{"--limit", turned}
	}
	run := func(t *testing.T, play string) {
		t.Helper()
		_, out, err := l.playbook(t, play, arguments(play)...)
		require.NoError(t, err, "%s: %s", play, tail(out))
	}
	for _, k := range killables {
		if !slices.Contains(o.plays, k.play) {
			continue
		}
		t.Run(k.play, func(t *testing.T) {
			var want map[string]string
			round := func(t *testing.T, at int) int {
				t.Helper()
				for _, play := range k.before {
					run(t, play)
				}
				tasks := l.killAt(t, at, o.pause(), k.play, arguments(k.play)...)
				if at > 0 {
					run(t, k.play)
				}
				names := l.onRouters(t, left)
				if at == 0 {
					want = names
				}
				same(t, want, names)
				for _, play := range k.after {
					run(t, play)
				}
				assert.Empty(t, l.mesh(t).changed(), "the mesh play finds nothing to do")
				_, out, err := l.playbook(t, "status")
				assert.NoError(t, err, tail(out))
				return tasks
			}
			tasks, killed, failed := round(t, 0), 0, []string{}
			for at := o.first; at <= tasks; at += o.every {
				killed++
				if !t.Run(strconv.Itoa(at), func(t *testing.T) { round(t, at) }) {
					failed = append(failed, strconv.Itoa(at))
				}
			}
			line := k.play + ": " + strconv.Itoa(tasks) + " tasks, killed at " +
				strconv.Itoa(killed) + " of them, not converged: " + strconv.Itoa(len(failed))
			if len(failed) > 0 {
				line += " (at " + strings.Join(failed, ", ") + ")"
			}
			t.Log(line)
			o.note(t, l.root, line)
		})
	}
}

// A killChoice is which plays are killed, and at which of their tasks.
type killChoice struct {
	plays        []string
	first, every int
	pause        func() time.Duration
}

func killOptions() killChoice {
	number := func(name string) int {
		n, _ := strconv.Atoi(os.Getenv(name))
		return max(n, 1)
	}
	o := killChoice{plays: strings.Split(os.Getenv("PLAYS"), ","), first: number("FIRST"), every: number("EVERY")}
	if o.plays[0] == "" {
		o.plays = nil
		for _, k := range killables {
			o.plays = append(o.plays, k.play)
		}
	}
	random := rand.New(rand.NewPCG(uint64(number("SEED")), 0))
	o.pause = func() time.Duration { return time.Duration(random.IntN(1000)) * time.Millisecond }
	return o
}

// note adds a line to build/kills.txt.
func (o killChoice) note(t *testing.T, root, line string) {
	t.Helper()
	file, err := os.OpenFile(filepath.Join(root, "build/kills.txt"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	require.NoError(t, err)
	defer file.Close()
	_, err = io.WriteString(file, time.Now().UTC().Format("2006-01-02 15:04:05 ")+line+"\n")
	require.NoError(t, err)
}

// killAt runs a play and kills its controller a moment after a task of a number began. It
// returns how many tasks began; with 0 the play comes to its end.
func (l lab) killAt(t *testing.T, at int, pause time.Duration, play string, args ...string) int {
	t.Helper()
	cmd, kill := l.aRun(t, play, args...)
	read, write := io.Pipe()
	cmd.Stdout, cmd.Stderr = write, write
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() {
		ended <- cmd.Wait()
		write.Close()
	}()
	tasks, name, text := 0, "", &strings.Builder{}
	for lines := bufio.NewScanner(read); lines.Scan(); { // its lines are short
		text.WriteString(lines.Text() + "\n")
		if !strings.HasPrefix(lines.Text(), "TASK [") {
			continue
		}
		if tasks++; tasks == at {
			name = lines.Text()
			go func() { _, _ = io.Copy(io.Discard, read) }()
			time.Sleep(pause)
			kill()
			break
		}
	}
	err := <-ended
	if at == 0 {
		require.NoError(t, err, "%s: %s", play, tail(text.String()))
	} else {
		t.Logf("killed %v after %s", pause, strings.TrimRight(name, " *"))
	}
	return tasks
}
