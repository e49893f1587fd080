package bird

import (
	"context"
	"fmt"
	"strings"

	"github.com/wgmesh/router/pkg/birdc"
)

// A Version is the first two numbers of BIRD's, such as 3.1.
type Version struct{ Major, Minor int }

// hasDev reports whether a next hop may have dev "INTERFACE", where any name may stand.
func (v Version) hasDev() bool { return v.Major >= 3 || v.Minor >= 17 }

// Installed asks the installed BIRD, and refuses one that this configuration is not
// known to be right for: docs/runs/bird.txt has those that were tried.
func Installed(ctx context.Context) (Version, error) {
	said, err := birdProgram(ctx, "", "--version")
	if err != nil {
		return Version{}, err
	}
	return ParseVersion(said.Out + said.Err)
}

// ParseVersion reads what "bird --version" says, such as "BIRD version 2.0.12".
func ParseVersion(text string) (v Version, err error) {
	_, number, _ := strings.Cut(text, "BIRD version ")
	number, _, _ = strings.Cut(strings.TrimSpace(number), "\n")
	n := append(birdc.Numbers(number), 0)
	if len(n) < 3 {
		return v, fmt.Errorf("bird --version: expected a version such as 2.17.6, got %q", oneLine(text))
	}
	v = Version{n[0], n[1]}
	if v.Major == 2 && (v.Minor > 0 || n[2] >= 8) || v.Major == 3 && v.Minor >= 1 {
		return v, nil
	}
	return v, fmt.Errorf("BIRD %s is installed: expected 2.0.8 or a later 2, or 3.1 or a later 3", number)
}
