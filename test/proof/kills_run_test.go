//go:build lab

package proof_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// killChoice is which plays are killed, and at which of their points.
type killChoice struct {
	plays       []string
	from, every int
	most        int // points of a play
	random      *rand.Rand
}

func (o killChoice) wants(name string) bool {
	return len(o.plays) == 0 || slices.Contains(o.plays, name)
}

func killOptions() killChoice {
	number := func(name string) int {
		n, _ := strconv.Atoi(os.Getenv(name))
		return max(n, 1)
	}
	most := number("MOST")
	if os.Getenv("MOST") == "" {
		most = 1000
	}
	return killChoice{
		most:  most,
		plays: strings.FieldsFunc(os.Getenv("PLAYS"), func(r rune) bool { return r == ',' }),
		from:  number("FROM"), every: number("EVERY"),
		random: rand.New(rand.NewPCG(uint64(number("SEED")), 0)),
	}
}

// notef adds a line to build/kills.txt, so that a run that is stopped has told what it did.
func (o killChoice) notef(t *testing.T, root, format string, args ...any) {
	t.Helper()
	line := strings.TrimSpace(fmt.Sprintf(format, args...))
	t.Log(line)
	file, err := os.OpenFile(filepath.Join(root, "build/kills.txt"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	require.NoError(t, err)
	defer file.Close()
	_, err = io.WriteString(file, time.Now().UTC().Format("2006-01-02 15:04:05 ")+line+"\n")
	require.NoError(t, err)
}

// A task is one of a run, as its output shows it.
type task struct {
	name    string
	began   time.Time
	lasts   time.Duration
	changed bool // something on a host
	idle    bool // no host did anything
}

var taskLine = regexp.MustCompile(`^(?:TASK|RUNNING HANDLER) \[(?:wgmesh\.router\.)?(.*?)\] \**$`)

// killAt runs a play and kills its controller while a task runs. It returns the tasks that
// began; without a point the play comes to its end.
func (c circle) killAt(t *testing.T, at point, play string, args ...string) []task {
	t.Helper()
	cmd, kill := c.aRun(t, play, slices.Concat(patient, args)...)
	// What a killed run leaves on the controller.
	temp := t.TempDir()
	cmd.Env = append(cmd.Env, "TMPDIR="+temp)
	read, write := io.Pipe()
	cmd.Stdout, cmd.Stderr = write, write
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() {
		ended <- cmd.Wait()
		write.Close()
	}()
	var tasks []task
	text := &strings.Builder{}
	for lines := bufio.NewReader(read); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			break
		}
		text.WriteString(line)
		tasks = heard(tasks, strings.TrimSuffix(line, "\n"))
		if at.number > 0 && len(tasks) == at.number {
			go func() { _, _ = io.Copy(io.Discard, read) }()
			time.Sleep(time.Duration(c.choice.random.Int64N(int64(at.lasts) + 1)))
			kill()
			assert.Equal(t, at.name, tasks[at.number-1].name, "the task that is killed is another one")
			break
		}
	}
	err := <-ended
	if at.number == 0 {
		require.NoError(t, err, "%s: %s", play, tail(text.String()))
	}
	left, _ := filepath.Glob(temp + "/*wgmesh*")
	assert.Empty(t, left, "on the controller")
	return tasks
}

// heard is what is known of the tasks of a run after another line of its output.
func heard(tasks []task, line string) []task {
	now := time.Now()
	if m := taskLine.FindStringSubmatch(line); m != nil {
		return append(tasks, task{name: m[1], began: now, idle: true})
	}
	if len(tasks) == 0 {
		return tasks
	}
	last := &tasks[len(tasks)-1]
	last.lasts = now.Sub(last.began)
	word, _, _ := strings.Cut(line, ":")
	last.changed = last.changed || word == "changed"
	last.idle = last.idle && word != "changed" && word != "ok" && word != "fatal"
	return tasks
}
