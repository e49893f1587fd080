package filter_test

import (
	"cmp"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/pkg/filter"
)

// saved is a table as iptables-save prints it. Chains with lower letters have no hook.
func saved(table, policy string, rules ...string) []byte {
	chains := map[string]bool{}
	var b strings.Builder
	b.WriteString("*" + table + "\n")
	for _, r := range rules {
		if name := strings.Fields(r)[0]; !chains[name] {
			chains[name] = true
			if strings.ToUpper(name) == name && !strings.Contains(name, "-") {
				b.WriteString(":" + name + " " + policy + " [0:0]\n")
			} else {
				b.WriteString(":" + name + " - [0:0]\n")
			}
		}
	}
	for _, r := range rules {
		b.WriteString("-A " + r + "\n")
	}
	return []byte(b.String() + "COMMIT\n")
}

// What becomes of a packet in chains that call each other, as netfilter has it: RETURN
// ends only the chain it is in, and goto leaves the one it is in for good.
func TestWalk(t *testing.T) {
	words := strings.NewReplacer("F ", "FORWARD ", "PORT", "-p tcp -m tcp --dport 22",
		"SET", "-m set --match-set s src", "UNMARKED", "-m mark ! --mark 0x4000/0x4000")
	for name, tt := range map[string]struct {
		policy, rules string
		want          filter.Verdict
	}{
		"all return to a chain that accepts":   {"DROP", "F -j x; F -j ACCEPT; x -j RETURN", filter.Passes},
		"some may return, and all are dropped": {"DROP", "F -j x; x SET -j RETURN", filter.Drops},
		"some return, and all are dropped":     {"DROP", "F -j x; x PORT -j RETURN", filter.Drops},
		"some return, the rest is let through": {"DROP", "F -j x; x PORT -j RETURN; x -j ACCEPT", filter.Partly},
		"some return, the rest is dropped":     {"ACCEPT", "F -j x; x PORT -j RETURN; x -j DROP", filter.Partly},
		"some return, the rest is dropped, and they are too": {
			"ACCEPT", "F -j x; F -j DROP; x PORT -j RETURN; x -j DROP", filter.Drops,
		},
		"some may return, the rest is let through": {"DROP", "F -j x; x SET -j RETURN; x -j ACCEPT", filter.Unless},
		"some may return, the rest is dropped":     {"ACCEPT", "F -j x; x SET -j RETURN; x -j DROP", filter.Unless},
		"the rest is dropped one chain deeper": {
			"ACCEPT", "F -j x; x SET -j RETURN; x -j y; y -j LOG; y -j DROP", filter.Unless,
		},
		"some may be let through, the rest is refused": {"ACCEPT", "F SET -j ACCEPT; F -j REJECT", filter.Unless},
		"some may be let through in a chain, the rest is refused": {
			"ACCEPT", "F -j x; F -j REJECT; x SET -j ACCEPT", filter.Unless,
		},
		"a list may drop":                          {"ACCEPT", "F SET -j DROP", filter.Unsure},
		"a list may drop, in a chain":              {"ACCEPT", "F SET -j x; x -j LOG; x -j DROP", filter.Unsure},
		"a list may drop, a port is dropped":       {"ACCEPT", "F SET -j DROP; F PORT -j DROP", filter.Partly},
		"nobody comes to a chain's drop":           {"ACCEPT", "F -j x; x -j RETURN; x -j DROP", filter.Passes},
		"a return of the base chain is its policy": {"DROP", "F -j RETURN; F -j ACCEPT", filter.Drops},
		"a return of some is their policy":         {"DROP", "F PORT -j RETURN; F -j ACCEPT", filter.Partly},
		"a return that may be is its policy":       {"ACCEPT", "F SET -j RETURN; F -j DROP", filter.Unless},
		"goto does not come back":                  {"ACCEPT", "F -g x; F -j DROP; x -j LOG", filter.Passes},
		"goto comes back to the policy":            {"DROP", "F -g x; F -j ACCEPT; x -j LOG", filter.Drops},
		"goto comes back to who called its chain": {
			"ACCEPT", "F -j x; F -j DROP; x -g y; x -j ACCEPT; y -j RETURN", filter.Drops,
		},
		"goto of some": {"ACCEPT", "F PORT -g x; F -j DROP; x -j LOG", filter.Partly},
		"goto of some, in a chain": {
			"ACCEPT", "F -j x; F -j DROP; x PORT -g y; x -j ACCEPT; y -j LOG", filter.Partly,
		},
		"goto that drops, before what drops all": {"ACCEPT", "F PORT -g x; F -j DROP; x -j DROP", filter.Drops},
		"goto to a chain that some return from": {
			"ACCEPT", "F -j x; x -g y; x -j DROP; y PORT -j RETURN; y -j ACCEPT", filter.Passes,
		},
		"a call that comes back to a chain that some have left": {
			"ACCEPT", "F -j x; F -j DROP; x PORT -j y; x -j RETURN; y -j RETURN", filter.Drops,
		},
		"a chain that drops what came to it":        {"ACCEPT", "F PORT -j x; x -j DROP", filter.Partly},
		"a chain that lets through what came to it": {"DROP", "F PORT -j x; x -j ACCEPT", filter.Partly},
		"a chain that nobody knows":                 {"DROP", "F -j STRANGE", filter.Unless},
		"a queue of some":                           {"DROP", "F PORT -j NFQUEUE --queue-num 1", filter.Partly},
		"a queue":                                   {"ACCEPT", "F -j NFQUEUE --queue-num 1", filter.Perhaps},
		"a queue of the marked":                     {"ACCEPT", "F UNMARKED -j NFQUEUE", filter.Unsure},
		"some by a dice": {
			"ACCEPT", "F -m statistic --mode random --probability 0.5 -j DROP", filter.Perhaps,
		},
		"some of one protocol": {"ACCEPT", "F -p tcp -m length --length 200: -j DROP", filter.Perhaps},
		"some by a dice, of those that may come there": {
			"ACCEPT", "F SET -j x; x -m statistic --mode random --probability 0.5 -j DROP",
			filter.Unsure,
		},
		"some by a dice, after what a list may do": {
			"ACCEPT", "F SET -j DROP; F -m time --utc -j DROP", filter.Perhaps,
		},
		"chains that call each other": {"DROP", "F -j x; x -j y; y -j x", filter.Unless},
		"unless marked":               {"ACCEPT", "F -j x; x UNMARKED -j RETURN; x -j LOG", filter.Passes},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Split(words.Replace(tt.rules), "; ")
			rules, _ := filter.ParseIPTables(saved("filter", tt.policy, text...), false)
			assert.Equal(t, tt.want, rules.Ask(packet("tcp"), filter.Forwarded).Verdict)
		})
	}
}

// Address translation of all, of some, and of what nobody can tell. The last rule is told.
func TestTranslation(t *testing.T) {
	const unmarked = "KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN"
	const masked, random = "POSTROUTING -o eth0 -j MASQUERADE", "KUBE-POSTROUTING -j MASQUERADE --random-fully"
	for name, tt := range map[string]struct {
		rules []string
		want  filter.Verdict
		told  string // where that is not the last one
	}{
		"of all": {[]string{masked}, filter.Rewrites, ""},
		"of a part of the site": {
			[]string{"POSTROUTING -s 10.0.7.0/24 -j SNAT --to-source 10.1.1.4"}, filter.Partly, "",
		},
		"of one port": {
			[]string{"PREROUTING -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 3128"}, filter.Partly, "",
		},
		"of all but some": {
			[]string{"POSTROUTING -d 10.1.7.0/24 -j RETURN", "POSTROUTING -j MASQUERADE"}, filter.Partly, "",
		},
		"of what is in a set": {[]string{"POSTROUTING -m set --match-set s src -j MASQUERADE"}, filter.Unsure, ""},
		"of what is in a set, and of all": {
			[]string{"POSTROUTING -m set --match-set s src -j MASQUERADE", masked}, filter.Rewrites, "",
		},
		"of all that is not marked (kube-proxy)": {
			[]string{
				"POSTROUTING -j KUBE-POSTROUTING", unmarked,
				"KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0", random,
			},
			filter.Unsure, "",
		},
		"of all after kube-proxy": {
			[]string{"POSTROUTING -j KUBE-POSTROUTING", masked, unmarked, random}, filter.Rewrites, masked,
		},
		"of all but what IPsec takes": {
			[]string{"POSTROUTING -m policy --dir out --pol ipsec -j ACCEPT", masked}, filter.Unless, "",
		},
		"of another network": {[]string{"POSTROUTING -s 172.17.0.0/16 -j MASQUERADE"}, filter.Passes, ""},
	} {
		t.Run(name, func(t *testing.T) {
			rules, _ := filter.ParseIPTables(saved("nat", "ACCEPT", tt.rules...), false)
			want := filter.Outcome{}
			if tt.want != filter.Passes {
				told := cmp.Or(tt.told, tt.rules[len(tt.rules)-1])
				want = filter.Outcome{Verdict: tt.want, Where: "iptables -t nat: -A " + told, Rewrites: true}
			}
			assert.Equal(t, want, rules.Ask(packet("tcp"), filter.Forwarded))
		})
	}
}

// Conditions that hosts have in their rules.
func TestConditions(t *testing.T) {
	detour := packet("tcp")
	detour.Detour = true
	received := filter.Packet{In: "wg2", Src: packet("tcp").Src, Dst: packet("tcp").Dst, Proto: "tcp", DPort: 179}
	for name, tt := range map[string]struct {
		match  string
		packet filter.Packet
		want   filter.Verdict // of what it drops
	}{
		"fragments":    {"-f", packet("tcp"), filter.Passes},
		"no fragments": {"! -f", packet("tcp"), filter.Drops},
		"new without SYN": {
			"-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -m state --state NEW", packet("tcp"), filter.Passes,
		},
		"SYN":                     {"-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN", packet("tcp"), filter.Drops},
		"SYN of another protocol": {"-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN", packet("udp"), filter.Passes},
		"no flag at all": {
			"-p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG NONE", packet("tcp"), filter.Passes,
		},
		"flags that are not asked": {"-p tcp -m tcp --tcp-flags FIN,ACK NONE", packet("tcp"), filter.Drops},
		"all ports":                {"-p tcp -m tcp --dport 1:65535", packet("tcp"), filter.Drops},
		"ports of both ends":       {"-p tcp -m multiport --ports 22,80", packet("tcp"), filter.Partly},
		"ping with its code":       {"-p icmp -m icmp --icmp-type 8/0", packet("icmp"), filter.Drops},
		"what was translated":      {"-m conntrack --ctstatus DNAT", packet("tcp"), filter.Passes},
		"what was not translated":  {"-m conntrack ! --ctstatus DNAT", packet("tcp"), filter.Drops},
		"not the best way back":    {"-m rpfilter --validmark --invert", detour, filter.Drops},
		"the best way back":        {"-m rpfilter --validmark --invert", packet("tcp"), filter.Passes},
		"any way back":             {"-m rpfilter --loose --invert", detour, filter.Unsure},
		"to the host, forwarded":   {"-m addrtype --dst-type LOCAL", packet("tcp"), filter.Passes},
		"to the host":              {"-m addrtype --dst-type LOCAL", received, filter.Drops},
		"not to the host":          {"-m addrtype ! --dst-type LOCAL", packet("tcp"), filter.Drops},
	} {
		t.Run(name, func(t *testing.T) {
			rules, _ := filter.ParseIPTables(saved("raw", "ACCEPT", "PREROUTING "+tt.match+" -j DROP"), false)
			assert.Equal(t, tt.want, rules.Ask(tt.packet, filter.Forwarded).Verdict)
		})
	}
	rules, _ := filter.ParseIPTables(saved("mangle", "ACCEPT", "POSTROUTING -s 10.0.0.0/16 -j DNPT"), true)
	six := packet("tcp")
	six.Dst, six.Src = netip.MustParsePrefix("2001:db8:1::/48"), netip.MustParsePrefix("2001:db8::/48")
	assert.Equal(t, filter.Passes, rules.Ask(six, filter.Forwarded).Verdict)
	rules, _ = filter.ParseIPTables(saved("mangle", "ACCEPT", "POSTROUTING -s 2001:db8::/48 -j SNPT"), true)
	assert.Equal(t, filter.Rewrites, rules.Ask(six, filter.Forwarded).Verdict)
}

// Whatever the rules are: what is said to drop, to rewrite or to pass does so for each port, and
// whatever is in the set.
func TestSound(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(list ...string) string { return list[random.IntN(len(list))] }
	count := map[filter.Verdict]int{}
	for range 4000 {
		var rules []string
		for _, chain := range []string{"FORWARD", "a", "b", "c"} { // each calls only later ones
			calls := map[string][]string{"FORWARD": {"a", "b", "c"}, "a": {"b", "c"}, "b": {"c"}}[chain]
			does := []string{"-j ACCEPT", "-j DROP", "-j RETURN", "-j LOG"}
			for _, to := range calls {
				does = append(does, "-j "+to, "-j "+to, "-g "+to)
			}
			for range 1 + random.IntN(4) {
				rules = append(rules, chain+" "+pick("", "", "PORT ", "SET ", "PORT SET ")+pick(does...))
			}
		}
		policy := pick("ACCEPT", "DROP")
		ask := func(set string, port int) filter.Verdict {
			words := strings.NewReplacer("PORT", "-p tcp -m tcp --dport 22", "SET", set)
			text := strings.Split(words.Replace(strings.Join(rules, "\n")), "\n")
			parsed, _ := filter.ParseIPTables(saved("filter", policy, text...), false)
			p := packet("tcp")
			p.DPort = port
			return parsed.Ask(p, filter.Forwarded).Verdict
		}
		all := ask("-m set --match-set s src", 0)
		count[all]++
		for _, port := range []int{22, 23} {
			for _, set := range []string{"-s 10.0.0.0/16", "-s 192.0.2.0/24"} {
				one := ask(set, port)
				require.Contains(t, []filter.Verdict{filter.Passes, filter.Drops}, one)
				if all == filter.Passes || all == filter.Drops {
					require.Equal(t, all, one, "policy %s\n%s", policy, strings.Join(rules, "\n"))
				}
			}
		}
	}
	for _, v := range []filter.Verdict{filter.Passes, filter.Unsure, filter.Partly, filter.Unless, filter.Drops} {
		assert.Greater(t, count[v], 50, "%v", count)
	}
}
