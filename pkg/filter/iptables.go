package filter

import (
	"net/netip"
	"slices"
	"strings"
)

// priorities are those of the tables of iptables at their hooks.
var priorities = map[string]int{"raw": -300, "mangle": -150, "nat": -100, "filter": 0, "security": 50}

// ParseIPTables reads what iptables-save or ip6tables-save prints.
func ParseIPTables(text []byte, six bool) (out Ruleset, tables []string) {
	tool, family, table := "iptables", "ip ", ""
	if six {
		tool, family = "ip6tables", "ip6 "
	}
	chains := map[string]*chain{}
	for _, line := range strings.Split(string(text), "\n") {
		switch {
		case strings.HasPrefix(line, "*"):
			table = line[1:]
			tables = append(tables, table)
		case strings.HasPrefix(line, ":"):
			f := strings.Fields(line[1:])
			if len(f) < 2 {
				continue
			}
			of := family + table + " "
			c := &chain{
				where: tool + " -t " + table, families: []bool{six}, priority: priorities[table],
				policy: strings.ToLower(f[1]), key: of + f[0],
				named: func(name string) *chain { return chains[of+name] },
			}
			if table == "filter" {
				c.where = tool
			}
			if f[1] != "-" {
				c.hook = strings.ToLower(f[0])
				if c.policy == drop {
					c.where += " " + f[0]
				}
			}
			chains[c.key] = c
			out.chains = append(out.chains, c)
		case strings.HasPrefix(line, "-A "):
			words := split(line)
			for _, word := range words {
				out.name(word)
			}
			if c := chains[family+table+" "+words[1]]; c != nil {
				c.rules = append(c.rules, iptablesRule(words[2:], c.where+": "+strings.Join(unquoted(line), " ")))
			}
		}
	}
	return out, tables
}

// unquoted is a rule without its comment.
func unquoted(line string) (out []string) {
	words := split(line)
	for i := 0; i < len(words); i++ {
		if words[i] == "-m" && i+3 < len(words) && words[i+1] == "comment" {
			i += 3
			continue
		}
		out = append(out, words[i])
	}
	return out
}

// split cuts a line into words, with quotes as iptables-save writes them.
func split(line string) (words []string) {
	var b strings.Builder
	quoted, any := false, false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && quoted && i+1 < len(line):
			i++
			b.WriteByte(line[i])
		case c == '"':
			quoted, any = !quoted, true
		case c == ' ' && !quoted:
			if b.Len() > 0 || any {
				words = append(words, b.String())
			}
			b.Reset()
			any = false
		default:
			b.WriteByte(c)
		}
	}
	if b.Len() > 0 || any {
		words = append(words, b.String())
	}
	return words
}

// iptablesRule reads the words of a rule behind its chain. What follows its target are
// options of that.
func iptablesRule(words []string, where string) rule {
	rest := words
	for len(rest) > 0 && rest[0] != "-j" && rest[0] != "-g" {
		_, used := condition(rest, Packet{Src: everything, Dst: everything})
		rest = rest[min(used, len(rest)):]
	}
	words = words[:len(words)-len(rest)]
	r := rule{where: where, fits: func(p Packet) truth { return conditions(words, p) }}
	if len(rest) > 1 {
		does := target(rest[1])
		if rest[0] == "-g" {
			does = goTo
		} else if does == unknown && rest[1] != "QUEUE" && rest[1] != "NFQUEUE" {
			does = jump
		}
		r.does = []act{{what: does, target: rest[1]}}
	}
	return r
}

var everything = netip.PrefixFrom(netip.IPv4Unspecified(), 0)

// conditions judges the options before the target.
func conditions(words []string, p Packet) truth {
	fits := yes
	for invert := false; len(words) > 0 && fits != no; {
		t, used := condition(words, p)
		if invert {
			t = not(t)
		}
		if invert = words[0] == "!"; !invert {
			fits = all(fits, t)
		}
		words = words[min(used, len(words)):]
	}
	return fits
}

// condition judges the option that the words begin with, and says how many words it has.
func condition(words []string, p Packet) (t truth, used int) {
	word, value := words[0], ""
	if len(words) > 1 {
		value = words[1]
	}
	switch word {
	case "-s":
		return inNetwork(p.Src, value), 2
	case "-d":
		return inNetwork(p.Dst, value), 2
	case "-i":
		return name(p.In, plus(value)), 2
	case "-o":
		return name(p.Out, plus(value)), 2
	case "-p":
		return p.proto(value), 2
	case "-f": // what begins something is no fragment's rest
		return no, 1
	case "-m":
		switch value {
		case "tcp", "udp", "icmp", "icmp6", "conntrack", "state", "comment", "multiport", "addrtype":
			return yes, 2 // their options follow
		case "rpfilter":
			return is(p.Detour == slices.Contains(words, "--invert")), 2
		}
		return maybe, 2
	case "--comment":
		return yes, 2
	case "--validmark", "--accept-local", "--invert": // of rpfilter
		return yes, 1
	case "--ctstate", "--state":
		return p.state(listed(value)), 2
	case "--ctstatus": // nothing is known yet of what is new
		return no, 2
	case "--tcp-flags":
		if len(words) > 2 {
			return p.flags(listed(value), listed(words[2])), 3
		}
	case "--ports":
		return part, 2
	case "--dport", "--dports":
		return portOf(p.DPort, value), 2
	case "--sport", "--sports":
		return portOf(p.SPort, value), 2
	case "--icmp-type", "--icmpv6-type":
		return p.icmp(value), 2
	case "--dst-type":
		if value == "LOCAL" {
			return is(p.Out == ""), 2
		}
		return maybe, 2
	}
	switch {
	case !strings.HasPrefix(word, "--"):
		return yes, 1
	case value == "" || strings.HasPrefix(value, "-") || value == "!":
		return maybe, 1
	}
	return maybe, 2
}

func listed(value string) []string { return strings.Split(strings.ToLower(value), ",") }

// portOf compares a port with a list of ports and ranges.
func portOf(have int, list string) truth {
	t := no
	for _, one := range listed(list) {
		low, high, ok := span(one)
		if !ok {
			return part
		}
		t = max(t, port(have, low, high))
	}
	return t
}

// plus turns iptables' "wg+" into "wg*".
func plus(pattern string) string {
	if prefix, ok := strings.CutSuffix(pattern, "+"); ok {
		return prefix + "*"
	}
	return pattern
}
