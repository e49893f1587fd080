package sysctl

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
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
	for _, name := range slices.Sorted(maps.Keys(paths)) {
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
	ifup, err := h.ifupdown()
	return append(files, ifup...), err
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
		for _, k := range slices.Sorted(maps.Keys(last)) {
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

// AtBoot reports whether the drop-in at Path keeps the profile of a router at the next boot, and
// which files that are read later defeat it, or switch IPv6 off, which it does not set. IPv6 says
// that the router forwards it.
func (h Host) AtBoot(ipv6 bool) (kept bool, defeated []Defeat) {
	own, err := h.readDropin(Path)
	if err != nil {
		return false, nil
	}
	want := Profile{IPv6: &ipv6}.with(own).Settings()
	kept = true
	for k, v := range want {
		kept = kept && satisfies(k, own.sets[k], v)
	}
	others, err := h.readBoot(Path)
	if err != nil {
		return false, nil
	}
	maps.Copy(want, own.sets)
	defeated = others.defeats(want)
	for _, k := range []Key{prefixConf6 + "all/disable_ipv6", prefixConf6 + "default/disable_ipv6"} {
		if value, by := others.last(k); ipv6 && value == "1" {
			defeated = append(defeated, Defeat{Key: k.String(), Want: "0", Found: value, By: by})
		}
	}
	return kept, defeated
}

// ifupdown are the files of Debian's ifup, which sets accept_ra of an interface that it brings up:
// interfaces(5).
func (h Host) ifupdown() ([]bootFile, error) {
	const main = "/etc/network/interfaces"
	paths := []string{main}
	entries, err := os.ReadDir(h.path(main + ".d"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if !e.IsDir() {
			paths = append(paths, main+".d/"+e.Name())
		}
	}
	var files []bootFile
	for _, path := range paths {
		data, err := os.ReadFile(h.path(path))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		files = append(files, bootFile{
			path: path, sets: parseInterfaces(string(data)),
			late: "ifup does so whenever the interface comes up", mend: "write accept_ra 2 below that iface line",
		})
	}
	return files, nil
}

// parseInterfaces reads what the stanzas of interfaces(5) make of accept_ra.
func parseInterfaces(text string) []assignment {
	var out []assignment
	var key Key // of the stanza; empty when it is not of IPv6
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case len(f) > 3 && f[0] == "iface":
			key = ""
			if f[2] == "inet6" {
				key = Key(prefixConf6 + f[1] + suffixAccept)
			}
			if method := map[string]string{"dhcp": "1", "auto": "2"}[f[3]]; key != "" && method != "" {
				out = append(out, assignment{key, method})
			}
		case len(f) > 1 && f[0] == "accept_ra" && key != "":
			out = append(out, assignment{key, f[1]})
		}
	}
	return out
}

// An assignment is one line of a file in the format of sysctl.d(5).
type assignment struct {
	key   Key
	value string
}

// parseConf reads the explicit assignments of a sysctl.d(5) file in order. Lines with a pattern are
// left out, because "keys for which an explicit pattern exists will be excluded from any glob
// matching", whatever the order of the files. So are lines that assign nothing.
func parseConf(data []byte) []assignment {
	var out []assignment
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, len(data)+1)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		name, value, found := strings.Cut(line, "=")
		name = strings.TrimSpace(strings.TrimPrefix(name, "-"))
		if !found || name == "" || strings.ContainsAny(name, "*?[") {
			continue
		}
		out = append(out, assignment{key: canonical(ParseKey(name)), value: normal(value)})
	}
	return out
}

// canonical joins the two names of one parameter: writing net.ipv4.conf.all.forwarding is writing
// net.ipv4.ip_forward (net/ipv4/devinet.c: both lead to inet_forward_change).
func canonical(k Key) Key {
	k = Key(path.Clean(string(k)))
	if k == prefixConf4+pseudoAll+"/forwarding" {
		return keyForward4
	}
	return k
}
