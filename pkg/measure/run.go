package measure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
	"unicode"
)

// An output is what a program printed. err is set when it did not run or did
// not end in time; its exit status is not an error.
type output struct {
	stdout, stderr string
	err            error
}

// most bounds what is kept of a program's output, in bytes: a report of iperf3
// with 128 streams has a tenth of it.
const most = 4 << 20

// run runs a program, at most for the given time, with texts in English.
func run(ctx context.Context, limit time.Duration, name string, args ...string) output {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var stdout, stderr bounded
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	switch exit := new(exec.ExitError); {
	case ctx.Err() != nil:
		err = fmt.Errorf("%s did not end within %s", name, limit)
	case errors.As(err, &exit):
		err = nil
	}
	return output{stdout: stdout.String(), stderr: stderr.String(), err: err}
}

// bounded keeps the beginning of what is written to it.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	_, _ = b.Buffer.Write(p[:min(len(p), most-b.Len())])
	return len(p), nil
}

// last returns the last line of a text that is not empty.
func last(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return line(lines[len(lines)-1])
}

// line makes one printable line of a program's words, not a long one.
func line(text string) string {
	const longest = 160
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, strings.TrimSpace(text))
	if runes := []rune(text); len(runes) > longest {
		return string(runes[:longest]) + "..."
	}
	return text
}
