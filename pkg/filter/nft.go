package filter

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// A listing is what `nft -j list ruleset` prints.
type listing struct {
	Nftables []struct {
		Chain *struct {
			Family, Table, Name, Type, Hook, Policy string
			Prio                                    json.Number
			Dev                                     any // a name, or a list of them
		}
		Rule *struct {
			Family, Table, Chain string
			Handle               int
			Expr                 []map[string]any
		}
		Set *struct {
			Family, Table, Name string
			Elem                []any
		}
	}
}

// ParseNFT reads the JSON of the ruleset, and the same as text with handles, which
// gives the rules their words. Tables for which skip says so are left out.
func ParseNFT(data, text []byte, skip func(family, table string) bool) (Ruleset, error) {
	var doc listing
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.UseNumber()
	if err := decoder.Decode(&doc); err != nil {
		return Ruleset{}, fmt.Errorf("nft -j list ruleset: %w", err)
	}
	words := handles(text)
	chains, sets := map[string]*chain{}, map[string][]any{}
	var out Ruleset
	for _, x := range doc.Nftables {
		if s := x.Set; s != nil {
			sets[s.Family+" "+s.Table+" "+s.Name] = s.Elem
		}
		c := x.Chain
		if c == nil || skip(c.Family, c.Table) {
			continue
		}
		priority, _ := c.Prio.Int64()
		table := c.Family + " " + c.Table + " "
		made := &chain{
			where: "nft " + table + c.Name, hook: c.Hook, priority: int(priority), policy: c.Policy, devices: texts(c.Dev),
			named: func(name string) *chain { return chains[table+name] },
		}
		switch c.Family {
		case "ip":
			made.families = []bool{false}
		case "ip6":
			made.families = []bool{true}
		case "inet", "netdev":
			made.families = []bool{false, true}
		}
		if c.Family != "netdev" || len(made.devices) == 0 {
			made.devices = nil
		}
		chains[table+c.Name] = made
		out.chains = append(out.chains, made)
	}
	for _, x := range doc.Nftables {
		if x.Rule == nil {
			continue
		}
		table := x.Rule.Family + " " + x.Rule.Table + " "
		if c := chains[table+x.Rule.Chain]; c != nil {
			p := nftRule{sets: func(name string) ([]any, bool) { e, ok := sets[table+name]; return e, ok }}
			made := p.rule(x.Rule.Expr)
			made.text = words[fmt.Sprintf("%s%s %d", table, x.Rule.Chain, x.Rule.Handle)]
			c.rules = append(c.rules, made)
		}
	}
	return out, nil
}

// handles finds the words of each rule by table, chain and handle.
func handles(text []byte) map[string]string {
	out := map[string]string{}
	table, in := "", ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		words, handle, found := strings.Cut(line, " # handle ")
		f := strings.Fields(words)
		switch {
		case !found:
		case len(f) == 4 && f[0] == "table":
			table = f[1] + " " + f[2] + " "
		case len(f) == 3 && f[0] == "chain":
			in = f[1]
		default:
			out[table+in+" "+handle] = plain(f)
		}
	}
	return out
}

// plain is a rule without what counts its packets.
func plain(f []string) string {
	var out []string
	for i := 0; i < len(f); i++ {
		if f[i] == "counter" && i+4 < len(f) && f[i+1] == "packets" {
			i += 4
			continue
		}
		out = append(out, f[i])
	}
	return strings.Join(out, " ")
}

// texts reads a text or a list of texts.
func texts(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, e := range v {
			out = append(out, texts(e)...)
		}
		return out
	}
	return nil
}

// An nftRule turns expressions into a rule.
type nftRule struct {
	sets func(string) ([]any, bool)
}

func (n nftRule) rule(expressions []map[string]any) (r rule) {
	for _, e := range expressions {
		for word, v := range e {
			n.add(&r, word, v)
		}
	}
	return r
}

func (n nftRule) add(r *rule, word string, v any) {
	m, _ := v.(map[string]any)
	does := func(what, target string) { r.does = append(r.does, act{what: what, target: target}) }
	switch word {
	case "match":
		r.matches = append(r.matches, n.match(m))
	case "accept", "return":
		does(word, "")
	case "drop", "reject":
		does(drop, "")
	case "jump", "goto":
		target, _ := m["target"].(string)
		does(word, target)
	case "masquerade", "snat", "dnat", "redirect", "tproxy":
		does(rewrite, "")
	case "fwd", "queue":
		does(unknown, "")
	case "vmap":
		n.verdicts(r, m)
	case "limit":
		r.matches = append(r.matches, func(Packet) truth { return maybe })
	case "mangle":
		key, _ := m["key"].(map[string]any)
		if payload, ok := key["payload"].(map[string]any); ok && slices.Contains([]any{"saddr", "daddr", "sport", "dport"}, payload["field"]) {
			does(rewrite, "")
		}
	case "xt":
		name, _ := m["name"].(string)
		if m["type"] == "target" {
			does(target(name), "")
		} else {
			r.matches = append(r.matches, func(Packet) truth { return maybe })
		}
	}
}

// target is what a target of iptables does that nftables has no word for.
func target(name string) string {
	switch name {
	case "ACCEPT":
		return accept
	case "DROP", "REJECT", "TARPIT":
		return drop
	case "RETURN":
		return returns
	case "MASQUERADE", "SNAT", "DNAT", "REDIRECT", "NETMAP", "TPROXY":
		return rewrite
	case "TCPMSS", "LOG", "NFLOG", "ULOG", "MARK", "CONNMARK", "CT", "NOTRACK", "CHECKSUM", "CLASSIFY", "DSCP", "TOS", "TTL", "HL", "TRACE",
		"SET", "TEE", "SECMARK", "CONNSECMARK", "AUDIT", "RATEEST", "HMARK", "TCPOPTSTRIP", "SYNPROXY", "LED", "ECN":
		return nothing
	}
	return unknown
}

// verdicts reads a verdict map.
func (n nftRule) verdicts(r *rule, m map[string]any) {
	elements := n.elements(m["data"])
	if elements == nil {
		r.does = append(r.does, act{what: unknown})
	}
	for _, e := range elements {
		pair, ok := e.([]any)
		if !ok || len(pair) != 2 {
			continue
		}
		verdict, _ := pair[1].(map[string]any)
		for word, v := range verdict {
			var one rule
			n.add(&one, word, v)
			for _, a := range one.does {
				a.when = n.compare(m["key"], pair[0])
				r.does = append(r.does, a)
			}
		}
	}
}

// elements are those of a set: an anonymous one, or one with a name.
func (n nftRule) elements(v any) []any {
	if name, ok := v.(string); ok {
		if name, ok = strings.CutPrefix(name, "@"); ok {
			e, known := n.sets(name)
			if known && e == nil {
				e = []any{}
			}
			return e
		}
	}
	if m, ok := v.(map[string]any); ok {
		e, _ := m["set"].([]any)
		return e
	}
	return nil
}

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

// about tells whether a packet has what a match looks at at all: an IPv6 packet has no
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
			return is(six && slices.Contains([]string{"ipv6", "ip6"}, text) || !six && slices.Contains([]string{"ipv4", "ip"}, text))
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
