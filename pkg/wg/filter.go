package wg

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/wgmesh/router/pkg/order"
)

// InputMesh lets in what the mesh needs, and nothing else, of what comes out of a
// tunnel for the router itself. InputAccept leaves that to others.
const (
	InputAccept = "accept"
	InputMesh   = "mesh"
)

// A filter is which tunnels let in only what the mesh needs.
type filter struct {
	tunnels []string // sorted
	ports   []int    // TCP ports that are open besides, sorted
}

const filterMark = "# input mesh: "

// words is the filter in one line, which also the file has.
func (f filter) words() string {
	if len(f.tunnels) == 0 {
		return ""
	}
	out := strings.Join(f.tunnels, " ")
	for _, p := range f.ports {
		out += fmt.Sprintf(" tcp/%d", p)
	}
	return out
}

func parseFilter(text string) (f filter) {
	for line := range strings.Lines(text) {
		words, ok := strings.CutPrefix(line, filterMark)
		if !ok {
			continue
		}
		for _, word := range strings.Fields(words) {
			if port, ok := strings.CutPrefix(word, "tcp/"); ok {
				if p, err := strconv.ParseUint(port, 10, 16); err == nil {
					f.ports = append(f.ports, int(p))
				}
			} else if interfaceName.Fits(word) {
				f.tunnels = append(f.tunnels, word)
			}
		}
	}
	return f
}

// filter is the one that is wanted. A tunnel that w is not about and does not remove
// keeps what it has, so that two lists of tunnels on one router do not undo each other. Where
// w says nothing, a tunnel gets the filter when others here have it.
func (w Want) filter(s Have) filter {
	have := parseFilter(s.MSS.File)
	wanted := w.names()
	out := filter{ports: have.ports}
	for _, name := range have.tunnels {
		f := s.Interfaces[name].File
		if _, about := wanted[name]; !about && f != nil && f.Ours && (!w.Purge || !w.purges(name, f)) {
			out.tunnels = append(out.tunnels, name)
		}
	}
	if w.Input == InputMesh || w.Input == "" && len(have.tunnels) > 0 {
		out.tunnels = append(out.tunnels, sortedKeys(wanted)...)
	}
	if w.Input == InputMesh && len(wanted) > 0 {
		out.ports = slices.Clone(w.InputPorts)
	}
	slices.Sort(out.tunnels)
	order.Ints(out.ports)
	out.ports = slices.Compact(out.ports)
	return out
}

// A chain of the filter, and a set that remembers what the router asked for.
type chain struct {
	hook  string
	rules []string
}

const askedSet = "\tset %s {\n\t\ttype %s . inet_service . inet_service; " +
	"size 65535; flags dynamic,timeout; timeout 30s\n\t}\n"

// chains are the rules. They need no connection tracking, which would count, put
// together and may refuse also what is only forwarded: of TCP a packet that opens
// a connection is told by its flags; of UDP an answer is told by what the router
// itself has sent into a tunnel in the last half minute. Protocols are numbers (ICMP,
// ICMPv6, UDP): a small host has no /etc/protocols, where nft looks for their names.
func (f filter) chains() []chain {
	names := `{ "` + strings.Join(f.tunnels, `", "`) + `" }`
	ports := "179"
	for _, p := range f.ports {
		if p != 179 { // twice is an error to some versions of nft
			ports += fmt.Sprintf(", %d", p)
		}
	}
	return []chain{
		{"input", []string{
			"iifname != " + names + " accept",
			"meta l4proto { 1, 58 } accept",
			"tcp flags & (syn | ack) != syn accept",
			"tcp dport { " + ports + " } accept",
			"udp dport { 3784, 3785 } accept",
			"ip saddr . udp sport . udp dport @asked4 accept",
			"ip6 saddr . udp sport . udp dport @asked6 accept",
			"counter drop",
		}},
		{"output", []string{
			"oifname != " + names + " accept",
			"meta nfproto ipv4 meta l4proto 17 update @asked4 { ip daddr . udp dport . udp sport }",
			"meta nfproto ipv6 meta l4proto 17 update @asked6 { ip6 daddr . udp dport . udp sport }",
		}},
	}
}

func (f filter) text() string {
	if len(f.tunnels) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, askedSet+askedSet, "asked4", "ipv4_addr", "asked6", "ipv6_addr")
	for _, c := range f.chains() {
		fmt.Fprintf(&b, "\tchain %s {\n\t\ttype filter hook %s priority filter; policy accept;\n", c.hook, c.hook)
		for _, r := range c.rules {
			fmt.Fprintf(&b, "\t\t%s comment \"%s\"\n", r, tag(r))
		}
		b.WriteString("\t}\n")
	}
	return b.String()
}

// summary is what summarise makes of that.
func (f filter) summary() (parts []string) {
	if len(f.tunnels) == 0 {
		return nil
	}
	for _, c := range f.chains() {
		parts = append(parts, fmt.Sprintf("chain %s filter %s 0 accept", c.hook, c.hook))
		for _, r := range c.rules {
			parts = append(parts, "rule "+tag(r))
		}
	}
	return append(parts, "set asked4", "set asked6")
}

// tag is a comment that a rule is known by: versions of nft list the same rule in different words.
func tag(rule string) string {
	sum := sha256.Sum256([]byte(rule))
	return "wgmesh " + hex.EncodeToString(sum[:4])
}
