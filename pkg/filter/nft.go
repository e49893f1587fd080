package filter

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

type listing struct {
	Nftables []struct {
		Chain *struct {
			Family, Table, Name, Type, Hook, Policy string
			Prio                                    json.Number
			Dev                                     any // a name, or a list of them
		}
		Rule *struct {
			Family, Table, Chain string
			Handle               json.Number
			Expr                 []map[string]any
		}
		Set, Map  *set
		Flowtable *struct {
			Family, Table, Name string
			Dev                 any
		}
	}
}

type set struct {
	Family, Table, Name string
	Elem                []any
}

// things are the flowtables, and the sets and maps by their names.
func (l listing) things() (out Ruleset, sets map[string][]any) {
	sets = map[string][]any{}
	for _, x := range l.Nftables {
		for _, s := range []*set{x.Set, x.Map} {
			if s != nil {
				sets[s.Family+" "+s.Table+" "+s.Name] = append([]any{}, s.Elem...)
				out.name(s.Elem)
			}
		}
		if t := x.Flowtable; t != nil {
			where := "nft " + t.Family + " " + t.Table + " flowtable " + t.Name
			out.Flowtables = append(out.Flowtables, Flowtable{where, texts(t.Dev)})
		}
	}
	return out, sets
}

// ParseNFT reads the JSON of the ruleset, and the same as text with handles, which
// gives the rules their words. What nft does not tell of a rule that iptables made is
// taken from what iptables-nft-save says of it. All else is not: iptables leaves out what
// it does not know of tables that it did not make.
func ParseNFT(data, text []byte, saved Ruleset) (Ruleset, error) {
	var doc listing
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.UseNumber()
	if err := decoder.Decode(&doc); err != nil {
		return Ruleset{}, fmt.Errorf("its output is no JSON: %w", err)
	}
	words := handles(text)
	chains, theirs := map[string]*chain{}, map[string]*chain{}
	for _, c := range saved.chains {
		theirs[c.key] = c
	}
	out, sets := doc.things()
	for _, x := range doc.Nftables {
		c := x.Chain
		if c == nil {
			continue
		}
		priority, _ := c.Prio.Int64()
		table := c.Family + " " + c.Table + " "
		made := &chain{
			where: "nft " + table + c.Name, hook: c.Hook, priority: int(priority), policy: c.Policy,
			devices: texts(c.Dev), key: table + c.Name,
			named: func(name string) *chain { return chains[table+name] },
		}
		if t := theirs[made.key]; t != nil {
			made.where = t.where
		}
		if made.devices == nil && c.Hook == "ingress" { // JSON has none of family inet
			made.devices = quoted(words[made.key])
		}
		switch c.Family {
		case "ip":
			made.families = []bool{false}
		case "ip6":
			made.families = []bool{true}
		case "inet", "netdev":
			made.families = []bool{false, true}
		}
		chains[made.key] = made
		out.chains = append(out.chains, made)
	}
	for _, x := range doc.Nftables {
		if x.Rule == nil {
			continue
		}
		for _, e := range x.Rule.Expr {
			out.name(e)
		}
		table := x.Rule.Family + " " + x.Rule.Table + " "
		if c := chains[table+x.Rule.Chain]; c != nil {
			where := "nft " + c.key + ": " + words[c.key+" "+x.Rule.Handle.String()]
			c.rules = append(c.rules, nftRule{table, sets}.rule(x.Rule.Expr, where))
		}
	}
	for _, c := range out.chains {
		c.complete(theirs[c.key])
	}
	return out, nil
}

// complete takes from what iptables says of the same chain the rules that nft does not tell whole.
func (c *chain) complete(theirs *chain) {
	if theirs == nil || len(theirs.rules) != len(c.rules) {
		return
	}
	for i := range c.rules {
		if c.rules[i].xt {
			c.rules[i] = theirs.rules[i]
		}
	}
}

// name notes the addresses in a word, an expression or the elements of a set. Both ends of
// a range are among them.
func (r *Ruleset) name(v any) {
	switch v := v.(type) {
	case string:
		if n, ok := network(v); ok {
			r.Named = append(r.Named, n)
		}
	case []any:
		for _, e := range v {
			r.name(e)
		}
	case map[string]any:
		r.name(fmt.Sprintf("%v/%v", v["addr"], v["len"])) // a prefix
		for _, e := range v {
			r.name(e)
		}
	}
}

// handles finds the words of each rule by table, chain and handle.
func handles(text []byte) map[string]string {
	out := map[string]string{}
	table, in := "", ""
	for _, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		words, handle, found := strings.Cut(line, " # handle ")
		f := strings.Fields(words)
		switch {
		case strings.HasPrefix(line, "type ") && strings.Contains(line, " device"):
			out[table+in] = line
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

func quoted(line string) (out []string) {
	for i, word := range strings.Split(line, `"`) {
		if i%2 == 1 {
			out = append(out, word)
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

// An nftRule turns expressions into a rule of a table.
type nftRule struct {
	table string
	sets  map[string][]any
}

func (n nftRule) rule(expressions []map[string]any, where string) rule {
	r := rule{where: where, fits: func(p Packet) truth {
		t := yes
		for _, e := range expressions {
			for word, v := range e {
				t = all(t, n.meets(word, v, p))
			}
		}
		return t
	}}
	unnamed := false
	for _, e := range expressions {
		for word, v := range e {
			r.does = append(r.does, n.acts(word, v)...)
			r.xt = r.xt || word == "xt"
			unnamed = unnamed || word == "xt" && v == nil
		}
	}
	if unnamed && len(r.does) == 0 { // an old nft does not say what it is
		r.does = []act{{what: unknown}}
	}
	return r
}

func (n nftRule) meets(word string, v any, p Packet) truth {
	m, _ := v.(map[string]any)
	switch word {
	case "match":
		right := m["right"]
		if _, ok := right.([]any); ok && m["op"] != "==" { // any of these
			right = map[string]any{"set": right}
		}
		t := n.compare(m["left"], right, p)
		switch m["op"] {
		case "==", "in", nil:
			return t
		case "!=", "!":
			return all(n.about(m["left"], p), not(t))
		}
		return maybe
	case "limit", "quota", "ct count", "meter":
		return maybe
	case "set", "map":
		if m["stmt"] != nil { // a limit of each
			return maybe
		}
	case "xt":
		if m["type"] != "target" {
			return maybe
		}
	}
	return yes
}

func (n nftRule) acts(word string, v any) []act {
	m, _ := v.(map[string]any)
	what := nothing
	to, _ := m["target"].(string)
	switch word {
	case accept, returns, drop, jump, goTo:
		what = word
	case "reject":
		what = drop
	case "masquerade", "snat", "dnat", "redirect", "tproxy":
		what = rewrite
	case "fwd", "queue":
		what = unknown
	case "vmap":
		return n.verdicts(m)
	case "mangle":
		key, _ := m["key"].(map[string]any)
		if payload, ok := key["payload"].(map[string]any); ok &&
			slices.Contains([]any{"saddr", "daddr", "sport", "dport"}, payload["field"]) {
			what = rewrite
		}
	case "xt":
		if m["type"] == "target" {
			name, _ := m["name"].(string)
			return []act{{what: target(name)}}
		}
	}
	if what == nothing {
		return nil
	}
	return []act{{what: what, target: to}}
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
	case "MASQUERADE", "SNAT", "DNAT", "REDIRECT", "NETMAP", "TPROXY", "DNPT", "SNPT":
		return rewrite
	case "TCPMSS", "LOG", "NFLOG", "ULOG", "MARK", "CONNMARK", "CT", "NOTRACK", "CHECKSUM",
		"CLASSIFY", "DSCP", "TOS", "TTL", "HL", "TRACE",
		"SET", "TEE", "SECMARK", "CONNSECMARK", "AUDIT", "RATEEST", "HMARK", "TCPOPTSTRIP", "SYNPROXY", "LED", "ECN":
		return nothing
	}
	return unknown
}

func (n nftRule) verdicts(m map[string]any) (out []act) {
	elements := n.elements(m["data"])
	if elements == nil {
		return []act{{what: unknown}}
	}
	for _, e := range elements {
		pair, ok := e.([]any)
		if !ok || len(pair) != 2 {
			continue
		}
		verdict, _ := pair[1].(map[string]any)
		for word, v := range verdict {
			for _, a := range n.acts(word, v) {
				a.when = func(p Packet) truth { return n.compare(m["key"], pair[0], p) }
				out = append(out, a)
			}
		}
	}
	return out
}

// elements are those of a set: an anonymous one, or one with a name. They are nil where
// it is not known.
func (n nftRule) elements(v any) []any {
	if m, ok := v.(map[string]any); ok {
		e, _ := m["set"].([]any)
		return e
	}
	name, _ := v.(string)
	return n.sets[n.table+strings.TrimPrefix(name, "@")]
}
