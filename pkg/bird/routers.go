package bird

import (
	"bytes"
	"net/netip"
	"strings"
)

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

// parseRouters reads what Render wrote: the router is in the comment above its
// session.
func parseRouters(text []byte) []Router {
	var out []Router
	name, bfd := "", bytes.Contains(text, []byte("\n\tbfd on;"))
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
