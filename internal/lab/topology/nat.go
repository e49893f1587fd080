package topology

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// NATScript is the nft ruleset of a site's gateway: each endpoint is one host's
// address, also when the site itself asks for it, or that of several, each with the
// ports of its tunnels; all others leave as the gateway. It translates and never drops.
// Ports that lab_host forwards reach their host from outside only, as at an office.
func (t Topology) NATScript(site Site) string {
	var in, out, forwarded, outside, leave []string
	for _, r := range t.Routers(site.Name) {
		private := r.Address(false)
		if r.Profile.LANGateway {
			private = r.Uplink.Addr()
		}
		if !r.NAT || !private.IsValid() {
			continue
		}
		var ports []string
		for _, outer := range slices.Sorted(maps.Keys(r.Forwards)) {
			ports = append(ports, fmt.Sprintf("%s . %d : %s . %d", r.Endpoint, outer, private, r.Forwards[outer]))
		}
		to := fmt.Sprintf("%s : %s", private, r.Endpoint)
		leave = append(leave, to)
		if r.Profile.Forwarded.Last > 0 {
			outside = append(outside, ports...)
			continue
		}
		forwarded = append(forwarded, ports...)
		if r.Forwards == nil {
			in = append(in, fmt.Sprintf("%s : %s", r.Endpoint, private))
		}
		out = append(out, to)
	}
	var s script
	s.add("table inet cloud {")
	s.add("  chain in {")
	s.add("    type nat hook prerouting priority dstnat; policy accept;")
	if len(in) > 0 {
		s.add("    dnat ip to ip daddr map { %s }", strings.Join(in, ", "))
	}
	if len(forwarded) > 0 {
		s.add("    dnat ip to ip daddr . udp dport map { %s }", strings.Join(forwarded, ", "))
	}
	if len(outside) > 0 {
		s.add("    iifname \"wan\" dnat ip to ip daddr . udp dport map { %s }", strings.Join(outside, ", "))
	}
	s.add("  }\n  chain out {")
	s.add("    type nat hook postrouting priority srcnat; policy accept;")
	if len(out) > 0 {
		s.add("    ct status dnat snat ip to ip saddr map { %s }", strings.Join(out, ", "))
	}
	if len(leave) > 0 {
		s.add("    oifname \"wan\" snat ip to ip saddr map { %s }", strings.Join(leave, ", "))
	}
	s.add("    oifname \"wan\" meta nfproto ipv4 masquerade")
	s.add("  }\n}")
	return s.String()
}

// Cut is a pair of sites or of routers between which every packet is dropped.
type Cut struct{ A, B string }

// NewCut checks the names: two sites, or two routers.
func (t Topology) NewCut(a, b string) (Cut, error) {
	if b < a {
		a, b = b, a
	}
	_, siteA := t.Site(a)
	_, siteB := t.Site(b)
	hostA, okA := t.Host(a)
	hostB, okB := t.Host(b)
	switch {
	case a == b:
		return Cut{}, fmt.Errorf("cut: %s and %s are the same", a, b)
	case siteA && siteB, okA && okB && hostA.Kind == Router && hostB.Kind == Router:
		return Cut{A: a, B: b}, nil
	}
	return Cut{}, fmt.Errorf("cut: %s and %s are not two sites or two routers of this lab", a, b)
}

// CutScripts gives the nft ruleset per namespace that drops what is cut, an empty
// one for a namespace without cuts. Sites are cut in the internet. Routers are
// cut at their gateways, where each still has its own address.
func (t Topology) CutScripts(cuts []Cut) map[string]string {
	rules := map[string][]string{t.Internet(): nil}
	for _, s := range t.Sites {
		rules[t.Gateway(s.Name)] = nil
	}
	for _, c := range cuts {
		a, okA := t.Site(c.A)
		b, okB := t.Site(c.B)
		if okA && okB {
			rules[t.Internet()] = append(rules[t.Internet()],
				fmt.Sprintf("iifname s%d oifname s%d drop", a.Number, b.Number),
				fmt.Sprintf("iifname s%d oifname s%d drop", b.Number, a.Number))
			continue
		}
		x, _ := t.Host(c.A)
		y, _ := t.Host(c.B)
		for _, pair := range [][2]Host{{x, y}, {y, x}} {
			ns := t.Gateway(pair[0].Site)
			rules[ns] = append(rules[ns], t.dropBetween(pair[0], pair[1])...)
		}
	}
	out := map[string]string{}
	for ns, lines := range rules {
		var s script
		s.add("table inet cut\ndelete table inet cut")
		if len(lines) > 0 {
			s.add("table inet cut {\n  chain cut {\n    type filter hook forward priority filter; policy accept;")
			s.add("    %s\n  }\n}", strings.Join(slices.Compact(lines), "\n    "))
		}
		out[ns] = s.String()
	}
	return out
}

// dropBetween drops what goes between the router near and the router far at the gateway of near,
// which knows far by its endpoint, or by its address when both are of one site.
func (t Topology) dropBetween(near, far Host) []string {
	var theirs []netip.Addr
	if far.Endpoint.IsValid() {
		theirs = append(theirs, far.Endpoint)
	}
	if near.Site == far.Site {
		theirs = append(theirs, far.Address(false), far.Address(true))
	}
	own := []netip.Addr{near.Address(false), near.Address(true), near.Endpoint, near.Uplink.Addr()}
	var lines []string
	for _, a := range own {
		for _, b := range theirs {
			if !a.IsValid() || !b.IsValid() || a.Is6() != b.Is6() {
				continue
			}
			ip := "ip"
			if a.Is6() {
				ip = "ip6"
			}
			lines = append(lines,
				fmt.Sprintf("%s saddr %s %s daddr %s drop", ip, a, ip, b),
				fmt.Sprintf("%s saddr %s %s daddr %s drop", ip, b, ip, a))
		}
	}
	return lines
}
