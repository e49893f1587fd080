package meshpreview

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/bird"
	"github.com/wgmesh/router/pkg/plan"
)

type change struct {
	Router  string   `json:"router"`
	Former  string   `json:"former"`  // its name before, when it has another one
	State   string   `json:"state"`   // new, removed, changed or same
	Tunnels []string `json:"tunnels"` // one line each
	Bird    []string `json:"bird"`    // lines of bird.conf that go and come, with - and +
	Resets  []string `json:"resets"`  // the peers whose session starts anew
	// Plan has what else of the plan goes and comes, with - and +.
	Plan     []string `json:"plan"`
	Settings []string `json:"settings"` // what it is told besides, one line each
}

const same = "same" // the state of a router that changes nothing

func newChange(router, state string) change {
	return change{
		Router: router, State: state, Tunnels: []string{}, Bird: []string{}, Resets: []string{},
		Plan: []string{}, Settings: []string{},
	}
}

// changes are those of all routers that are to be shown, with the names before of those that
// have another one.
func (o Options) changes(was Described, before, after []plan.Plan, former map[string]string) []change {
	out := []change{}
	for _, p := range after {
		name := p.Router.Name
		if !o.shown(name) {
			continue
		}
		c := compare(find(before, name), p)
		c.Former = former[name]
		c.Settings = told(was.Settings[cmp.Or(c.Former, name)], o.Settings[name])
		if c.State == same && len(c.Settings) > 0 {
			c.State = "changed"
		}
		out = append(out, c)
	}
	for _, p := range before {
		if find(after, p.Router.Name).IsZero() && o.shown(p.Router.Name) {
			c := newChange(p.Router.Name, "removed")
			for _, t := range p.Tunnels {
				c.Tunnels = append(c.Tunnels, "- "+title(t))
			}
			out = append(out, c)
		}
	}
	return out
}

func title(t plan.Tunnel) string { return t.Name + " to " + t.Peers[0].Name }

func compare(was, is plan.Plan) change {
	c := newChange(is.Router.Name, "changed")
	if was.IsZero() {
		c.State = "new"
	}
	old := map[string]plan.Tunnel{}
	for _, t := range was.Tunnels {
		old[t.Name] = t
	}
	for _, t := range is.Tunnels {
		before, there := old[t.Name]
		delete(old, t.Name)
		if !there {
			c.Tunnels = append(c.Tunnels, "+ "+title(t))
		} else if fields := differing(before, t); len(fields) > 0 {
			c.Tunnels = append(c.Tunnels, "~ "+title(t)+": "+strings.Join(fields, ", "))
			// The ends do not change at once, and nothing comes through until both have.
			a, b := before.Peers[0].Endpoint, t.Peers[0].Endpoint
			if before.ListenPort != t.ListenPort || a.IsValid() && b.IsValid() && a.Port() != b.Port() {
				c.Resets = append(c.Resets, t.Peers[0].Name)
			}
		}
	}
	for _, t := range was.Tunnels {
		if _, gone := old[t.Name]; gone {
			c.Tunnels = append(c.Tunnels, "- "+title(t))
		}
	}
	if c.State == "new" {
		return c
	}
	before, after := render(was), render(is)
	c.Bird = append(without("-", before, after), without("+", after, before)...)
	restart := bird.Disrupts(before, after)
	for _, n := range is.Bird.Neighbors {
		// A new name is to BIRD a session less and one more.
		if slices.Contains(c.Resets, n.Router) {
			continue
		}
		if slices.Contains(restart, n.Name) || slices.ContainsFunc(was.Bird.Neighbors, func(o plan.Neighbor) bool {
			return o.Name != n.Name && o.Interface == n.Interface &&
				o.Address == n.Address && o.LocalAddress == n.LocalAddress
		}) {
			c.Resets = append(c.Resets, n.Router)
		}
	}
	before, after = rest(was), rest(is)
	c.Plan = append(without("-", before, after), without("+", after, before)...)
	if len(c.Bird) > 0 { // which says more
		c.Plan = slices.DeleteFunc(c.Plan, func(line string) bool { return strings.HasPrefix(line[2:], "bird.") })
	}
	if len(c.Tunnels)+len(c.Bird)+len(c.Plan) == 0 {
		c.State = same
	}
	return c
}

// render writes bird.conf as far as it is known without the router: its addresses and
// subnets, its BIRD and whether it drains are not.
func render(p plan.Plan) []byte {
	var c bird.Config
	c.SetDefaults()
	c.Bird = p.Bird
	return bird.Render(c, bird.Sources{})
}

// rest is the plan but its tunnels and what a router is only asked, a line for each value.
func rest(p plan.Plan) []byte {
	p.Router.Name, p.Failover.Router, p.Router.Site = "", "", ""
	p.Tunnels, p.Status, p.Measure = nil, plan.Status{}, plan.Measure{}
	raw, err := json.Marshal(p)
	if err != nil {
		return nil // of which there is none for a plan
	}
	return values(nil, "", raw)
}

func values(out []byte, path string, raw json.RawMessage) []byte {
	var fields map[string]json.RawMessage
	var items []json.RawMessage
	switch {
	case json.Unmarshal(raw, &fields) == nil && fields != nil:
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			out = values(out, strings.TrimPrefix(path+"."+name, "."), fields[name])
		}
	case json.Unmarshal(raw, &items) == nil:
		for _, item := range items {
			out = fmt.Appendf(out, "%s %s\n", path, item)
		}
	default:
		out = fmt.Appendf(out, "%s %s\n", path, raw)
	}
	return out
}

// told lists what a router is told besides its plan, and was told otherwise.
func told(was, is map[string]string) []string {
	out := []string{}
	for _, name := range slices.Sorted(maps.Keys(is)) {
		if old, there := was[name]; there && old != is[name] {
			out = append(out, fmt.Sprintf("%s %s -> %s", name, cmp.Or(old, "nothing"), cmp.Or(is[name], "nothing")))
		}
	}
	return out
}

// without lists the lines of a text that another one has not, in order.
func without(sign string, text, other []byte) []string {
	there := map[string]int{}
	for line := range strings.Lines(string(other)) {
		there[line]++
	}
	out := []string{}
	for line := range strings.Lines(string(text)) {
		if there[line]--; there[line] < 0 && !strings.Contains(line, plan.BirdStamp) && strings.TrimSpace(line) != "" {
			out = append(out, sign+" "+strings.TrimSpace(line))
		}
	}
	return out
}

func differing(a, b plan.Tunnel) []string {
	p, q := a.Peers[0], b.Peers[0]
	var out []string
	for _, f := range []struct {
		name    string
		was, is any
	}{
		{"peer", p.Name, q.Name},
		{"addresses", a.Addresses, b.Addresses},
		{"listen_port", a.ListenPort, b.ListenPort},
		{"mtu", a.MTU, b.MTU},
		{"endpoint", endpoint(p.Endpoint), endpoint(q.Endpoint)},
		{"allowed_ips", p.AllowedIPs, q.AllowedIPs},
		{"persistent_keepalive", p.PersistentKeepalive, q.PersistentKeepalive},
		{"preshared_key_file", p.PresharedKeyFile, q.PresharedKeyFile},
	} {
		was, is := fmt.Sprint(f.was), fmt.Sprint(f.is)
		if was == is {
			continue
		}
		if old, list := f.was.([]netip.Prefix); list { // long ones, of which a little changes
			now, _ := f.is.([]netip.Prefix)
			out = append(out, f.name+less(" -", old, now)+less(" +", now, old))
			continue
		}
		out = append(out, fmt.Sprintf("%s %s -> %s", f.name, was, is))
	}
	return out
}

func endpoint(a netip.AddrPort) string {
	if !a.IsValid() {
		return "none"
	}
	return a.String()
}

func less(sign string, a, b []netip.Prefix) (out string) {
	for _, p := range a {
		if !slices.Contains(b, p) {
			out += sign + p.String()
		}
	}
	return out
}
