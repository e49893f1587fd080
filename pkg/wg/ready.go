package wg

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// AtBoot lists the files from which the units of these interfaces make them at the next boot,
// and which are missing or not as this module wrote them.
func (h *Host) AtBoot(names []string) (wrong []string) {
	add := func(path string) {
		if !slices.Contains(wrong, path) {
			wrong = append(wrong, path)
		}
	}
	files, err := h.Files()
	if err != nil {
		return []string{h.directory}
	}
	for _, name := range names {
		f := files[name]
		if f.Text != f.Copy || !strings.HasSuffix(f.Text, end) {
			add(h.path(name))
		}
		for _, path := range hooked(f.Text) {
			if info, err := os.Stat(path); err != nil || info.Size() == 0 {
				add(path)
			}
		}
	}
	if boot, err := h.Boot(); err != nil || boot == BootAbsent || boot == BootOutdated {
		add(filepath.Dir(bootDropIn))
	}
	return wrong
}

// hooked are the files that the hooks of a wg-quick file need: keys and the table.
func hooked(text string) (paths []string) {
	for line := range strings.Lines(text) {
		key, hook, _ := strings.Cut(line, " = ")
		if key != "PreUp" && key != "PostUp" {
			continue
		}
		for word := range strings.FieldsSeq(hook) {
			if filepath.IsAbs(word) {
				paths = append(paths, word)
			}
		}
	}
	return paths
}
