package ansible

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// holder names the processes that hold a lock on a file, as well as they can be
// found. It looks at open files and not at /proc/locks, where a lock has the
// process that took it, and that one may have left it to its children and ended.
func holder(path string) string {
	want, err := os.Stat(path)
	if err != nil {
		return "a process that cannot be found"
	}
	var names []string
	files, _ := filepath.Glob("/proc/[0-9]*/fd/*") // a pattern of ours is not malformed
	for _, file := range files {
		if have, err := os.Stat(file); err != nil || !os.SameFile(want, have) {
			continue
		}
		proc := filepath.Dir(filepath.Dir(file))
		if info, err := os.ReadFile(filepath.Join(proc, "fdinfo", filepath.Base(file))); err != nil ||
			!bytes.Contains(info, []byte("\nlock:")) {
			continue
		}
		name := fmt.Sprintf("pid %s (%s)", filepath.Base(proc), commandLine(proc))
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "a process that cannot be found"
	}
	return strings.Join(names, ", ")
}

// commandLine is the beginning of what a process was started with. Arguments of
// others may be secret, so it is no more than the program and its first word.
func commandLine(proc string) string {
	raw, _ := os.ReadFile(filepath.Join(proc, "cmdline")) // gone is as good as empty
	words := strings.Split(string(raw), "\x00")
	if words[0] == "" {
		return "which has no name"
	}
	line := filepath.Base(words[0])
	if filepath.Base(words[0]) == "wgmesh" && len(words) > 1 {
		line += " " + words[1]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, line)
}
