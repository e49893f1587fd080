package wg

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/order"
)

// A bypass lists the addresses of peers that are in a network behind the tunnels, as the
// IPv6 addresses of a cloud's machines are. The router itself reaches them by its default
// route, and so would what it forwards to them, unencrypted: that is refused.
type bypass []netip.Addr

// bypass is what the wanted tunnels come to, and those of before that stay.
func (w Want) bypass(s Have, remove []Removal) (out bypass) {
	wanted := w.names()
	for _, t := range w.Tunnels {
		for _, p := range t.Peers {
			if p.Outside {
				out = append(out, p.Endpoint.Addr())
			}
		}
	}
	have := parseBypass(s.MSS.File)
	for name, i := range s.Interfaces {
		_, about := wanted[name]
		gone := slices.ContainsFunc(remove, func(r Removal) bool { return r.Name == name })
		if about || gone || i.File == nil {
			continue
		}
		for _, p := range parse(i.File.record()) {
			if slices.Contains(have, p.Endpoint.Addr()) {
				out = append(out, p.Endpoint.Addr())
			}
		}
	}
	order.By(out, netip.Addr.Compare)
	return slices.Compact(out)
}

func (b bypass) rule() string {
	list := make([]string, len(b))
	for i, a := range b {
		list[i] = a.String()
	}
	return "ip6 daddr { " + strings.Join(list, ", ") + " } counter reject with icmpx type admin-prohibited"
}

// parseBypass reads the addresses of a table's file back.
func parseBypass(text string) (out bypass) {
	_, list, _ := strings.Cut(text, "\t\tip6 daddr { ")
	list, _, _ = strings.Cut(list, " } counter reject ")
	for one := range strings.SplitSeq(list, ", ") {
		if a, err := netip.ParseAddr(one); err == nil {
			out = append(out, a)
		}
	}
	return out
}

// text is its part of the table.
func (b bypass) text() string {
	if len(b) == 0 {
		return ""
	}
	return fmt.Sprintf("\tchain bypass {\n\t\ttype filter hook forward priority filter; policy accept;\n\t\t%s comment \"%s\"\n\t}\n",
		b.rule(), tag(b.rule()))
}

// summary is what summarise makes of that.
func (b bypass) summary() []string {
	if len(b) == 0 {
		return nil
	}
	return []string{"chain bypass filter forward 0 accept", "rule " + tag(b.rule())}
}
