package sysctl

import (
	"os"
	"strings"
)

// ifupdown are the files of Debian's ifup, which sets accept_ra of an interface that it brings up:
// interfaces(5). What cannot be read sets nothing.
func (h Host) ifupdown() []bootFile {
	const main = "/etc/network/interfaces"
	paths := []string{main}
	entries, _ := os.ReadDir(h.path(main + ".d"))
	for _, e := range entries {
		paths = append(paths, main+".d/"+e.Name())
	}
	var files []bootFile
	for _, path := range paths {
		data, _ := os.ReadFile(h.path(path))
		files = append(files, bootFile{
			path: path, sets: parseInterfaces(string(data)),
			late: "ifup does so whenever the interface comes up", mend: "write accept_ra 2 below that iface line",
		})
	}
	return files
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
