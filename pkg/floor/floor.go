// Package floor keeps what lies below all routes of BIRD's: for the networks of the other sites one
// unreachable route each, of the worst metric. Whatever happens to BIRD, a packet for another site
// goes by a tunnel or is refused. It never leaves by the host's default route, unencrypted.
//
// The list of these networks is a file. Load makes the kernel agree with it, and so
// does a unit at boot, by a script, before anything is forwarded and before BIRD.
// Only routes with our own protocol number are looked at and removed.
//
// All of a family, ::/0, is nothing to refuse. It stands for the rule by which what the
// host itself sends goes by plan.OutsideTable, before main, and what it forwards does not.
package floor

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/mark"
	"github.com/wgmesh/router/pkg/order"
)

// Protocol marks our routes in the kernel (rtm_protocol). The numbers up to 99 and
// from 186 to 199 are iproute2's, FRR's and other daemons'.
const Protocol = 157

// Metric is the worst there is, so that every other route for a network wins.
const Metric = 1<<32 - 1

// end is the last line of the list. A file without it breaks off.
const end = "# end"

// Text is the list as the script reads it, nothing without networks.
func Text(owner mark.Owner, networks []netip.Prefix) []byte {
	if len(networks) == 0 {
		return nil
	}
	var b bytes.Buffer
	b.WriteString(
		"# Networks of other sites, refused where no tunnel has a way to them, and ::/0 for the\n" +
			"# rule by which the router's own packets find the ends of its tunnels.\n" +
			"# Written by the Ansible module wgmesh.router.bird_config.\n" + owner.Line())
	for _, n := range sorted(networks) {
		fmt.Fprintln(&b, n)
	}
	b.WriteString(end + "\n")
	return b.Bytes()
}

// Parse reads a list, and as much as there is of one that breaks off: its last line
// does not count then.
func Parse(text []byte) []netip.Prefix {
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if last := len(lines) - 1; lines[last] != end {
		lines = lines[:last]
	}
	var out []netip.Prefix
	for _, line := range lines {
		if n, err := netip.ParsePrefix(line); err == nil && line == strings.ToLower(line) {
			out = append(out, n.Masked()) // as the script takes them: nothing in capitals
		}
	}
	return sorted(out)
}

func sorted(networks []netip.Prefix) []netip.Prefix {
	out := slices.Clone(networks)
	order.By(out, netip.Prefix.Compare)
	return slices.Compact(out)
}

// A Want is the floor to reach. None with no networks: then nothing of it is left.
type Want struct {
	Networks []netip.Prefix
	// Keep adds to what there is and takes nothing away, while a change of BIRD's
	// may still be taken back.
	Keep bool
}

// Have is what there is of the floor.
type Have struct {
	Routes  []Route // in the kernel, with our number, sorted
	IPv6    bool    // the kernel takes IPv6 routes
	Files   []File  // those of ours that are there
	Enabled bool    // the unit, at boot
}

// A Route is one of ours in the kernel, or a rule. One that is changed is not Right.
type Route struct {
	Network netip.Prefix
	Right   bool
}

// isRule reports whether it stands for the rule of its family.
func (r Route) isRule() bool { return r.Network.Bits() == 0 }

// A File is one that the floor lives in between boots.
type File struct{ Path, Text string }

// A Delta is what takes a host to the wanted state.
type Delta struct {
	Add, Remove []Route
	Write       []File
	Delete      []string
	Enable      bool
	Disable     bool
	before, now string
}

// Empty reports whether nothing is to do.
func (d Delta) Empty() bool { return d.before == d.now }

// Views show the floor before and after, for a diff.
func (d Delta) Views() (before, after string) { return d.before, d.now }

// Diff plans the way from have to want. It does no I/O.
func (h Host) Diff(want Want, have Have) Delta {
	networks := want.Networks
	if want.Keep {
		networks = append(slices.Clone(networks), Parse([]byte(have.text(h.list())))...)
	}
	after := Have{IPv6: have.IPv6, Files: h.files(networks), Enabled: h.Units != "" && len(networks) > 0}
	for _, n := range sorted(networks) {
		if n.Addr().Is4() || have.IPv6 {
			after.Routes = append(after.Routes, Route{n, true})
		}
	}
	d := Delta{
		Add:     without(after.Routes, have.Routes),
		Remove:  without(have.Routes, after.Routes),
		Write:   without(after.Files, have.Files),
		Enable:  after.Enabled && !have.Enabled,
		Disable: have.Enabled && !after.Enabled,
		before:  have.view(), now: after.view(),
	}
	for _, f := range have.Files {
		if !slices.ContainsFunc(after.Files, func(a File) bool { return a.Path == f.Path }) {
			d.Delete = append(d.Delete, f.Path)
		}
	}
	return d
}

func without[T comparable](list, less []T) []T {
	return slices.DeleteFunc(slices.Clone(list), func(v T) bool { return slices.Contains(less, v) })
}

func (s Have) text(path string) string {
	for _, f := range s.Files {
		if f.Path == path {
			return f.Text
		}
	}
	return ""
}

func (s Have) view() string {
	var b strings.Builder
	for _, r := range s.Routes {
		what := "refused when BIRD has no way"
		if r.isRule() {
			what = "a rule for the router's own packets"
		}
		fmt.Fprintf(&b, "# %s: %s%s\n", what, r.Network,
			map[bool]string{false: ", which somebody changed"}[r.Right])
	}
	for _, f := range s.Files {
		fmt.Fprintf(&b, "# %s:\n%s", f.Path, f.Text)
	}
	if s.Enabled {
		fmt.Fprintf(&b, "# at boot: %s\n", Unit)
	}
	return b.String()
}
