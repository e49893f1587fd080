// Package version says which build a program is.
package version

import (
	"crypto/sha256"
	"fmt"
	"os"
	"runtime"
)

// The linker sets these: .ci/build. The commit is the last one that changed a source of
// the programs, with "-dirty" behind it where a source was changed since.
var (
	Number = "unknown"
	Commit = "unknown"
)

// Line names the build of this program also by the SHA-256 of its content, which is the
// name of its folder on a router.
func Line(program string) string {
	build := "unknown"
	if path, err := os.Executable(); err == nil {
		if content, err := os.ReadFile(path); err == nil {
			build = fmt.Sprintf("%x", sha256.Sum256(content))
		}
	}
	return fmt.Sprintf("%s %s commit %s build %s %s/%s %s\n", program, Number, Commit, build,
		runtime.GOOS, runtime.GOARCH, runtime.Version())
}
