package bird

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

// checkTime is how long BIRD's parser may take. It reads some kilobytes.
const checkTime = 20 * time.Second

// ErrNoBird reports that BIRD is not installed, so nothing could be checked.
var ErrNoBird = errors.New("bird is not installed; install the package bird2")

// Check lets BIRD's own parser read the text. It touches neither the disk nor
// a running daemon.
func Check(ctx context.Context, text []byte) error {
	said, err := birdProgram(ctx, string(text), "-p", "-c", "/dev/stdin")
	if refused, ok := errors.AsType[*program.Failure](err); ok {
		// It stops at an error. After 2.0.12 a warning for each function is before that,
		// since 2.0.12 knows no "-> bool".
		lines := strings.Split(strings.TrimSpace(said.Err), "\n")
		return fmt.Errorf("bird refuses the configuration: %s (%w)", oneLine(lines[len(lines)-1]), refused.Err)
	}
	return err
}

func birdProgram(ctx context.Context, stdin string, args ...string) (program.Said, error) {
	said, err := program.Call{Name: "bird", Args: args, Stdin: stdin, Limit: checkTime}.Run(ctx)
	if errors.Is(err, exec.ErrNotFound) {
		err = ErrNoBird
	}
	return said, err
}

func oneLine(text string) string { return cause.Line(text, 300) }
