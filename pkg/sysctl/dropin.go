package sysctl

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/mark"
)

// Path is where the drop-in goes by default. sysctl.d(5): "All configuration files are sorted by
// their filename in lexicographic order, regardless of which of the directories they reside in. If
// multiple files specify the same option, the entry in the file with the lexicographically latest
// name will take precedence." So it has to sort behind 99-sysctl.conf (Debian's link to
// /etc/sysctl.conf) and behind the 60- and 99- files of cloud images, such as GCP's
// 60-gce-network-security.conf, which turns rp_filter on.
const Path = "/etc/sysctl.d/99-zz-wgmesh.conf"

// portsMark starts the comment that records which reserved ports are ours.
const portsMark = "# reserved by wgmesh:"

// formerMark starts a comment that records what a parameter was before we set it.
const formerMark = "# before:"

const header = `# Made by Ansible (wgmesh.router.sysctl_router): changes by hand are lost.
# The name sorts last, because the last file that sets a key wins: sysctl.d(5).
`

// A dropin is what our own file says.
type dropin struct {
	text       []byte
	ports      Ports // that we reserved, not those that were there before
	interfaces []string
	mesh       string
	sets       Settings // what it sets
	former     Settings // what that was before
}

func (h Host) readDropin(path string) (dropin, error) {
	data, err := os.ReadFile(h.path(path))
	if errors.Is(err, fs.ErrNotExist) {
		return dropin{}, nil
	}
	if err != nil {
		return dropin{}, fmt.Errorf("sysctl drop-in: %w", err)
	}
	if err := mark.Foreign(path, data); err != nil {
		return dropin{}, err
	}
	d := dropin{text: data, mesh: mark.Of(string(data)), sets: Settings{}, former: Settings{}}
	for line := range strings.Lines(string(data)) {
		if list, ok := strings.CutPrefix(line, portsMark); ok {
			if d.ports, err = ParsePorts(list); err != nil {
				return dropin{}, fmt.Errorf(
					"sysctl drop-in %s: record of reserved ports: %w; remove the file and run again", path, err)
			}
		}
		if was, ok := strings.CutPrefix(line, formerMark); ok {
			for _, set := range parseConf([]byte(was)) {
				d.former[set.key] = set.value
			}
		}
	}
	for _, set := range parseConf(data) {
		d.sets[set.key] = set.value
		name, found := strings.CutPrefix(string(set.key), prefixConf4)
		name, rp := strings.CutSuffix(name, "/rp_filter")
		if found && rp && checkInterface(name) == nil {
			d.interfaces = append(d.interfaces, name)
		}
	}
	return d, nil
}

// render returns the drop-in. Lines start with "-", so that a parameter that is not there at boot
// does not fail systemd-sysctl.service: an interface comes later (udev then runs systemd-sysctl for
// it), and a container has no net.core. The order is that of Changes.
func render(mesh string, want Settings, ours Ports, former Settings) []byte {
	var b strings.Builder
	b.WriteString(header + mark.Owner{Mesh: mesh}.Line())
	if ours != (Ports{}) {
		fmt.Fprintf(&b, "%s %s\n", portsMark, ours)
	}
	for _, k := range slices.Sorted(maps.Keys(former)) {
		fmt.Fprintf(&b, "%s %s = %s\n", formerMark, k, former[k])
	}
	for _, c := range Changes(want, nil) {
		dash := ""
		if optional(c.Key) {
			dash = "-"
		}
		fmt.Fprintf(&b, "%s%s = %s\n", dash, c.Key, c.New)
	}
	fmt.Fprintf(&b, "-%s = 0\n", Key(prefixConf4+"*"+suffixSend))
	return []byte(b.String())
}

func optional(k Key) bool { return isInterface(k) || strings.HasPrefix(string(k), "net/core/") }

func isInterface(k Key) bool {
	name, conf4 := strings.CutPrefix(string(k), prefixConf4)
	name, conf6 := strings.CutPrefix(name, prefixConf6)
	pseudo := strings.HasPrefix(name, pseudoAll+"/") || strings.HasPrefix(name, pseudoDefault+"/")
	return (conf4 || conf6) && !pseudo
}
