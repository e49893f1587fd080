package filter

import (
	"strings"
)

// priorities are those of the tables of iptables at their hooks.
var priorities = map[string]int{"raw": -300, "mangle": -150, "nat": -100, "filter": 0, "security": 50}

// ParseIPTables reads what iptables-save or ip6tables-save prints.
func ParseIPTables(text []byte, six bool) (out Ruleset, tables []string) {
	tool, table := "iptables", ""
	if six {
		tool = "ip6tables"
	}
	chains := map[string]*chain{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "*"):
			table = line[1:]
			tables = append(tables, table)
		case strings.HasPrefix(line, ":"):
			f := strings.Fields(line[1:])
			if len(f) < 2 {
				continue
			}
			of := table + " "
			c := &chain{
				where: tool + " -t " + table, families: []bool{six}, priority: priorities[table],
				policy: strings.ToLower(f[1]),
				named:  func(name string) *chain { return chains[of+name] },
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
			chains[of+f[0]] = c
			out.chains = append(out.chains, c)
		case strings.HasPrefix(line, "-A "):
			words := split(line)
			if c := chains[table+" "+words[1]]; c != nil {
				c.rules = append(c.rules, iptablesRule(words[2:], strings.Join(unquoted(line), " ")))
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

// iptablesRule reads the words of a rule behind its chain.
func iptablesRule(words []string, text string) rule {
	r := rule{text: text}
	invert := false
	for i := 0; i < len(words); i++ {
		word := words[i]
		value := ""
		if i+1 < len(words) {
			value = words[i+1]
		}
		if word == "!" {
			invert = true
			continue
		}
		m, takes := condition(word, value)
		switch {
		case word == "-j" || word == "-g":
			does := target(value)
			if word == "-g" {
				does = goTo
			} else if does == unknown && value != "QUEUE" && value != "NFQUEUE" {
				does = jump
			}
			r.does = append(r.does, act{what: does, target: value})
			return r // what follows are options of the target
		case m != nil && invert:
			r.matches = append(r.matches, func(p Packet) truth { return not(m(p)) })
		case m != nil:
			r.matches = append(r.matches, m)
		}
		invert = false
		if takes {
			i++
		}
	}
	return r
}

// condition is one option of a rule. Without a match it says nothing of the packet.
func condition(word, value string) (m match, takesValue bool) {
	switch word {
	case "-s":
		return func(p Packet) truth { return inNetwork(p.Src, value) }, true
	case "-d":
		return func(p Packet) truth { return inNetwork(p.Dst, value) }, true
	case "-i":
		return func(p Packet) truth { return name(p.In, plus(value)) }, true
	case "-o":
		return func(p Packet) truth { return name(p.Out, plus(value)) }, true
	case "-p":
		return func(p Packet) truth { return p.proto(value) }, true
	case "-m":
		switch value {
		case "tcp", "udp", "icmp", "icmp6", "conntrack", "state", "comment", "multiport", "addrtype":
			return nil, true // their options follow
		}
		return func(Packet) truth { return maybe }, true
	case "--comment":
		return nil, true
	case "--ctstate", "--state":
		return func(p Packet) truth { return p.state(strings.Split(strings.ToLower(value), ",")) }, true
	case "--dport", "--dports", "--sport", "--sports":
		return func(p Packet) truth {
			have, met := p.DPort, []truth{}
			if strings.HasPrefix(word, "--s") {
				have = p.SPort
			}
			for one := range strings.SplitSeq(value, ",") {
				low, high, ok := span(one)
				if !ok {
					return part
				}
				met = append(met, port(have, low, high))
			}
			return anyOf(met...)
		}, true
	case "--icmp-type", "--icmpv6-type":
		return func(Packet) truth {
			return is(value == "8" || value == "128" || value == "echo-request" || value == "any")
		}, true
	case "--dst-type":
		return func(p Packet) truth {
			if value == "LOCAL" && p.In != "" && p.Out != "" {
				return no // it is forwarded
			}
			return maybe
		}, true
	}
	if strings.HasPrefix(word, "--") {
		return func(Packet) truth { return maybe }, value != "" && !strings.HasPrefix(value, "-") && value != "!"
	}
	return nil, false
}

// plus turns iptables' "wg+" into "wg*".
func plus(pattern string) string {
	if prefix, ok := strings.CutSuffix(pattern, "+"); ok {
		return prefix + "*"
	}
	return pattern
}
