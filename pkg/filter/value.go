package filter

import (
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
