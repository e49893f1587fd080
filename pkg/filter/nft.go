package filter

import (
	"encoding/json"
	"fmt"
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
			where: "nft " + table + c.Name, hook: c.Hook, priority: int(priority), policy: c.Policy,
			devices: texts(c.Dev),
			named:   func(name string) *chain { return chains[table+name] },
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
		if payload, ok := key["payload"].(map[string]any); ok &&
			slices.Contains([]any{"saddr", "daddr", "sport", "dport"}, payload["field"]) {
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
	case "TCPMSS", "LOG", "NFLOG", "ULOG", "MARK", "CONNMARK", "CT", "NOTRACK", "CHECKSUM",
		"CLASSIFY", "DSCP", "TOS", "TTL", "HL", "TRACE",
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
