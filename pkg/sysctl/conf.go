package sysctl

import (
	"bufio"
	"bytes"
	"path"
	"strings"
)

// An assignment is one line of a file in the format of sysctl.d(5).
type assignment struct {
	key   Key
	value string
}

// parseConf reads the explicit assignments of a sysctl.d(5) file in order.
// Lines with a pattern are left out, because "keys for which an explicit
// pattern exists will be excluded from any glob matching", whatever the order
// of the files. So are lines that assign nothing.
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

// canonical joins the two names of one parameter: writing
// net.ipv4.conf.all.forwarding is writing net.ipv4.ip_forward
// (net/ipv4/devinet.c: both lead to inet_forward_change).
func canonical(k Key) Key {
	k = Key(path.Clean(string(k)))
	if k == prefixConf4+pseudoAll+"/forwarding" {
		return keyForward4
	}
	return k
}
