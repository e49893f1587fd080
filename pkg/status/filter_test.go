package status

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/fib"
	"github.com/wgmesh/router/pkg/filter"
	"github.com/wgmesh/router/pkg/plan"
)

// forwards is a router that forwards from one network to another.
func forwards(from, to string) Forwarding {
	return Forwarding{flows: []flow{{
		Flow: fib.Flow{In: "wg2"}, way: inward, network: netip.MustParsePrefix(to),
		from: netip.MustParsePrefix(from), answer: fib.Answer{Device: "eth0"},
	}}}
}

// judged is what is said of a table of iptables by who forwards from the office to azure.
func judged(saved string) (problems, warnings []string) {
	f := forwards("10.0.0.0/16", "10.1.0.0/16")
	f.filters, _ = filter.ParseIPTables([]byte(saved), false)
	for _, p := range f.checkFilters(&Request{}, &Observation{}) {
		problems = append(problems, p.Text())
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
			warning: "iptables: -A FORWARD -s 10.0.7.0/24 -j DROP drops a part of what goes between sites: " +
				"see that it is meant",
		},
		"rewrites a part": {
			saved: nat + "-A POSTROUTING -s 10.0.7.0/24 -j MASQUERADE\n",
			warning: "iptables -t nat: -A POSTROUTING -s 10.0.7.0/24 -j MASQUERADE rewrites a part of what goes " +
				"between sites: see that it is meant",
		},
		"may drop all the rest": {
			saved: forward + "-A FORWARD -m set --match-set s src -j ACCEPT\n-A FORWARD -j REJECT\n",
			warning: "iptables: -A FORWARD -j REJECT may drop what goes between sites: " +
				"put a rule that accepts it first",
		},
		"may rewrite all the rest": {
			saved: nat + "-A POSTROUTING -m set --match-set s src -j ACCEPT\n-A POSTROUTING -j MASQUERADE\n",
			warning: "iptables -t nat: -A POSTROUTING -j MASQUERADE may rewrite what goes between sites: " +
				"put a rule that accepts it first",
		},
		"a list of the bad": {saved: forward + "-A FORWARD -m set --match-set bad src -j DROP\n"},
		"kube-proxy": {
			saved: nat + ":K - [0:0]\n-A POSTROUTING -j K\n-A K -m mark ! --mark 0x4000/0x4000 -j RETURN\n" +
				"-A K -j MASQUERADE\n",
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

// Who sends what is too large has to hear of it: from this router, or through it from the next one. New
// connections are clamped, so those that live when the way gets smaller hang.
func TestNobodyHearsOfTooLargePackets(t *testing.T) {
	const forward, output = "*filter\n:FORWARD DROP [0:0]\n", "*filter\n:OUTPUT DROP [0:0]\n"
	const open, related = "*filter\n:OUTPUT ACCEPT [0:0]\n", "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
	const three = "-A OUTPUT -p icmp -m icmp --icmp-type 3 -j DROP"
	const admitted = "-A %[1]s -p icmp -m icmp --icmp-type 8 -j ACCEPT\n" +
		"-A %[1]s -p tcp -j ACCEPT\n-A %[1]s -p udp -j ACCEPT\n"
	for name, tt := range map[string]struct {
		way   int
		saved string
		where string
	}{
		"a rule":        {outward, open + three + "\n", "iptables: " + three},
		"a policy":      {outward, output + fmt.Sprintf(admitted, "OUTPUT"), "iptables OUTPUT: policy drop"},
		"on the way":    {inward, forward + fmt.Sprintf(admitted, "FORWARD"), "iptables FORWARD: policy drop"},
		"related":       {outward, output + "-A OUTPUT " + related, ""},
		"related, here": {inward, forward + "-A FORWARD " + related + fmt.Sprintf(admitted, "FORWARD"), ""},
		"admitted":      {outward, output + "-A OUTPUT -p icmp -m icmp --icmp-type 3/4 -j ACCEPT\n", ""},
		"for one host":  {outward, open + "-A OUTPUT -d 10.0.0.7/32 -p icmp -j DROP\n", ""},
		"unreachable":   {outward, open + "-A OUTPUT -p icmp -m icmp --icmp-type 3/1 -j DROP\n", ""},
		"said already":  {inward, forward, ""},
		"rewritten":     {outward, "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -o wg2 -j MASQUERADE\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := forwards("10.0.0.0/16", "10.1.0.0/16")
			if f.flows[0].way = tt.way; tt.way == outward {
				f.flows[0].In, f.flows[0].answer.Device = "eth0", "wg2"
			}
			f.filters, _ = filter.ParseIPTables([]byte(tt.saved), false)
			var found []string
			for _, c := range f.warnings() {
				if strings.Contains(c.Found, "too large") {
					found = append(found, c.Found)
				}
			}
			if tt.where == "" {
				assert.Empty(t, found)
				return
			}
			assert.Equal(t, []string{tt.where + " hides from hosts that packets are too large"}, found)
		})
	}
}

// A rule of the image is on every router: it is one cause for all of them, and each says which of its
// networks it saw it for.
func TestFilterOfAnImage(t *testing.T) {
	dead := TunnelState{Device: Device{Peer: &Peer{}}, PingErr: ErrNoAnswer}
	for name, tt := range map[string]struct {
		saved       string
		cause, here string // of the router that forwards to 10.7.0.0/16, and its tunnel is down
	}{
		"drops": {
			"*filter\n:FORWARD DROP [0:0]\n",
			"iptables FORWARD: policy drop drops icmp between sites",
			"iptables FORWARD: policy drop drops icmp from 10.8.0.0/16 to 10.7.0.0/16",
		},
		"rewrites": {
			"*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -j MASQUERADE\n",
			"iptables -t nat: -A POSTROUTING -j MASQUERADE rewrites packets between sites",
			"iptables -t nat: -A POSTROUTING -j MASQUERADE rewrites packets from 10.8.0.0/16 to 10.7.0.0/16",
		},
		"drops the tunnel's own": {
			"*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p udp --dport 3784 -j DROP\n",
			"iptables: -A INPUT -p udp --dport 3784 -j DROP drops udp of its tunnels",
			"iptables: -A INPUT -p udp --dport 3784 -j DROP drops udp of tunnel wg7 to r7",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var causes []cause.Cause
			for _, n := range []string{"1", "7"} {
				f := forwards("10.8.0.0/16", "10."+n+".0.0/16")
				f.filters, _ = filter.ParseIPTables([]byte(tt.saved), false)
				r := Request{Tunnels: []plan.StatusTunnel{{
					Name: "wg" + n, Peer: "r" + n, Address: netip.MustParseAddr("198.18.0." + n),
				}}}
				found := f.checkFilters(&r, &Observation{Tunnels: []TunnelState{dead}})
				require.Len(t, found, 1)
				causes = append(causes, found[0].Cause)
				if n == "7" {
					assert.Equal(t, tt.cause, found[0].Cause.Found)
					assert.Equal(t, tt.here+": "+found[0].Cause.Do, found[0].Text())
				}
			}
			assert.Equal(t, causes[0], causes[1])
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
