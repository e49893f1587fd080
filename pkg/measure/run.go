package measure

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/program"
)

// An output is what a program printed. err is set when it did not run or did
// not end in time; its exit status is not an error.
type output struct {
	program.Said
	err error
}

func run(ctx context.Context, limit time.Duration, name string, args ...string) output {
	said, err := program.Call{Name: name, Args: args, Limit: limit}.Run(ctx)
	var failed *program.Failure
	switch {
	case errors.As(err, new(*exec.ExitError)):
		err = nil
	case errors.As(err, &failed):
		err = fmt.Errorf("%s: %w", name, failed.Err)
	}
	return output{said, err}
}

func last(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return line(lines[len(lines)-1])
}

// line makes one printable line of a program's words, not a long one.
func line(text string) string { return cause.Line(text, 160) }
