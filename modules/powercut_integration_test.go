//go:build integration

package main

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// A disk is what a power cut may do with what a run wrote: content counts from
// its fsync, a name from that of its folder.
type disk struct {
	dirty   map[string]bool // files with content that may be lost
	unnamed map[string]bool // folders with names that may be lost
	faults  []string
	places  int // how many files got their name
}

var (
	onFile  = regexp.MustCompile(`^(write|fsync)\(\d+<([^>]*)>`)
	onOpen  = regexp.MustCompile(`^openat\([^,]+, "([^"]+)", ([A-Z_|]+)`)
	onMove  = regexp.MustCompile(`^(renameat2?|linkat)\([^,]+, "([^"]+)", [^,]+, "([^"]+)"`)
	onClear = regexp.MustCompile(`^unlinkat\([^,]+, "([^"]+)"`)
	before  = regexp.MustCompile(`^\d+ +`)
)

// ordered runs the module once and follows its calls: a file gets its name when
// its content is safe, is never written under its name, and the run ends when
// its names are safe. So after a cut at any point it is the old one or the new
// one.
func (c crash) ordered(t *testing.T) {
	t.Helper()
	d := disk{dirty: map[string]bool{}, unnamed: map[string]bool{}}
	for line := range strings.Lines(c.strace(t)) {
		d.follow(c.dir, before.ReplaceAllString(line, ""))
	}
	for dir := range d.unnamed {
		d.faults = append(d.faults, "the run ended before the names in "+dir+" were safe")
	}
	assert.Empty(t, d.faults)
	assert.Positive(t, d.places, "the run wrote no file")
	t.Logf("%d files placed in order", d.places)
}

func (d *disk) follow(root, line string) {
	inside := func(path string) bool { return strings.HasPrefix(path, root+"/") }
	if strings.Contains(line, " = -1 ") {
		return
	}
	if m := onOpen.FindStringSubmatch(line); m != nil && inside(m[1]) {
		if flags := strings.Split(m[2], "|"); slices.Contains(flags, "O_WRONLY") || slices.Contains(flags, "O_RDWR") {
			if !strings.HasPrefix(filepath.Base(m[1]), ".") {
				d.faults = append(d.faults, m[1]+" is written in place")
			}
		}
	}
	if m := onFile.FindStringSubmatch(line); m != nil && (inside(m[2]) || m[2] == root) {
		if m[1] == "write" {
			d.dirty[m[2]] = true
		} else {
			delete(d.dirty, m[2])
			delete(d.unnamed, m[2])
		}
	}
	if m := onMove.FindStringSubmatch(line); m != nil && inside(m[3]) {
		if d.dirty[m[2]] {
			d.faults = append(d.faults, m[3]+" gets its name before its content is safe")
		}
		d.unnamed[filepath.Dir(m[3])] = true
		d.places++
	}
	if m := onClear.FindStringSubmatch(line); m != nil && inside(m[1]) && !strings.HasPrefix(filepath.Base(m[1]), ".") {
		d.unnamed[filepath.Dir(m[1])] = true
	}
}
