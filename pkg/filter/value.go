package filter

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// name compares an interface with a pattern that may end in a star. An unknown one is "".
func name(have, pattern string) truth {
	if prefix, star := strings.CutSuffix(pattern, "*"); star {
		return is(have != "" && strings.HasPrefix(have, prefix))
	}
	return is(have == pattern)
}

// addresses tells how many of the addresses of have are between first and last.
func addresses(have netip.Prefix, first, last netip.Addr) truth {
	if !first.IsValid() || first.Is4() != have.Addr().Is4() {
		return no
	}
	low, high := have.Masked().Addr(), Last(have)
	switch {
	case low.Compare(first) >= 0 && high.Compare(last) <= 0:
		return yes
	case high.Less(first) || last.Less(low):
		return no
	}
	return part
}

// Last is the last address of a network.
func Last(n netip.Prefix) netip.Addr {
	b := n.Masked().Addr().AsSlice()
	for bit := n.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func network(text string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked(), true
	}
	a, err := netip.ParseAddr(text)
	return netip.PrefixFrom(a, max(a.BitLen(), 0)), err == nil
}

// inNetwork compares with a network as iptables writes it.
func inNetwork(have netip.Prefix, text string) truth {
	n, ok := network(text)
	if !ok {
		return maybe
	}
	return addresses(have, n.Addr(), Last(n))
}

// port compares a port, 0 for any, with a range.
func port(have, low, high int) truth {
	switch {
	case have != 0:
		return is(low <= have && have <= high)
	case low <= 1 && high == 65535:
		return yes
	}
	return part
}

func span(text string) (low, high int, ok bool) {
	first, last, is := strings.Cut(strings.Replace(text, "-", ":", 1), ":")
	if !is {
		last = first
	}
	low, err := strconv.Atoi(first)
	high, err2 := strconv.Atoi(last)
	return low, high, err == nil && err2 == nil
}

// state compares the state of connection tracking with a list of them.
func (p Packet) state(wanted []string) truth {
	state := "new"
	switch {
	case p.Invalid:
		state = "invalid"
	case p.TooBig:
		state = "related"
	}
	return is(slices.Contains(wanted, state))
}

// icmp compares the type of ICMP with its name or number, which iptables may follow with a code.
func (p Packet) icmp(text string) truth {
	types := []string{"8", "8/0", "128", "128/0", "echo-request", "any"}
	switch {
	case p.TooBig && p.Dst.Addr().Is6():
		types = []string{"2", "2/0", "packet-too-big", "any"}
	case p.TooBig:
		types = []string{"3", "3/4", "destination-unreachable", "fragmentation-needed", "any"}
	}
	return is(slices.Contains(types, text))
}

// proto compares the protocol with its name or number.
func (p Packet) proto(text string) truth {
	six := p.Dst.Addr().Is6()
	switch strings.ToLower(text) {
	case "tcp", "6", "udp", "17":
		return is(
			p.Proto == map[string]string{"tcp": "tcp", "6": "tcp", "udp": "udp", "17": "udp"}[strings.ToLower(text)])
	case "icmp", "1":
		return is(p.Proto == "icmp" && !six)
	case "icmpv6", "ipv6-icmp", "58":
		return is(p.Proto == "icmp" && six)
	case "all", "0":
		return yes
	}
	return no // one that none of our packets is of
}

// flags reports whether of the TCP flags in mask those in want are set: the first packet of
// a connection has SYN alone.
func (p Packet) flags(mask, want []string) truth {
	switch {
	case p.Proto != "tcp":
		return no
	case p.Invalid || len(mask) == 0:
		return maybe
	case slices.Contains(mask, "syn") || slices.Contains(mask, "all"):
		return is(slices.Equal(want, []string{"syn"}))
	}
	return is(len(want) == 0 || want[0] == "none")
}

// about reports whether a packet has what a match looks at at all: an IPv6 packet has no
// "ip saddr", and matches neither == nor != of it.
func (n nftRule) about(left any, p Packet) truth {
	m, _ := left.(map[string]any)
	for _, word := range []string{"&", "concat"} {
		of, _ := m[word].([]any)
		for _, one := range of {
			if t := n.about(one, p); t != yes {
				return t
			}
		}
	}
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
	case "ether", nil: // nil: a place in the packet
		return maybe
	}
	return no // a protocol that none of our packets is of
}

func (n nftRule) compare(left, right any, p Packet) truth {
	if right == "*" {
		return yes
	}
	m, _ := right.(map[string]any)
	if name, _ := right.(string); strings.HasPrefix(name, "@") || m["set"] != nil {
		elements := n.elements(right)
		if elements == nil {
			return maybe
		}
		t := no
		for _, e := range elements {
			t = max(t, n.compare(left, e, p))
		}
		return t
	}
	if elem, ok := m["elem"].(map[string]any); ok { // with a timeout or a comment
		return n.compare(left, elem["val"], p)
	}
	if t := n.about(left, p); t != yes {
		return t
	}
	l, _ := left.(map[string]any)
	for word, v := range l {
		of, _ := v.(map[string]any)
		list, _ := v.([]any)
		switch word {
		case "meta":
			return meta(of["key"], right, p)
		case "payload":
			return payload(of["field"], right, p)
		case "ct":
			switch of["key"] {
			case "state":
				return p.state(texts(right))
			case "status": // nothing is known yet of what is new
				return no
			}
		case "fib":
			return route(of, right, p)
		case "&":
			return masked(list, right, p)
		case "concat":
			parts, _ := m["concat"].([]any)
			if len(parts) != len(list) {
				return maybe
			}
			t := yes
			for i := range list {
				t = all(t, n.compare(list[i], parts[i], p))
			}
			return t
		}
	}
	return maybe
}

// masked is about some of the flags of TCP, or the place of a fragment.
func masked(left []any, right any, p Packet) truth {
	if len(left) == 2 {
		m, _ := left[0].(map[string]any)
		of, _ := m["payload"].(map[string]any)
		want, zero := texts(right), fmt.Sprint(right) == "0"
		switch {
		case of["field"] == "flags" && (zero || want != nil):
			return p.flags(texts(left[1]), want)
		case of["field"] == "frag-off" && zero:
			return yes
		}
	}
	return maybe
}

// route is what the routes say of an address. "fib saddr . iif oif missing" is the
// reverse path filter as nftables has it.
func route(f map[string]any, right any, p Packet) truth {
	flags := texts(f["flags"])
	missing := right == false || right == "missing" || fmt.Sprint(right) == "0"
	switch {
	case f["result"] == "type" && slices.Contains(flags, "daddr"):
		if p.Out != "" { // it goes on to another host
			return is(right == "unicast")
		}
		if len(flags) == 1 {
			return is(right == "local")
		}
	case missing && slices.Contains(flags, "saddr") && slices.Contains([]any{"oif", "oifname"}, f["result"]):
		return is(p.Detour && slices.Contains(flags, "iif"))
	}
	return maybe
}

func meta(key, right any, p Packet) truth {
	text, six := fmt.Sprint(right), p.Dst.Addr().Is6()
	switch key {
	case "iifname", "iif":
		return name(p.In, text)
	case "oifname", "oif":
		return name(p.Out, text)
	case "l4proto":
		return p.proto(text)
	case "nfproto", "protocol":
		return is(six && (text == "ipv6" || text == "ip6") || !six && (text == "ipv4" || text == "ip"))
	case "skuid", "skgid", "cgroup":
		if p.In != "" {
			return no // a packet that is forwarded is nobody's
		}
	}
	return maybe
}

func payload(field, right any, p Packet) truth {
	text := fmt.Sprint(right)
	if _, ranged := right.(map[string]any); ranged && (field == "type" || field == "code") {
		return maybe
	}
	switch field {
	case "saddr":
		return address(p.Src, right)
	case "daddr":
		return address(p.Dst, right)
	case "protocol", "nexthdr":
		return p.proto(text)
	case "sport":
		return ports(p.SPort, right)
	case "dport":
		return ports(p.DPort, right)
	case "type":
		return p.icmp(text)
	case "code":
		if p.TooBig && p.Dst.Addr().Is4() {
			return is(text == "frag-needed" || text == "4")
		}
	case "flags":
		if set := texts(right); len(set) < 2 {
			return p.flags(set, []string{"syn"})
		}
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
