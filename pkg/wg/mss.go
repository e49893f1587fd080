package wg

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
)

// mssFile is where the nftables table lives between boots.
func (w Want) mssFile() string { return filepath.Join(w.Directory, "wgmesh.nft") }

// mssText is that file: it replaces the table in one transaction, so it may be
// loaded any number of times, also at the same time. Both directions are
// needed; each SYN is clamped to the smaller MTU of its way and its way back.
func mssText(prefix string) string {
	const rule = "\t\t%s \"%s*\" tcp flags syn / syn,rst tcp option maxseg size set rt mtu\n"
	return header +
		"table inet wgmesh {}\ndelete table inet wgmesh\ntable inet wgmesh {\n\tchain forward {\n" +
		"\t\ttype filter hook forward priority mangle; policy accept;\n" +
		fmt.Sprintf(rule, "iifname", prefix) + fmt.Sprintf(rule, "oifname", prefix) + "\t}\n}\n"
}

// mssSummary is what summarise makes of the table when it is right.
func mssSummary(prefix string) string {
	return fmt.Sprintf("chain forward filter forward -150 accept; rule iifname %s*, tcp flags, maxseg rt mtu; rule oifname %s*, tcp flags, maxseg rt mtu", prefix, prefix)
}

// diffMSS returns the new text of the file, or nil when nothing is to do. With
// no tunnel wanted the table is left as it is, unless all is purged.
func diffMSS(w Want, s State) *string {
	text, live := "", ""
	switch {
	case w.MSSClamp && len(w.Tunnels) > 0:
		text, live = mssText(w.InterfacePrefix), mssSummary(w.InterfacePrefix)
	case w.MSSClamp && !w.Purge:
		return nil
	}
	if s.MSS.Live == live && s.MSS.File == text {
		return nil
	}
	return &text
}

// summarise says what the table does, from `nft -j list table`. The JSON itself
// is not compared: it has handles, and versions of nft write it differently.
func summarise(listing []byte) (string, error) {
	var doc struct {
		Nftables []struct {
			Chain *struct {
				Name, Type, Hook, Policy string
				Prio                     json.Number
			}
			Rule *struct{ Expr []map[string]json.RawMessage }
			Set  *json.RawMessage
			Map  *json.RawMessage
		}
	}
	if err := json.Unmarshal(listing, &doc); err != nil {
		return "", fmt.Errorf("nft -j list table inet wgmesh: %w", err)
	}
	parts := []string{}
	for _, o := range doc.Nftables {
		switch {
		case o.Chain != nil:
			c := o.Chain
			parts = append(parts, fmt.Sprintf("chain %s %s %s %s %s", c.Name, c.Type, c.Hook, c.Prio, c.Policy))
		case o.Rule != nil:
			var words []string
			for _, e := range o.Rule.Expr {
				words = append(words, expression(e))
			}
			parts = append(parts, "rule "+strings.Join(words, ", "))
		case o.Set != nil || o.Map != nil:
			parts = append(parts, "set")
		}
	}
	if len(parts) == 0 {
		return "empty table", nil
	}
	return strings.Join(parts, "; "), nil
}

// expression names the statements of our rules, and ? any other.
func expression(e map[string]json.RawMessage) string {
	text := func(v any) string { b, _ := json.Marshal(v); return string(b) }
	if raw, ok := e["match"]; ok && len(e) == 1 {
		var m struct {
			Op          string
			Left, Right any
		}
		if json.Unmarshal(raw, &m) != nil || m.Op != "==" {
			return "?"
		}
		left := text(m.Left)
		for _, key := range []string{"iifname", "oifname"} {
			if left == `{"meta":{"key":"`+key+`"}}` {
				return key + " " + strings.Trim(text(m.Right), `"`)
			}
		}
		if strings.Contains(left, `{"payload":{"field":"flags","protocol":"tcp"}}`) && strings.Contains(left, "rst") && strings.Contains(text(m.Right), "syn") {
			return "tcp flags"
		}
	}
	if raw, ok := e["mangle"]; ok && len(e) == 1 {
		var m struct{ Key, Value any }
		if json.Unmarshal(raw, &m) == nil && strings.Contains(text(m.Key), `"maxseg"`) && text(m.Value) == `{"rt":{"key":"mtu"}}` {
			return "maxseg rt mtu"
		}
	}
	return "?"
}
