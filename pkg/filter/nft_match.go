package filter

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

func (n nftRule) match(m map[string]any) match {
	op, _ := m["op"].(string)
	compare := n.compare(m["left"], m["right"])
	switch op {
	case "==", "in", "":
		return compare
	case "!=":
		return func(p Packet) truth {
			if n.about(m["left"], p) == no {
				return no
			}
			return not(compare(p))
		}
	}
	return func(Packet) truth { return maybe }
}

// about reports whether a packet has what a match looks at at all: an IPv6 packet has no
// "ip saddr", and matches neither == nor != of it.
func (n nftRule) about(left any, p Packet) truth {
	m, _ := left.(map[string]any)
	payload, ok := m["payload"].(map[string]any)
	if !ok {
		return yes
	}
	switch payload["protocol"] {
	case "ip":
		return is(p.Dst.Addr().Is4())
	case "ip6":
		return is(p.Dst.Addr().Is6())
	case "tcp", "udp", "icmp", "icmpv6":
		return p.proto(payload["protocol"].(string))
	case "th":
		return is(p.Proto == "tcp" || p.Proto == "udp")
	case "ether":
		return maybe
	}
	return no // a protocol that none of our packets is of
}

// compare makes the condition that left is right.
func (n nftRule) compare(left, right any) match {
	if name, ok := right.(string); ok && strings.HasPrefix(name, "@") || isSet(right) {
		elements := n.elements(right)
		_, known := n.sets(strings.TrimPrefix(name, "@"))
		if elements == nil && !known {
			return func(Packet) truth { return maybe }
		}
		var each []match
		for _, e := range elements {
			each = append(each, n.compare(left, e))
		}
		return func(p Packet) truth {
			met := []truth{}
			for _, m := range each {
				met = append(met, m(p))
			}
			return anyOf(met...)
		}
	}
	if m, ok := right.(map[string]any); ok && m["elem"] != nil { // with a timeout or a comment
		if elem, ok := m["elem"].(map[string]any); ok {
			return n.compare(left, elem["val"])
		}
	}
	l, _ := left.(map[string]any)
	switch {
	case l["meta"] != nil:
		return n.meta(l["meta"], right)
	case l["payload"] != nil:
		return func(p Packet) truth { return all(n.about(left, p), payload(l["payload"], right, p)) }
	case l["ct"] != nil:
		if ct, ok := l["ct"].(map[string]any); ok && ct["key"] == "state" {
			return func(p Packet) truth { return p.state(texts(right)) }
		}
	case l["fib"] != nil:
		return reverse(l["fib"], right)
	}
	return func(Packet) truth { return maybe }
}

func isSet(v any) bool {
	m, ok := v.(map[string]any)
	return ok && m["set"] != nil
}

// reverse is the reverse path filter as nftables has it: "fib saddr . iif oif missing".
func reverse(v, right any) match {
	f, _ := v.(map[string]any)
	flags := texts(f["flags"])
	if f["result"] == "type" && right == "local" && slices.Equal(flags, []string{"daddr"}) {
		return func(p Packet) truth {
			if p.In != "" && p.Out != "" {
				return no // it is forwarded
			}
			return maybe
		}
	}
	missing := right == false || right == "missing" || fmt.Sprint(right) == "0"
	if !missing || !slices.Contains(flags, "saddr") || !slices.Contains([]any{"oif", "oifname"}, f["result"]) {
		return func(Packet) truth { return maybe }
	}
	strict := slices.Contains(flags, "iif")
	return func(p Packet) truth { return is(strict && p.Detour) }
}

func (n nftRule) meta(v, right any) match {
	key := v
	if m, ok := v.(map[string]any); ok {
		key = m["key"]
	}
	text := fmt.Sprint(right)
	switch key {
	case "iifname", "iif":
		return func(p Packet) truth { return name(p.In, text) }
	case "oifname", "oif":
		return func(p Packet) truth { return name(p.Out, text) }
	case "l4proto":
		return func(p Packet) truth { return p.proto(text) }
	case "nfproto", "protocol":
		return func(p Packet) truth {
			six := p.Dst.Addr().Is6()
			return is(six && slices.Contains([]string{"ipv6", "ip6"}, text) || !six &&
				slices.Contains([]string{"ipv4", "ip"}, text))
		}
	case "skuid", "skgid", "cgroup":
		return func(p Packet) truth {
			if p.In != "" {
				return no // a packet that is forwarded is nobody's
			}
			return maybe
		}
	}
	return func(Packet) truth { return maybe }
}

func payload(v, right any, p Packet) truth {
	m, _ := v.(map[string]any)
	switch m["field"] {
	case "saddr":
		return address(p.Src, right)
	case "daddr":
		return address(p.Dst, right)
	case "protocol", "nexthdr":
		return p.proto(fmt.Sprint(right))
	case "sport":
		return ports(p.SPort, right)
	case "dport":
		return ports(p.DPort, right)
	case "type":
		return is(fmt.Sprint(right) == "echo-request" || fmt.Sprint(right) == "8")
	case "flags":
		return part
	}
	return maybe
}

func address(have netip.Prefix, right any) truth {
	switch v := right.(type) {
	case string:
		return inNetwork(have, v)
	case map[string]any:
		if n, ok := v["prefix"].(map[string]any); ok {
			return inNetwork(have, fmt.Sprintf("%v/%v", n["addr"], n["len"]))
		}
		if r, ok := v["range"].([]any); ok && len(r) == 2 {
			first, err := netip.ParseAddr(fmt.Sprint(r[0]))
			last, err2 := netip.ParseAddr(fmt.Sprint(r[1]))
			if err == nil && err2 == nil {
				return addresses(have, first, last)
			}
		}
	}
	return maybe
}

func ports(have int, right any) truth {
	text := fmt.Sprint(right)
	if m, ok := right.(map[string]any); ok {
		r, ok := m["range"].([]any)
		if !ok || len(r) != 2 {
			return maybe
		}
		text = fmt.Sprintf("%v-%v", r[0], r[1])
	}
	low, high, ok := span(text)
	if !ok { // a service by its name
		return part
	}
	return port(have, low, high)
}
