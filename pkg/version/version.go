// Package version says which build a program is.
package version

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"runtime"
)

// The linker sets these: .ci/build. The commit is the last one that changed a source of
// the programs, with "-dirty" behind it where a source was changed since.
var (
	Number = Unknown
	Commit = Unknown
)

// Unknown is what a program says that was built in another way.
const Unknown = "unknown"

// Of is the commit that the program in a file was built from, without running it or reading all
// of it: .ci/build makes it Go's build ID, a note in the first page. Empty: it says none.
func Of(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	page := make([]byte, 4096)
	n, _ := io.ReadFull(f, page) // less of it is no program
	// elf(5): two sizes before the type, and the name and the content after it.
	before, after, found := bytes.Cut(page[:n], []byte("\x04\x00\x00\x00Go\x00\x00"))
	if !found || len(before) < 4 {
		return ""
	}
	size := int(binary.LittleEndian.Uint32(before[len(before)-4:]))
	return string(after[:min(size, len(after))])
}

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
