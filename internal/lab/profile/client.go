package profile

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Clients are the programs that can address a host's NICs.
var Clients = []string{"networkd", "netplan", "networkmanager", "ifupdown"}

// clientFiles are the configuration of the program that addresses the NICs, as an installer or
// cloud-init leaves it. IPv4 comes from a server if the profile says so; IPv6 is written down.
func (p Profile) clientFiles(cards []Card) []File {
	switch p.Client {
	case "networkd":
		out := networkdService
		for _, c := range cards {
			out = append(out, File{
				Path: "etc/systemd/network/20-" + c.Name + ".network", Text: p.networkd(c), Mode: 0o644,
			})
		}
		return append(out, File{
			Path: "etc/systemd/system/multi-user.target.wants/systemd-networkd.service",
			Link: "/lib/systemd/system/systemd-networkd.service",
		})
	case "netplan": // its generator starts networkd
		text := "network:\n  version: 2\n  ethernets:\n"
		for _, c := range cards {
			text += p.netplan(c)
		}
		return append(networkdService, File{Path: "etc/netplan/50-cloud-init.yaml", Text: text, Mode: 0o600})
	case "networkmanager":
		var out []File
		for _, c := range cards {
			out = append(out, File{
				Path: "etc/NetworkManager/system-connections/" + c.Name + ".nmconnection",
				Text: p.networkManager(c), Mode: 0o600,
			})
		}
		return out
	case "ifupdown":
		text := "auto lo\niface lo inet loopback\n"
		for _, c := range cards {
			text += p.ifupdown(c)
		}
		return []File{{Path: "etc/network/interfaces", Text: text, Mode: 0o644}}
	}
	return nil
}

// networkdService gives the host back what the lab's base has masked, and keeps
// networkd off the lab's own interface.
var networkdService = []File{
	{Path: "etc/systemd/system/systemd-networkd.service", Link: "/lib/systemd/system/systemd-networkd.service"},
	{Path: "etc/systemd/network/10-lab.network", Mode: 0o644, Text: "[Match]\nName=mgmt0\n[Link]\nUnmanaged=yes\n"},
}

// written lists the addresses that are not asked for.
func (p Profile) written(c Card) []netip.Prefix {
	out := slices.Clone(c.Addresses)
	if p.DHCP {
		for i, a := range out {
			if a.Addr().Is4() {
				return slices.Delete(out, i, i+1)
			}
		}
	}
	return out
}

// A route is one that the card's own addresses do not bring.
type route struct {
	to     netip.Prefix
	via    netip.Addr // zero: straight out of the card
	source netip.Addr
	onlink bool
	metric int
	table  int
}

func (r route) isDefault() bool { return r.to.Bits() == 0 }

func (p Profile) routes(c Card) []route {
	var out []route
	for i, g := range c.Gateways {
		everything := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if g.Is6() {
			everything = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		own := c.Addresses[i]
		r := route{to: everything, via: g, onlink: c.Onlink || !own.Contains(g), metric: c.Metric}
		if c.Source.IsValid() && c.Source.Is6() == g.Is6() {
			r.source = c.Source
		}
		if !p.DHCP || !g.Is4() { // else the server gives it
			out = append(out, r)
		}
		if c.Table > 0 {
			if !own.IsSingleIP() {
				out = append(out, route{to: own.Masked(), table: c.Table})
			}
			out = append(out, route{to: everything, via: g, onlink: r.onlink, table: c.Table})
		}
	}
	return out
}

// A rule sends what comes from an address of the card to its table.
type rule struct {
	from     netip.Addr
	priority int
	table    int
}

func (c Card) rules() []rule {
	var out []rule
	for i := range c.Gateways {
		if c.Table > 0 {
			out = append(out, rule{c.Addresses[i].Addr(), 10000 + c.Table, c.Table})
		}
	}
	return out
}

func (p Profile) networkd(c Card) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("[Match]\nName=%s\n[Network]\nLinkLocalAddressing=ipv6\nIPv6AcceptRA=no", c.Name)
	if p.NoIPv6 {
		b.Reset()
		say("[Match]\nName=%s\n[Network]\nLinkLocalAddressing=no\nIPv6AcceptRA=no", c.Name)
	}
	if p.DHCP {
		say("DHCP=ipv4\n[DHCPv4]")
		if c.Metric > 0 {
			say("RouteMetric=%d", c.Metric)
		}
	}
	for _, a := range p.written(c) {
		say("[Address]\nAddress=%s", a)
		if c.Metric > 0 {
			say("RouteMetric=%d", c.Metric)
		}
	}
	for _, r := range p.routes(c) {
		say("[Route]\nDestination=%s", r.to)
		if r.via.IsValid() {
			say("Gateway=%s", r.via)
		}
		if r.onlink {
			say("GatewayOnLink=yes")
		}
		if r.source.IsValid() {
			say("PreferredSource=%s", r.source)
		}
		if r.metric > 0 {
			say("Metric=%d", r.metric)
		}
		if r.table > 0 {
			say("Table=%d", r.table)
		}
	}
	for _, r := range c.rules() {
		say("[RoutingPolicyRule]\nFrom=%s\nPriority=%d\nTable=%d", r.from, r.priority, r.table)
	}
	return b.String()
}

func (p Profile) netplan(c Card) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("    %s:\n      accept-ra: false", c.Name)
	if p.DHCP {
		say("      dhcp4: true")
		if c.Metric > 0 {
			say("      dhcp4-overrides: {route-metric: %d}", c.Metric)
		}
	}
	if p.NoIPv6 {
		say("      link-local: []")
	}
	if written := p.written(c); len(written) > 0 {
		say("      addresses:")
		for _, a := range written {
			say("        - \"%s\"", a)
		}
	}
	var lines []string
	for _, r := range p.routes(c) {
		line := fmt.Sprintf("to: \"%s\"", r.to)
		if r.isDefault() {
			line = "to: default"
		}
		if r.via.IsValid() {
			line += fmt.Sprintf(", via: \"%s\"", r.via)
		} else {
			line += ", scope: link"
		}
		if r.onlink {
			line += ", on-link: true"
		}
		if r.source.IsValid() {
			line += fmt.Sprintf(", from: \"%s\"", r.source)
		}
		if r.metric > 0 {
			line += fmt.Sprintf(", metric: %d", r.metric)
		}
		if r.table > 0 {
			line += fmt.Sprintf(", table: %d", r.table)
		}
		lines = append(lines, "        - {"+line+"}\n")
	}
	if len(lines) > 0 {
		b.WriteString("      routes:\n" + strings.Join(lines, ""))
	}
	if rules := c.rules(); len(rules) > 0 {
		say("      routing-policy:")
		for _, r := range rules {
			say("        - {from: \"%s\", table: %d, priority: %d}", r.from, r.table, r.priority)
		}
	}
	return b.String()
}

func (p Profile) networkManager(c Card) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("[connection]\nid=%s\ntype=ethernet\ninterface-name=%s\n[ethernet]", c.Name, c.Name)
	for _, v6 := range []bool{false, true} {
		say("[%s]", map[bool]string{false: "ipv4", true: "ipv6"}[v6])
		n := 0
		for _, a := range p.written(c) {
			if a.Addr().Is6() == v6 {
				n++
				say("address%d=%s", n, a)
			}
		}
		switch {
		case !v6 && p.DHCP:
			say("method=auto")
		case v6 && p.NoIPv6:
			say("method=disabled")
		case n > 0:
			say("method=manual")
		default:
			say("method=link-local")
		}
		if c.Metric > 0 {
			say("route-metric=%d", c.Metric)
		}
		n = 0
		for _, r := range p.routes(c) {
			if r.to.Addr().Is6() == v6 {
				n++
				say("%s", r.keyfile(n))
			}
		}
		n = 0
		for _, r := range c.rules() {
			if r.from.Is6() == v6 {
				n++
				say("routing-rule%d=priority %d from %s table %d", n, r.priority, r.from, r.table)
			}
		}
	}
	return b.String()
}

// keyfile is the route as the nth of a family in a keyfile.
func (r route) keyfile(n int) string {
	line := fmt.Sprintf("route%d=%s", n, r.to)
	if r.via.IsValid() {
		line += "," + r.via.String()
	}
	var options []string
	if r.onlink {
		options = append(options, "onlink=true")
	}
	if r.source.IsValid() {
		options = append(options, "src="+r.source.String())
	}
	if r.table > 0 {
		options = append(options, fmt.Sprintf("table=%d", r.table))
	}
	if len(options) > 0 {
		line += fmt.Sprintf("\nroute%d_options=%s", n, strings.Join(options, ","))
	}
	return line
}

// words are what `ip route add` takes for the route by an interface.
func (r route) words(iface string) string {
	line := r.to.String()
	if r.via.IsValid() {
		line += " via " + r.via.String()
	}
	line += " dev " + iface
	if r.onlink {
		line += " onlink"
	}
	if r.source.IsValid() {
		line += " src " + r.source.String()
	}
	if r.table > 0 {
		line += fmt.Sprintf(" table %d", r.table)
	}
	if r.metric > 0 && r.to.Addr().Is6() {
		r.metric += 1024 // what one without a metric has
	}
	if r.metric > 0 {
		line += fmt.Sprintf(" metric %d", r.metric)
	}
	return line
}

// ifupdown gives no connected route a metric: the kernel's own 0 stays.
func (p Profile) ifupdown(c Card) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("auto %s", c.Name)
	for _, v6 := range []bool{false, true} {
		family, flag := "inet", ""
		if v6 {
			family, flag = "inet6", "-6 "
		}
		own := slices.DeleteFunc(p.written(c), func(a netip.Prefix) bool { return a.Addr().Is6() != v6 })
		switch {
		case !v6 && p.DHCP:
			say("iface %s inet dhcp", c.Name)
			if c.Metric > 0 { // of the default route: a second one would be refused
				say("  metric %d", c.Metric)
			}
		case len(own) > 0:
			say("iface %s %s static\n  address %s", c.Name, family, own[0])
			if v6 {
				say("  dad-attempts 0\n  accept_ra 0")
			}
			own = own[1:]
		default:
			continue
		}
		for _, a := range own {
			say("  up ip address add %s dev %s", a, c.Name)
		}
		for _, r := range p.routes(c) {
			if r.to.Addr().Is6() == v6 {
				say("  up ip %sroute add %s", flag, r.words(c.Name))
			}
		}
		for _, r := range c.rules() {
			if r.from.Is6() == v6 {
				say("  up ip %srule add pref %d from %s lookup %d", flag, r.priority, r.from, r.table)
			}
		}
	}
	return b.String()
}
