package meshpreview

import (
	"cmp"
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
	Cut     []string     `json:"cut"`     // what one fault cuts, and two beyond that
	Lost    []string     `json:"lost"`    // what the mesh to compare with kept and this one does not
	Removed []string     `json:"removed"` // networks and sites that the inventory has no more
	Lines   []string     `json:"lines"`
}

// A change is what one router will change.
type change struct {
	Router  string   `json:"router"`
	Former  string   `json:"former"`  // its name before, when it has another one
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
	Is      []string `json:"is"` // empty: cut, or the network is removed
	Removed bool     `json:"removed"`
}

// preview works it out for the plans of all routers.
func (o Options) preview() (preview, error) {
	after, err := o.Plans()
	if err != nil {
		return preview{}, err
	}
	network := model.New(after)
	two := o.Faults == faultsTwo || o.Faults == faultsAuto && len(after) <= mostForTwo
	out := preview{
		Routers: []change{}, Traffic: []move{}, Lost: []string{}, Removed: []string{},
		Faults: network.Report(two),
	}
	out.Cut = append(says(out.Faults), saysTwo(out.Faults)...)
	if len(o.Against) > 0 {
		before, err := o.against()
		if err != nil {
			return preview{}, fmt.Errorf("against: %w", err)
		}
		former := rename(before, after)
		old := model.New(before)
		out.Routers = o.changes(before, after)
		for i, c := range out.Routers {
			out.Routers[i].Former = former[c.Router]
		}
		out.Traffic = moves(before, after, old.After(), network.After())
		out.Removed = o.removed(before, out.Traffic)
		gone := o.always(before, after, out.Traffic)
		out.Traffic = slices.DeleteFunc(out.Traffic, func(m move) bool { return !o.shown(m.Router) })
		out.Lost = append(gone, lost(old.Report(two), out.Faults, before)...)
		out.Cut = append(slices.Clone(gone), out.Cut...)
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

// rename gives routers and sites of the mesh to compare with the names that they have now:
// a router is known by its id, a site by its AS number. The names before are returned.
func rename(before, after []plan.Plan) map[string]string {
	names, former := map[string]string{}, map[string]string{}
	for i, p := range before {
		for _, q := range after {
			if p.Bird.AS == q.Bird.AS {
				before[i].Router.Site = q.Router.Site
			}
			if p.Router.ID == q.Router.ID &&
				find(after, p.Router.Name).IsZero() && find(before, q.Router.Name).IsZero() {
				names[p.Router.Name], former[q.Router.Name] = q.Router.Name, p.Router.Name
				before[i].Router.Name = q.Router.Name
			}
		}
	}
	for _, p := range before {
		for k, n := range p.Bird.Neighbors {
			p.Bird.Neighbors[k].Router = cmp.Or(names[n.Router], n.Router)
		}
	}
	return former
}

// removed marks the traffic to networks that the inventory has no more, not even a part of
// them, and is a line for each of these and for each site that it has no more.
func (o Options) removed(before []plan.Plan, moves []move) []string {
	out := []string{}
	for _, p := range before {
		if !o.has(p.Bird.AS) {
			out = append(out, "site "+p.Router.Site)
		}
	}
	var networks []netip.Prefix
	for _, s := range o.Sites {
		for _, text := range s.Networks {
			if x, err := netip.ParsePrefix(strings.TrimSpace(text)); err == nil {
				networks = append(networks, x)
			}
		}
	}
	for i, m := range moves {
		if x, err := netip.ParsePrefix(m.Network); err == nil && len(m.Is) == 0 && !slices.ContainsFunc(networks, x.Overlaps) {
			moves[i].Removed = true
			out = append(out, "network "+m.Network)
		}
	}
	order.By(out, cmp.Compare[string])
	return slices.Compact(out)
}

// has reports whether the inventory has a site, by its AS number.
func (o Options) has(as plan.AS) bool {
	for _, s := range o.Sites {
		if s.AS == as {
			return true
		}
	}
	return false
}

// always is a line for each network that nothing reaches any more, and each site that is
// without a router. The model of the mesh that comes knows neither.
func (o Options) always(before, after []plan.Plan, moves []move) []string {
	out := []string{}
	for _, p := range before {
		line := fmt.Sprintf("always: %s reaches nobody, it has no router any more", p.Router.Site)
		if !slices.ContainsFunc(after, func(q plan.Plan) bool { return q.Bird.AS == p.Bird.AS }) &&
			find(after, p.Router.Name).IsZero() && !slices.Contains(out, line) && o.has(p.Bird.AS) {
			out = append(out, line)
		}
	}
	var networks []string
	who := map[string][]string{}
	for _, m := range moves {
		if len(m.Is) > 0 || m.Removed {
			continue
		}
		if who[m.Network] == nil {
			networks = append(networks, m.Network)
		}
		who[m.Network] = append(who[m.Network], m.Router)
	}
	for _, n := range networks {
		out = append(out, fmt.Sprintf("always: no way any more to %s from %s", n, strings.Join(who[n], ", ")))
	}
	return out
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
			// The ends do not change at once, and nothing comes through until both have.
			if before.ListenPort != t.ListenPort || before.Peers[0].Endpoint.Port() != t.Peers[0].Endpoint.Port() {
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
func moves(before, after []plan.Plan, was, is *model.View) []move {
	out := []move{}
	for _, p := range before {
		q := find(after, p.Router.Name)
		if q.IsZero() {
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

// lost lists what one fault cuts now and did not before, of sites that were there.
func lost(was, is model.Report, before []plan.Plan) []string {
	had := map[string]bool{}
	// A router that was alone in its zone was the zone as well, which is more than one now.
	for _, c := range append(was.Single, was.Healthy) {
		faults := c.Faults
		for _, f := range c.Faults {
			faults = slices.Concat(faults, f.Same)
		}
		for i := range max(1, len(faults)) { // none: in health
			c.Faults = faults[min(i, len(faults)):min(i+1, len(faults))]
			for _, line := range append(cuts(c, model.Fault.String), cuts(c, model.Fault.Key)...) {
				had[line] = true
			}
		}
	}
	there := func(site string) bool {
		return slices.ContainsFunc(before, func(p plan.Plan) bool { return p.Router.Site == site })
	}
	out := []string{}
	for _, c := range append([]model.Case{is.Healthy}, is.Single...) {
		c.Gone = slices.DeleteFunc(slices.Clone(c.Gone), func(site string) bool { return !there(site) })
		c.Cut = slices.DeleteFunc(slices.Clone(c.Cut), func(cut model.Cut) bool { return !there(cut.From) || !there(cut.To) })
		keys := cuts(c, model.Fault.Key)
		for i, line := range cuts(c, model.Fault.String) {
			if !had[line] && !had[keys[i]] {
				out = append(out, line)
			}
		}
	}
	return out
}
