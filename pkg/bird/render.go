package bird

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/order"
	"github.com/wgmesh/router/pkg/plan"
)

// Metric is that of BIRD's routes in the kernel, one better than the floor's
// (pkg/floor). Subnets that the host is connected to have 0, or what DHCP, networkd or
// NetworkManager give them, which is far below, so no route of BIRD's takes one over.
const Metric = 1<<32 - 2

// Render writes the configuration as BIRD reads it. The same configuration
// gives the same bytes on every host and on every day. c must have passed
// Validate and, where a route asks for onlink without an interface, Resolve.
func Render(c Config, src Sources) []byte {
	v := newView(c, src)
	var out conf
	out.head(v)
	for _, f := range v.Families {
		out.kernel(f)
		out.policy(f)
		if v.Others {
			out.otherSites(f)
		}
		if v.Same {
			out.sameSite(f)
		}
	}
	if len(v.Sessions) > 0 {
		out.sessions(v)
	}
	out.put("\n# end\n")
	return []byte(stamped(out.String()))
}

// A view is a Config laid out for conf, which only prints.
type view struct {
	Config
	StampName, Stamp string
	Interfaces       string // of all sessions, quoted and separated by commas
	Others, Same     bool   // there are sessions to other sites, within the site
	Dual             bool   // there are sessions that carry IPv6 too
	Families         []family
	Sessions         []session
}

// A family is the part of the policy that BIRD wants once for IPv4 and once for IPv6.
type family struct {
	N, Channel string // "4", "ipv4"
	Source     string // of the router's own packets, or empty
	Metric     int    // in the kernel
	Local      string // prefix set of what is never installed, or empty
	Static     []string
	Outside    []string
	Follows    bool   // Outside goes by whichever default route there is
	Default    string // everything, and the address that stands for the default route's gateway
	Loopback   string
	Anew       string // makes the site's protocol another one in each text, or empty
	Own        string // prefix set of the own AS, or empty
	Owners     []ownerLine
	Originate  []originLine
	Transit    bool
}

type ownerLine struct {
	AS        plan.AS
	Site, Set string
}

type originLine struct {
	MED int
	Set string
}

type session struct {
	plan.Neighbor
	Template, Title string
	LocalAS         plan.AS
	Channels        []channel
}

type channel struct {
	Name, Import, Export string
	NextHop              string // own address to announce, where BIRD could not know it
	Limit                int
}

func newView(c Config, src Sources) view {
	v := view{Config: c, StampName: plan.BirdStamp, Stamp: noStamp}
	neighbors := slices.Clone(c.Neighbors)
	order.By(neighbors, func(a, b plan.Neighbor) int { return strings.Compare(a.Name, b.Name) })
	var names []string
	for _, n := range neighbors {
		names = append(names, fmt.Sprintf("%q", n.Interface))
		v.Same = v.Same || n.AS == c.AS
		v.Others = v.Others || n.AS != c.AS
		v.Dual = v.Dual || n.Dual()
	}
	v.Interfaces = strings.Join(names, ", ")
	v.Families = append(v.Families, newFamily(c, src.IPv4, "4"))
	if c.hasIPv6() {
		v.Families = append(v.Families, newFamily(c, src.IPv6, "6"))
	}
	for _, n := range neighbors {
		v.Sessions = append(v.Sessions, newSession(c, n))
	}
	return v
}

func newFamily(c Config, source netip.Addr, n string) family {
	is4 := n == "4"
	f := family{
		N: n, Channel: "ipv" + n, Source: text(source), Metric: Metric, Local: prefixSet(c.Local, is4),
		Transit: c.Transit, Default: "::/0", Loopback: "::1",
	}
	if is4 {
		f.Default, f.Loopback = "0.0.0.0/0", "127.0.0.1"
	}
	if c.Version.Major >= 3 {
		f.Anew = "_" + noStamp
	}
	static := slices.Clone(c.Static)
	order.By(static, func(a, b plan.Static) int { return a.Network.Compare(b.Network) })
	for _, s := range static {
		switch {
		case s.Network.Addr().Is4() != is4:
		case s.Outside:
			route := staticRoute(s, c.Version)
			if !s.Via.IsValid() {
				f.Follows, route = true, fmt.Sprintf("route %s recursive %s;", s.Network, f.Loopback)
			}
			if s.Source.IsValid() {
				route = strings.TrimSuffix(route, ";") + fmt.Sprintf(" { krt_prefsrc = %s; };", s.Source)
			}
			f.Outside = append(f.Outside, route)
		default:
			f.Static = append(f.Static, staticRoute(s, c.Version))
		}
	}
	owners := slices.Clone(c.Owners)
	order.By(owners, func(a, b plan.Owner) int { return cmp.Compare(a.AS, b.AS) })
	for _, o := range owners {
		switch set := prefixSet(o.Networks, is4); {
		case set == "":
		case o.AS == c.AS:
			f.Own = set
		default:
			f.Owners = append(f.Owners, ownerLine{AS: o.AS, Site: o.Site, Set: set})
		}
	}
	byMED := map[int][]netip.Prefix{}
	var meds []int
	for _, o := range c.Originate {
		if o.Network.Addr().Is4() == is4 {
			if byMED[o.MED] == nil {
				meds = append(meds, o.MED)
			}
			byMED[o.MED] = append(byMED[o.MED], o.Network)
		}
	}
	order.Ints(meds)
	for _, med := range meds {
		f.Originate = append(f.Originate, originLine{MED: med, Set: prefixSet(byMED[med], is4)})
	}
	return f
}

func newSession(c Config, n plan.Neighbor) session {
	s := session{Neighbor: n, LocalAS: c.AS, Template: "other_site", Title: n.Router}
	s.Title = cmp.Or(s.Title, n.Name)
	for _, o := range c.Owners {
		if o.AS == n.AS && o.Site != "" {
			s.Title += ", site " + o.Site
		}
	}
	limit := n.ImportLimit
	if limit == 0 {
		for _, o := range c.Owners {
			limit += 2 * len(o.Networks)
		}
		limit = max(limit, 10)
	}
	s.Channels = append(s.Channels, newChannel(c, n, "4", n.Address, limit))
	if n.Dual() {
		ch := newChannel(c, n, "6", n.Address6, limit)
		ch.NextHop = n.LocalAddress6.String()
		s.Channels = append(s.Channels, ch)
	}
	if n.AS == c.AS {
		s.Template = "same_site"
	}
	if n.Dual() {
		s.Template += "_dual"
	}
	return s
}

func newChannel(c Config, n plan.Neighbor, f string, peer netip.Addr, limit int) channel {
	ch := channel{Name: "ipv" + f, Limit: limit}
	if n.AS == c.AS {
		ch.Import = fmt.Sprintf("from_same_site%s(%s)", f, peer)
		ch.Export = fmt.Sprintf("to_same_site%s()", f)
		return ch
	}
	ch.Import = fmt.Sprintf("from_other_site%s(%d, %s, %t)", f, n.AS, peer, n.Transit)
	ch.Export = fmt.Sprintf("to_other_site%s(%d)", f, n.AS)
	return ch
}

func staticRoute(s plan.Static, v Version) string {
	if !s.Via.IsValid() {
		return fmt.Sprintf("route %s via %q;", s.Network, s.Interface)
	}
	out := fmt.Sprintf("route %s via %s", s.Network, s.Via)
	switch {
	case s.Interface == "":
	case v.hasDev() && plan.IsAnyBirdWord(s.Interface):
		out += fmt.Sprintf(" dev %q", s.Interface)
	default:
		out += "%'" + s.Interface + "'"
	}
	if s.OnLink {
		out += " onlink"
	}
	return out + ";"
}

// prefixSet writes the prefixes of one family as a set that matches exactly
// these, in one order, or nothing when there are none.
func prefixSet(prefixes []netip.Prefix, is4 bool) string {
	var of []netip.Prefix
	for _, p := range prefixes {
		if p.Addr().Is4() == is4 {
			of = append(of, p)
		}
	}
	order.By(of, netip.Prefix.Compare)
	var text []string
	for _, p := range slices.Compact(of) {
		text = append(text, p.String())
	}
	if len(text) == 0 {
		return ""
	}
	return "[ " + strings.Join(text, ", ") + " ]"
}
