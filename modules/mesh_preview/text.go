package meshpreview

import (
	"fmt"
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/model"
)

// mostLines is how many lines of a kind people are shown. Tools get all.
const mostLines = 20

// says is a line for each thing that is cut, in health and by each fault.
func says(r model.Report) []string {
	return append(append([]string{}, cuts(r.Healthy)...), cuts(r.Single...)...)
}

func cuts(cases ...model.Case) (out []string) {
	for _, c := range cases {
		var names []string
		for _, f := range c.Faults {
			names = append(names, f.String())
		}
		when := "always"
		if len(names) > 0 {
			when = "without " + strings.Join(names, " and ")
		}
		for _, site := range c.Gone {
			if c.Faults[0].Kind != model.SiteFault { // which is that
				out = append(out, fmt.Sprintf("%s: nobody reaches %s, which has no other router", when, site))
			}
		}
		for _, cut := range c.Cut {
			who := cut.From
			if !cut.Whole {
				who += " (by " + strings.Join(cut.Routers, ", ") + ")"
			}
			out = append(out, fmt.Sprintf("%s: %s does not reach %s: %s", when, who, cut.To, cut.Why))
		}
	}
	return out
}

func (p preview) text(compared bool) []string {
	r := p.Faults
	out := []string{fmt.Sprintf("%d routers, %d tunnels, %d prefixes", r.Routers, r.Tunnels, r.Prefixes)}
	if compared {
		changes, resets := p.changes()
		out = append(out, section("What routers change", "nothing", changes)...)
		out = append(out, section("Sessions that start anew", "none", resets)...)
		cut, moves := p.moves()
		title := "Traffic that moves or is cut"
		if len(cut) > 0 { // the first that people read
			title += fmt.Sprintf(" (%d CUT)", len(cut))
		}
		out = append(out, section(title, "none", append(cut, moves...))...)
		out = append(out, section("What is lost", "nothing that was there", p.Lost)...)
		if len(p.Removed) > 0 {
			out = append(out, section("What the inventory has no more", "", p.Removed)...)
		}
	}
	if len(p.empty) > 0 {
		out = append(out, section("What has no router", "", p.empty)...)
	}
	title := fmt.Sprintf("What one fault cuts (%s looked at)", many(r.Singles, "fault"))
	out = append(out, section(title, "nothing", says(r))...)
	if r.Doubles > 0 {
		title := fmt.Sprintf("What two faults cut beyond that (%s looked at; "+
			"%d faults and pairs are of routers and tunnels alone)", many(r.Doubles, "pair"), r.Plain)
		out = append(out, section(title, "nothing", cuts(r.Double...))...)
	}
	return out
}

func section(title, none string, lines []string) []string {
	if len(lines) == 0 {
		return []string{"", title + ": " + none}
	}
	out := []string{"", title + ":"}
	for i, line := range lines {
		if i == mostLines {
			return append(out, fmt.Sprintf("  and %d more", len(lines)-i))
		}
		out = append(out, "  "+line)
	}
	return out
}

func (p preview) changes() (changes, resets []string) {
	for _, c := range p.Routers {
		state := c.State
		switch {
		case c.Former != "":
			state = "renamed, it was " + c.Former
		case state == same:
			continue
		}
		changes = append(changes, strings.TrimSuffix(c.Router+" is "+state+": "+c.parts(), ": "))
		for _, t := range c.Tunnels {
			changes = append(changes, "  "+t)
		}
		for _, s := range c.Settings {
			changes = append(changes, "  ~ "+s)
		}
		for _, peer := range c.Resets {
			resets = append(resets, c.Router+" with "+peer)
		}
	}
	return changes, resets
}

func (p preview) moves() (cut, moves []string) {
	for _, m := range p.Traffic {
		line := fmt.Sprintf("to %s: %s -> ", m.Network, strings.Join(m.Was, " > "))
		switch {
		case m.Removed:
			moves = append(moves, line+"removed")
		case len(m.Is) == 0:
			cut = append(cut, line+"CUT")
		default:
			moves = append(moves, line+strings.Join(m.Is, " > "))
		}
	}
	return cut, moves
}

// parts names what changes: of the plan besides tunnels and bird.conf its parts alone.
func (c change) parts() string {
	var out []string
	if len(c.Tunnels) > 0 {
		out = append(out, many(len(c.Tunnels), "tunnel"))
	}
	if len(c.Bird) > 0 {
		out = append(out, many(len(c.Bird), "line")+" in bird.conf")
	}
	for _, line := range c.Plan {
		part, _, _ := strings.Cut(strings.Fields(line)[1], ".")
		if !slices.Contains(out, part) {
			out = append(out, part)
		}
	}
	if len(c.Settings) > 0 {
		out = append(out, many(len(c.Settings), "setting"))
	}
	return strings.Join(out, ", ")
}

func many(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
