package status

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/fib"
	"github.com/wgmesh/router/pkg/filter"
)

// judged is what is said of a table of iptables by who forwards from the office to azure.
func judged(saved string) (problems, warnings []string) {
	f := Forwarding{flows: []flow{{
		Flow: fib.Flow{In: "wg2"}, way: inward, network: netip.MustParsePrefix("10.1.0.0/16"),
		from: netip.MustParsePrefix("10.0.0.0/16"), answer: fib.Answer{Device: "eth0"},
	}}}
	f.filters, _ = filter.ParseIPTables([]byte(saved), false)
	for _, p := range f.checkFilters(&Request{}, &Observation{}) {
		problems = append(problems, p.Cause.String())
	}
	for _, c := range f.warnings() {
		warnings = append(warnings, c.String())
	}
	return problems, warnings
}

func TestFilters(t *testing.T) {
	const nat, forward = "*nat\n:POSTROUTING ACCEPT [0:0]\n", "*filter\n:FORWARD ACCEPT [0:0]\n"
	tests := map[string]struct {
		saved             string
		problems, warning string
	}{
		"drops": {
			saved: forward + "-A FORWARD -i wg+ -j DROP\n",
			problems: "iptables: -A FORWARD -i wg+ -j DROP drops icmp from 10.0.0.0/16 to 10.1.0.0/16: " +
				"put a rule that accepts it first",
		},
		"rewrites": {
			saved: nat + "-A POSTROUTING -o eth0 -j MASQUERADE\n",
			problems: "iptables -t nat: -A POSTROUTING -o eth0 -j MASQUERADE rewrites packets from 10.0.0.0/16 to " +
				"10.1.0.0/16: leave them out of it",
		},
		"drops a part": {
			saved: forward + "-A FORWARD -s 10.0.7.0/24 -j DROP\n",
			warning: "iptables: -A FORWARD -s 10.0.7.0/24 -j DROP drops a part of what goes from 10.0.0.0/16 to " +
				"10.1.0.0/16: see that it is meant",
		},
		"rewrites a part": {
			saved: nat + "-A POSTROUTING -s 10.0.7.0/24 -j MASQUERADE\n",
			warning: "iptables -t nat: -A POSTROUTING -s 10.0.7.0/24 -j MASQUERADE rewrites a part of what goes from " +
				"10.0.0.0/16 to 10.1.0.0/16: see that it is meant",
		},
		"may drop all the rest": {
			saved: forward + "-A FORWARD -m set --match-set s src -j ACCEPT\n-A FORWARD -j REJECT\n",
			warning: "iptables: -A FORWARD -j REJECT may drop what goes from 10.0.0.0/16 to 10.1.0.0/16: " +
				"put a rule that accepts it first",
		},
		"may rewrite all the rest": {
			saved: nat + "-A POSTROUTING -m set --match-set s src -j ACCEPT\n-A POSTROUTING -j MASQUERADE\n",
			warning: "iptables -t nat: -A POSTROUTING -j MASQUERADE may rewrite what goes from 10.0.0.0/16 to " +
				"10.1.0.0/16: put a rule that accepts it first",
		},
		"a list of the bad": {saved: forward + "-A FORWARD -m set --match-set bad src -j DROP\n"},
		"kube-proxy": {
			saved: nat + ":K - [0:0]\n-A POSTROUTING -j K\n-A K -m mark ! --mark 0x4000/0x4000 -j RETURN\n-A K -j MASQUERADE\n",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			problems, warnings := judged(tt.saved)
			one := func(text string) (out []string) {
				if text != "" {
					out = append(out, text)
				}
				return out
			}
			assert.Equal(t, one(tt.problems), problems)
			assert.Equal(t, one(tt.warning), warnings)
		})
	}
}

// What no tool shows may drop anything.
func TestUnreadFilters(t *testing.T) {
	f := Forwarding{filters: filter.Ruleset{
		Unread: []filter.Unread{{Command: "nft -j list ruleset", Why: "Error:\x1b[31m no"}},
		Absent: []string{"iptables-legacy-save"},
	}}
	assert.Equal(t, []Problem{{Cause: cause.Cause{
		Found: "nft -j list ruleset fails (Error:?[31m no), so filters may be here that nobody sees",
		Do:    "run it as root, and mend what it says",
	}}}, f.checkFilters(&Request{}, &Observation{}))
	assert.Equal(t, []cause.Cause{{
		Found: "the kernel has tables that only iptables-legacy-save shows", Do: "install it, and look at them",
	}}, f.warnings())
}
