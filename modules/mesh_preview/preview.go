package meshpreview

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/bird"
	"github.com/wgmesh/router/pkg/mesh"
	"github.com/wgmesh/router/pkg/model"
	"github.com/wgmesh/router/pkg/order"
	"github.com/wgmesh/router/pkg/plan"
)

// mostForTwo is how many routers a mesh may have whose pairs of faults are looked at
// unasked: 22,000 pairs, in a few seconds.
const mostForTwo = 20

// A preview is what a mesh will be, and what becomes of the one that is there.
type preview struct {
	Routers []change     `json:"routers"` // nothing without a mesh to compare with
	Traffic []move       `json:"traffic"`
	Faults  model.Report `json:"faults"`
	Cut     []string     `json:"cut"`  // what one fault cuts, and two beyond that
	Lost    []string     `json:"lost"` // what the mesh to compare with kept and this one does not
	Lines   []string     `json:"lines"`
}

// A change is what one router will change.
type change struct {
	Router  string   `json:"router"`
	State   string   `json:"state"`   // new, removed, changed or same
	Tunnels []string `json:"tunnels"` // one line each
	Bird    []string `json:"bird"`    // lines of bird.conf that go and come, with - and +
	Resets  []string `json:"resets"`  // the peers whose session starts anew
}

// A move is traffic that takes another way when all works, or none any more.
type move struct {
	Router  string   `json:"router"`
	Network string   `json:"network"`
	Was     []string `json:"was"`
	Is      []string `json:"is"` // empty: cut
}

// preview works it out for the plans of all routers.
func (o Options) preview() (preview, error) {
	after, err := o.Plans()
	if err != nil {
		return preview{}, err
	}
	network := model.New(after)
	two := o.Faults == faultsTwo || o.Faults == faultsAuto && len(after) <= mostForTwo
	out := preview{Routers: []change{}, Traffic: []move{}, Lost: []string{}, Faults: network.Report(two)}
	out.Cut = append(says(out.Faults), saysTwo(out.Faults)...)
	if len(o.Against) > 0 {
		before, err := o.against()
		if err != nil {
			return preview{}, fmt.Errorf("against: %w", err)
		}
		old := model.New(before)
		out.Routers = o.changes(before, after)
		out.Traffic = o.moves(before, after, old.After(), network.After())
		out.Lost = lost(old.Report(two), out.Faults)
	}
	out.Lines = out.text(len(o.Against) > 0)
	return out, nil
}

// against are the plans of the mesh to compare with.
func (o Options) against() ([]plan.Plan, error) {
	raw, err := json.Marshal(o.Against)
	if err != nil {
		return nil, err
	}
	var m mesh.Mesh
	if err := ansible.Decode(raw, &m); err != nil {
		return nil, err
	}
	return m.Plans()
}

func (o Options) shown(router string) bool {
	return len(o.Show) == 0 || slices.Contains(o.Show, router)
}

func (o Options) changes(before, after []plan.Plan) []change {
	out := []change{}
	for _, p := range after {
		if o.shown(p.Router.Name) {
			out = append(out, compare(find(before, p.Router.Name), p))
		}
	}
	for _, p := range before {
		if find(after, p.Router.Name).IsZero() && o.shown(p.Router.Name) {
			c := change{
				Router: p.Router.Name, State: "removed", Tunnels: []string{},
				Bird: []string{}, Resets: []string{},
			}
			for _, t := range p.Tunnels {
				c.Tunnels = append(c.Tunnels, "- "+title(t))
			}
			out = append(out, c)
		}
	}
	return out
}

func find(plans []plan.Plan, router string) plan.Plan {
	if i := slices.IndexFunc(plans, func(p plan.Plan) bool { return p.Router.Name == router }); i >= 0 {
		return plans[i]
	}
	return plan.Plan{}
}

func title(t plan.Tunnel) string { return t.Name + " to " + t.Peers[0].Name }

func compare(was, is plan.Plan) change {
	c := change{Router: is.Router.Name, State: "changed", Tunnels: []string{}, Bird: []string{}, Resets: []string{}}
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
	for _, session := range bird.Disrupts(before, after) {
		for _, n := range is.Bird.Neighbors {
			if n.Name == session {
				c.Resets = append(c.Resets, n.Router)
			}
		}
	}
	if len(c.Tunnels)+len(c.Bird) == 0 {
		c.State = "same"
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
		{"endpoint", p.Endpoint, q.Endpoint},
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

func less(sign string, a, b []netip.Prefix) (out string) {
	for _, p := range a {
		if !slices.Contains(b, p) {
			out += sign + p.String()
		}
	}
	return out
}

// moves compares the ways to each network of both inventories. One that the other inventory
// only has in parts is left to these.
func (o Options) moves(before, after []plan.Plan, was, is *model.View) []move {
	out := []move{}
	for _, p := range before {
		q := find(after, p.Router.Name)
		if q.IsZero() || !o.shown(p.Router.Name) {
			continue
		}
		old, now := elsewhere(p), elsewhere(q)
		both := slices.Concat(old, now)
		order.By(both, netip.Prefix.Compare)
		for _, network := range slices.Compact(both) {
			if parted(network, old) || parted(network, now) {
				continue
			}
			a, why := was.Way(p.Router.Name, network)
			if why != "" {
				continue
			}
			b, why := is.Way(p.Router.Name, network)
			if why != "" {
				b = []string{}
			}
			if !slices.Equal(a, b) {
				out = append(out, move{Router: p.Router.Name, Network: network.String(), Was: a, Is: b})
			}
		}
	}
	return out
}

// elsewhere are the networks of other sites.
func elsewhere(p plan.Plan) (out []netip.Prefix) {
	for _, owner := range p.Bird.Owners {
		if owner.AS != p.Bird.AS {
			out = append(out, owner.Networks...)
		}
	}
	return out
}

// parted reports whether list has a network in parts, all of it, and not as a whole.
func parted(network netip.Prefix, list []netip.Prefix) bool {
	return !holds(list, network) && covers(list, network)
}

func holds(list []netip.Prefix, network netip.Prefix) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool {
		return p.Bits() <= network.Bits() && p.Contains(network.Addr())
	})
}

// covers reports whether each address of a network is in one of list.
func covers(list []netip.Prefix, network netip.Prefix) bool {
	if holds(list, network) {
		return true
	}
	if !slices.ContainsFunc(list, func(p netip.Prefix) bool { return network.Contains(p.Addr()) }) {
		return false
	}
	half := network.Bits()
	upper := network.Addr().AsSlice()
	upper[half/8] |= 0x80 >> (half % 8)
	second, _ := netip.AddrFromSlice(upper)
	return covers(list, netip.PrefixFrom(network.Addr(), half+1)) && covers(list, netip.PrefixFrom(second, half+1))
}

// lost lists what one fault cuts now and did not before.
func lost(was, is model.Report) []string {
	out := []string{}
	had := says(was)
	// A router that was alone in its zone was the zone as well, which is more than one now.
	for _, c := range was.Single {
		for _, same := range c.Faults[0].Same {
			c.Faults = []model.Fault{same}
			had = append(had, cuts(c)...)
		}
	}
	for _, line := range says(is) {
		if !slices.Contains(had, line) {
			out = append(out, line)
		}
	}
	return out
}
