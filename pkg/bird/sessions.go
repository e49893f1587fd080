package bird

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
)

// Disrupts names the BGP sessions that go from one rendered text to another with a restart, sorted.
// New and removed sessions are not among them, and neither are those of which only filters and
// limits change: BIRD reloads these without a restart. It reads only what Render writes; of any
// other text it knows no session.
func Disrupts(have, want []byte) []string {
	before, after := parseSessions(have), parseSessions(want)
	var out []string
	for name, s := range after {
		if old, there := before[name]; there && !slices.Equal(old, s) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// parseSessions lists, for each session, the statements whose change restarts
// it: its own, its template's, and the router id.
func parseSessions(text []byte) map[string][]string {
	blocks := map[string][]string{} // "template other_site", "session azure_1"
	from := map[string]string{}
	var id, block string
	for line := range strings.Lines(string(text)) { // however long: a site may have thousands of prefixes
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimRight(line, " \t\n"); line == "" {
			continue
		}
		word := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "router id "):
			id = line
		case strings.HasPrefix(line, "template bgp ") && len(word) > 2:
			block = word[2]
			blocks[block] = nil
			if len(word) > 4 {
				blocks[block] = slices.Clone(blocks[word[4]])
			}
		case strings.HasPrefix(line, "protocol bgp ") && len(word) > 4:
			block = word[2]
			from[block] = word[4]
			blocks[block] = nil
		case line == "}":
			block = ""
		case block != "" && !reloadable(strings.TrimSpace(line)):
			blocks[block] = append(blocks[block], line)
		}
	}
	out := map[string][]string{}
	for name, template := range from {
		out[name] = append(slices.Concat([]string{id}, blocks[template]), blocks[name]...)
	}
	return out
}

// reloadable statements are those that BIRD changes in a running session
// (measured; reference of BIRD 2.0.12's channel_reconfigure).
func reloadable(statement string) bool {
	return slices.ContainsFunc([]string{
		"import where ", "export where ", "import none", "export none", "import limit ", "next hop self ", "bfd ",
	}, func(prefix string) bool { return strings.HasPrefix(statement, prefix) })
}

// A Router is the other end of a session, as a text of ours has it.
type Router struct {
	Name      string // in the inventory
	Protocol  string
	Interface string
	Address   netip.Addr
	BFD       bool
}

// Routers lists the sessions of bird.conf, none for a text that is not ours.
func (h Host) Routers() ([]Router, error) {
	text, err := readIfThere(h.Path)
	if err != nil || StampOf(text) == "" {
		return nil, err
	}
	return parseRouters(text), nil
}

// parseRouters reads what Render wrote: the router is in the comment above its session.
func parseRouters(text []byte) []Router {
	var out []Router
	name, bfd := "", bytes.Contains(text, []byte("\n\tbfd "))
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		word := strings.Fields(line)
		last := &Router{}
		if len(out) > 0 {
			last = &out[len(out)-1]
		}
		switch {
		case strings.HasPrefix(line, "# "):
			name, _, _ = strings.Cut(strings.TrimPrefix(line, "# "), ", site ")
		case strings.HasPrefix(line, "protocol bgp ") && len(word) > 2:
			out = append(out, Router{Name: name, Protocol: word[2], BFD: bfd})
		case strings.HasPrefix(line, "\tinterface \"") && len(word) > 1:
			last.Interface = strings.Trim(word[1], `";`)
		case strings.HasPrefix(line, "\tneighbor ") && len(word) > 1:
			last.Address, _ = netip.ParseAddr(word[1])
		}
	}
	return out
}
