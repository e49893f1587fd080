package sysctl

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// bootDirs are read by systemd-sysctl, in falling priority: a file hides those
// of the same name further down (sysctl.d(5)).
var bootDirs = [...]string{"etc/sysctl.d", "run/sysctl.d", "usr/local/lib/sysctl.d", "usr/lib/sysctl.d", "lib/sysctl.d"}

type bootFile struct {
	path string // on the host, without Root
	sets []assignment
	// late says why the file is read after all of sysctl.d; else empty.
	late string
	// mend says what to do about a value; empty: to remove the line.
	mend string
}

// A Defeat is a parameter that does not have the wanted value in the end,
// because of a file that is read later or of an interface's own value.
type Defeat struct {
	Key   string `json:"key"`
	Want  string `json:"want"`
	Found string `json:"found"`
	// By is the path of the file, or the interface.
	By string `json:"by"`
	// Reason says in words how it wins and what to do.
	Reason string `json:"reason"`
}

// boot is what is read at boot besides our drop-in.
type boot struct {
	before, after []bootFile // by the drop-in's name, each in the order they are read
}

// readBoot reads every file but the drop-in at own, a path on the host.
func (h Host) readBoot(own string) (boot, error) {
	paths := map[string]string{} // base name -> path
	for _, dir := range bootDirs {
		entries, err := os.ReadDir(h.path(dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return boot{}, err
		}
		for _, e := range entries {
			name := e.Name()
			if _, hidden := paths[name]; !hidden && strings.HasSuffix(name, ".conf") {
				paths[name] = "/" + dir + "/" + name
			}
		}
	}
	var b boot
	for _, name := range sortedKeys(paths) {
		if paths[name] == own || name == filepath.Base(own) {
			continue
		}
		f, err := h.readConf(paths[name])
		if err != nil {
			return boot{}, err
		}
		if name < filepath.Base(own) {
			b.before = append(b.before, f)
		} else {
			b.after = append(b.after, f)
		}
	}
	late, err := h.lateFiles()
	b.after = append(b.after, late...)
	return b, err
}

// lateFiles are read by others after systemd-sysctl is done.
func (h Host) lateFiles() ([]bootFile, error) {
	procps, err := h.readConf("/etc/sysctl.conf")
	if err != nil {
		return nil, err
	}
	procps.late = `"sysctl --system" and "sysctl -p" read it last`
	files := []bootFile{procps}

	enabled, err := os.ReadFile(h.path("/etc/ufw/ufw.conf"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if strings.Contains("\n"+strings.ToLower(string(enabled)), "\nenabled=yes") {
		ufw, err := h.readConf("/etc/ufw/sysctl.conf")
		if err != nil {
			return nil, err
		}
		ufw.late = "ufw reads it when it starts"
		files = append(files, ufw)
	}
	return append(files, h.ifupdown()...), nil
}

func (h Host) readConf(path string) (bootFile, error) {
	data, err := os.ReadFile(h.path(path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // a dangling link is not a file
		return bootFile{}, fmt.Errorf("sysctl file: %w", err)
	}
	return bootFile{path: path, sets: parseConf(data)}, nil
}

// last is the last value of k, and the file that has it.
func (b boot) last(k Key) (value, by string) {
	for _, f := range slices.Concat(b.before, b.after) {
		for _, set := range f.sets {
			if set.key == k {
				value, by = set.value, f.path
			}
		}
	}
	return value, by
}

// value is what k would get at boot without our drop-in, or "".
func (b boot) value(k Key) string {
	value := ""
	for _, f := range slices.Concat(b.before, b.after) {
		if f.late != "" {
			continue
		}
		for _, set := range f.sets {
			if set.key == k {
				value = set.value
			}
		}
	}
	return value
}

// defeats lists what the files after our drop-in make of want.
func (b boot) defeats(want Settings) []Defeat {
	var out []Defeat
	for _, f := range b.after {
		last := Settings{}
		for _, set := range f.sets {
			last[set.key] = set.value
		}
		for _, k := range sortedKeys(last) {
			w, ours := want[k]
			if !ours && want.forwards(k) {
				w, ours = "1", true
			}
			if !ours || satisfies(k, last[k], w) {
				continue
			}
			why := cmp.Or(f.late, "it sorts after our drop-in")
			out = append(out, Defeat{
				Key: k.String(), Want: w, Found: last[k], By: f.path,
				Reason: fmt.Sprintf("%s sets %s=%s, expected %s, and %s: %s",
					f.path, k, last[k], w, why, cmp.Or(f.mend, "remove the line there")),
			})
		}
	}
	return out
}

// forwards reports whether a parameter lets one interface do what these let all do.
func (s Settings) forwards(k Key) bool {
	const suffix = "/forwarding"
	six := strings.HasPrefix(string(k), prefixConf6) && s[keyForward6] == "1"
	return strings.HasSuffix(string(k), suffix) && (six || strings.HasPrefix(string(k), prefixConf4))
}

// satisfies reports whether a value is as good as the wanted one: a buffer may
// be larger and a set of ports may hold more.
func satisfies(k Key, value, want string) bool {
	switch k {
	case keyRmemDef, keyRmemMax, keyWmemMax:
		return atLeast(0, value) == atLeast(0, value, want)
	case keyPorts:
		v, errV := ParsePorts(value)
		w, errW := ParsePorts(want)
		return errV == nil && errW == nil && v.Contains(w)
	}
	return value == want
}

func sortedKeys[K ~string, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
