package filter_test

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/filter"
)

// from the office into azure, through a router of azure.
func packet(proto string) filter.Packet {
	return filter.Packet{
		In: "wg2", Out: "eth0", Src: netip.MustParsePrefix("10.0.0.0/16"),
		Dst: netip.MustParsePrefix("10.1.0.0/16"), Proto: proto,
	}
}

func outward(proto string) filter.Packet {
	p := packet(proto)
	p.In, p.Out, p.Src, p.Dst = p.Out, p.In, p.Dst, p.Src
	return p
}

// What docker.io 20.10 leaves, as iptables-save prints it.
const docker = `*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [12:720]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
%-A DOCKER-USER -j RETURN
COMMIT
`

// What ufw makes of its forward chain: pings are let through, all else is not.
const ufw = `*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:ufw-before-forward - [0:0]
:ufw-user-forward - [0:0]
:ufw-after-logging-forward - [0:0]
:ufw-reject-forward - [0:0]
-A FORWARD -j ufw-before-forward
-A FORWARD -j ufw-after-logging-forward
-A FORWARD -j ufw-reject-forward
-A ufw-after-logging-forward -m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix "[UFW BLOCK] "
-A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-forward -p icmp -m icmp --icmp-type 3 -j ACCEPT
-A ufw-before-forward -p icmp -m icmp --icmp-type 8 -j ACCEPT
-A ufw-before-forward -j ufw-user-forward
%COMMIT
`

func with(saved, rule string) string {
	before, after := saved[:indexOf(saved)], saved[indexOf(saved)+1:]
	return before + rule + after
}

func indexOf(s string) int {
	for i := range s {
		if s[i] == '%' {
			return i
		}
	}
	return -1
}

func TestIPTables(t *testing.T) {
	policy := func(v filter.Verdict) filter.Outcome {
		return filter.Outcome{Verdict: v, Where: "iptables FORWARD: policy drop"}
	}
	for name, tt := range map[string]struct {
		saved, rule string
		packet      filter.Packet
		want        filter.Outcome
	}{
		"Docker drops":    {docker, "", packet("icmp"), policy(filter.Drops)},
		"Docker, outward": {docker, "", outward("tcp"), policy(filter.Drops)},
		"Docker with a way": {
			docker, "-A DOCKER-USER -s 10.0.0.0/8 -d 10.0.0.0/8 -j ACCEPT\n", packet("tcp"), filter.Outcome{},
		},
		"Docker with a way in": {
			docker, "-A DOCKER-USER -i wg+ -j ACCEPT\n", outward("tcp"), policy(filter.Drops),
		},
		"Docker with a part of a way": {
			docker, "-A DOCKER-USER -p tcp -m multiport --dports 22,443 -j ACCEPT\n", packet("tcp"),
			policy(filter.Partly),
		},
		"Docker with a set": {
			docker, "-A DOCKER-USER -m set --match-set mesh src -j ACCEPT\n", packet("tcp"), policy(filter.Unless),
		},
		"ufw lets pings through": {ufw, "", packet("icmp"), filter.Outcome{}},
		"ufw drops all else":     {ufw, "", packet("tcp"), policy(filter.Drops)},
		"ufw route allow": {
			ufw, "-A ufw-user-forward -i wg2 -o eth0 -j ACCEPT\n", packet("tcp"), filter.Outcome{},
		},
		"a comment with quotes": {
			ufw, "-A ufw-user-forward -s 10.0.0.0/16 -m comment --comment \"no \\\"office\\\" -j ACCEPT\" -j " +
				"REJECT --reject-with icmp-port-unreachable\n", packet("tcp"),
			filter.Outcome{
				Verdict: filter.Drops,
				Where:   "iptables: -A ufw-user-forward -s 10.0.0.0/16 -j REJECT --reject-with icmp-port-unreachable",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			rules, _ := filter.ParseIPTables([]byte(with(tt.saved, tt.rule)), false)
			assert.Equal(t, tt.want, rules.Ask(tt.packet, filter.Forwarded))
		})
	}
}

// A chain that only some packets come to is about a part.
func TestTranslationOfOnePort(t *testing.T) {
	const saved = "*nat\n:PREROUTING ACCEPT [0:0]\n:X - [0:0]\n-A PREROUTING -p tcp -m tcp --dport 80 -j X\n" +
		"-A X -j DNAT --to-destination 10.9.9.9\nCOMMIT\n"
	rules, _ := filter.ParseIPTables([]byte(saved), false)
	assert.Equal(t,
		filter.Outcome{
			Verdict: filter.Partly, Where: "iptables -t nat: -A X -j DNAT --to-destination 10.9.9.9", Rewrites: true,
		},
		rules.Ask(packet("tcp"), filter.Forwarded))
	p := packet("tcp")
	p.DPort = 80
	assert.Equal(t, filter.Rewrites, rules.Ask(p, filter.Forwarded).Verdict)
}

func TestIPTablesOfTheOtherFamily(t *testing.T) {
	rules, tables := filter.ParseIPTables([]byte(docker), true)
	assert.Equal(t, []string{"nat", "filter"}, tables)
	assert.Equal(t, filter.Passes, rules.Ask(packet("tcp"), filter.Forwarded).Verdict)
}

// The parts that nft's versions write in different ways, and maps.
func TestNFT(t *testing.T) {
	const text = `table inet f { # handle 1
	chain forward { # handle 1
		type filter hook forward priority filter; policy accept;
		ip saddr @bad counter packets 7 bytes 300 drop # handle 3
	}
}
`
	rule := func(expr string) string {
		return `{"nftables": [{"metainfo": {"version": "1.0.6"}},
			{"set": {"family": "inet", "table": "f", "name": "bad", "elem": [
				{"prefix": {"addr": "10.0.0.0", "len": 8}}]}},
			{"set": {"family": "inet", "table": "f", "name": "few", "elem": [
				{"elem": {"val": "10.0.7.7", "expires": 5}}]}},
			{"set": {"family": "inet", "table": "f", "name": "none"}},
			{"map": {"family": "inet", "table": "f", "name": "zones", "map": "verdict", "elem": [
				["eth0", {"accept": null}], ["wg*", {"drop": null}]]}},
			{"chain": {"family": "inet", "table": "f", "name": "forward", "handle": 1,
				"type": "filter", "hook": "forward", "prio": 0, "policy": "accept"}},
			{"rule": {"family": "inet", "table": "f", "chain": "forward", "handle": 3, "expr": [` + expr + `]}}]}`
	}
	const drop = `{"drop": null}`
	const tcpFlags = `{"payload": {"protocol": "tcp", "field": "flags"}}`
	match := func(op, left, right string) string {
		return `{"match": {"op": "` + op + `", "left": ` + left + `, "right": ` + right + `}},` + drop
	}
	from := func(right string) string {
		return match("==", `{"payload": {"protocol": "ip", "field": "saddr"}}`, right)
	}
	for name, tt := range map[string]struct {
		expr string
		want filter.Verdict
	}{
		"set with a name":       {from(`"@bad"`), filter.Drops},
		"some of a set":         {from(`"@few"`), filter.Partly},
		"empty set":             {from(`"@none"`), filter.Passes},
		"set that is not known": {from(`"@gone"`), filter.Unsure},
		"range":                 {from(`{"range": ["10.0.0.0", "10.255.255.255"]}`), filter.Drops},
		"IPv6": {
			match("!=", `{"payload": {"protocol": "ip6", "field": "saddr"}}`, `"::1"`), filter.Passes,
		},
		"port": {
			match("==", `{"payload": {"protocol": "tcp", "field": "dport"}}`, `5432`), filter.Partly,
		},
		"list of states": {match("in", `{"ct": {"key": "state"}}`, `["new", "invalid"]`), filter.Drops},
		"state in a set": {
			match("in", `{"ct": {"key": "state"}}`, `{"set": ["established", "related"]}`), filter.Passes,
		},
		"mark": {match("==", `{"meta": {"key": "mark"}}`, `5`), filter.Unsure},
		"its own addresses": {
			match("==", `{"fib": {"result": "type", "flags": ["daddr"]}}`, `"local"`), filter.Passes,
		},
		"who sends it": {match("==", `{"meta": {"key": "skuid"}}`, `0`), filter.Passes},
		"verdict map": {
			`{"vmap": {"key": {"ct": {"key": "state"}}, "data": {"set": [` +
				`["established", {"accept": null}], ["new", {"drop": null}]]}}}`,
			filter.Drops,
		},
		"another address": {
			`{"mangle": {"key": {"payload": {"protocol": "ip", "field": "daddr"}}, "value": "10.9.9.9"}}`,
			filter.Rewrites,
		},
		"clamp": {
			`{"mangle": {"key": {"tcp option": {"name": "maxseg", "field": "size"}}, "value": {"rt": {"key": "mtu"}}}}`,
			filter.Passes,
		},
		"places in the packet": {
			match("==", `{"payload": {"base": "th", "offset": 16, "len": 16}}`, `80`), filter.Unsure,
		},
		"fragments": {
			match("!=", `{"&": [{"payload": {"protocol": "ip", "field": "frag-off"}}, 8191]}`, `0`),
			filter.Passes,
		},
		"new without SYN": {
			match("!=", `{"&": [`+tcpFlags+`, ["fin", "syn", "rst", "ack"]]}`, `"syn"`), filter.Passes,
		},
		"SYN and FIN": {match("==", `{"&": [`+tcpFlags+`, ["fin", "syn"]]}`, `["fin", "syn"]`), filter.Passes},
		"no SYN":      {match("==", `{"&": [`+tcpFlags+`, "syn"]}`, `0`), filter.Passes},
		"SYN alone":   {match("==", `{"&": [`+tcpFlags+`, ["syn", "ack"]]}`, `"syn"`), filter.Drops},
		"flags as an older nft has them": {
			match("!=", `{"&": [`+tcpFlags+`, {"|": ["fin", "syn"]}]}`, `"syn"`), filter.Unsure,
		},
		"SYN":                {match("in", tcpFlags, `"syn"`), filter.Drops},
		"not SYN":            {match("!", tcpFlags, `"syn"`), filter.Passes},
		"any of these":       {match("in", tcpFlags, `["syn", "ack"]`), filter.Drops},
		"none of these":      {match("!", tcpFlags, `["fin", "syn"]`), filter.Passes},
		"none of those":      {match("!", tcpFlags, `["fin", "ack"]`), filter.Drops},
		"SYN or ACK":         {match("==", tcpFlags, `{"set": ["syn", "ack"]}`), filter.Drops},
		"exactly these":      {match("==", tcpFlags, `["syn", "ack"]`), filter.Unsure},
		"what is translated": {match("in", `{"ct": {"key": "status"}}`, `"dnat"`), filter.Passes},
		"no address of an interface": {
			match("!=", `{"fib": {"result": "type", "flags": ["daddr", "iif"]}}`,
				`{"set": ["local", "broadcast", "multicast"]}`), filter.Drops,
		},
		"limit of each": {
			`{"set": {"op": "update", "elem": 1, "set": "@few", "stmt": [{"limit": {"inv": true}}]}},` + drop,
			filter.Unsure,
		},
		"meter":       {`{"meter": {"key": 1, "stmt": {"limit": {"rate": 10}}, "name": "m"}},` + drop, filter.Unsure},
		"note of all": {`{"set": {"op": "add", "elem": 1, "set": "@few"}},` + drop, filter.Drops},
		"connections": {`{"ct count": {"val": 20, "inv": true}},` + drop, filter.Unsure},
		"quota":       {`{"quota": {"val": 10, "val_unit": "mbytes", "inv": true}},` + drop, filter.Unsure},
		"pairs": {
			match("==", `{"concat": [{"meta": {"key": "iifname"}}, {"meta": {"key": "oifname"}}]}`,
				`{"set": [{"concat": ["a", "b"]}, {"concat": ["wg2", "eth0"]}]}`), filter.Drops,
		},
		"pairs, one wrong": {
			match("==", `{"concat": [{"meta": {"key": "iifname"}}, {"meta": {"key": "oifname"}}]}`,
				`{"set": [{"concat": ["wg2", "b"]}]}`), filter.Passes,
		},
		"map with a name":       {`{"vmap": {"key": {"meta": {"key": "iifname"}}, "data": "@zones"}}`, filter.Drops},
		"map that is not known": {`{"vmap": {"key": {"meta": {"key": "iifname"}}, "data": "@gone"}}`, filter.Unsure},
		"all the rest of a map": {
			`{"vmap": {"key": {"meta": {"key": "iifname"}}, "data": {"set": [
				["eth0", {"accept": null}], ["*", {"drop": null}]]}}}`, filter.Drops,
		},
		"match of iptables":     {`{"xt": {"type": "match", "name": "set"}},` + drop, filter.Unsure},
		"note of iptables":      {`{"xt": {"type": "match", "name": "comment"}}`, filter.Passes},
		"target of iptables":    {`{"xt": {"type": "target", "name": "REJECT"}}`, filter.Drops},
		"target without a name": {`{"xt": null}`, filter.Unsure},
	} {
		t.Run(name, func(t *testing.T) {
			rules := must.Get(filter.ParseNFT([]byte(rule(tt.expr)), []byte(text), filter.Ruleset{}))(t)
			o := rules.Ask(packet("tcp"), filter.Forwarded)
			assert.Equal(t, tt.want, o.Verdict)
			if o.Verdict == filter.Drops {
				assert.Equal(t, "nft inet f forward: ip saddr @bad drop", o.Where)
			}
		})
	}
}

// ICMP that says that a packet is too large has a type and a code, and belongs to a connection.
func TestTooBig(t *testing.T) {
	const data = `{"nftables": [{"chain": {"family": "inet", "table": "f", "name": "o", "hook": "output", "prio": 0,
		"policy": "drop"}}, {"rule": {"family": "inet", "table": "f", "chain": "o", "expr": [%{"accept": null}]}}]}`
	const v4, v6 = "10.0.0.0/16", "fd00::/48"
	state := func(right string) string {
		return `{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ` + right + `}}, `
	}
	match := func(protocol, field, right string) string {
		return `{"match": {"op": "==", "left": {"payload": {"protocol": "` + protocol + `", "field": "` + field +
			`"}}, "right": ` + right + `}}, `
	}
	for name, tt := range map[string]struct {
		expr string
		to   string
		want filter.Verdict
	}{
		"type":          {match("icmp", "type", `"destination-unreachable"`), v4, filter.Passes},
		"type and code": {match("icmp", "type", "3") + match("icmp", "code", `"frag-needed"`), v4, filter.Passes},
		"another code":  {match("icmp", "code", `"net-unreachable"`), v4, filter.Drops},
		"pings alone":   {match("icmp", "type", `{"set": ["echo-request", "echo-reply"]}`), v4, filter.Drops},
		"a set":         {match("icmpv6", "type", `{"set": ["packet-too-big", "echo-request"]}`), v6, filter.Passes},
		"IPv6's type 3": {match("icmpv6", "type", `"time-exceeded"`), v6, filter.Drops},
		"of the other":  {match("icmp", "type", `"destination-unreachable"`), v6, filter.Drops},
		"a range": {
			match("icmp", "type", `{"range": ["destination-unreachable", "source-quench"]}`), v4,
			filter.Unless,
		},
		"codes":         {match("icmp", "code", `{"range": [0, 4]}`), v4, filter.Unless},
		"what is begun": {state(`["established", "related"]`), v6, filter.Passes},
		"what is there": {state(`"established"`), v6, filter.Drops},
		"what begins":   {state(`"new"`), v6, filter.Drops},
	} {
		t.Run(name, func(t *testing.T) {
			rules := must.Get(filter.ParseNFT([]byte(with(data, tt.expr)), nil, filter.Ruleset{}))(t)
			to := netip.MustParsePrefix(tt.to)
			p := filter.Packet{Out: "eth0", Src: to, Dst: to, Proto: "icmp", TooBig: true}
			assert.Equal(t, tt.want, rules.Ask(p, filter.Sent).Verdict)
		})
	}
}

// What kube-proxy and firewalld load, as nft 1.0.6 lists it: the service addresses are no
// site's, and firewalld's zone of eth0 lets only pings through.
func TestListings(t *testing.T) {
	read := func(name string) filter.Ruleset {
		data := must.Get(os.ReadFile("testdata/" + name + ".json"))(t)
		text := must.Get(os.ReadFile("testdata/" + name + ".txt"))(t)
		return must.Get(filter.ParseNFT(data, text, filter.Ruleset{}))(t)
	}
	kube := read("kube-proxy")
	for _, proto := range []string{"icmp", "tcp", "udp"} {
		for _, p := range []filter.Packet{packet(proto), outward(proto)} {
			assert.Equal(t, filter.Outcome{
				Verdict: filter.Unsure, Where: "nft ip kube-proxy masquerading: masquerade fully-random",
				Rewrites: true,
			}, kube.Ask(p, filter.Forwarded))
		}
	}
	fire := read("firewalld")
	assert.Equal(t, filter.Outcome{}, fire.Ask(packet("tcp"), filter.Forwarded), "the zone trusted")
	assert.Equal(t, filter.Outcome{}, fire.Ask(outward("icmp"), filter.Forwarded))
	assert.Equal(t, filter.Outcome{
		Verdict: filter.Drops, Where: "nft inet firewalld filter_FORWARD: reject with icmpx admin-prohibited",
	}, fire.Ask(outward("tcp"), filter.Forwarded))
	masked := outward("tcp")
	masked.In, masked.Out = "wg2", "wan"
	assert.Equal(t, "nft inet firewalld nat_POST_external: meta nfproto ipv4 oifname != \"lo\" masquerade",
		fire.Ask(masked, filter.Forwarded).Where)
}

// A chain of a device that nft's JSON does not tell.
func TestIngress(t *testing.T) {
	const data = `{"nftables": [{"chain": {"family": "inet", "table": "f", "name": "in", "handle": 2, "type": "filter",
		"hook": "ingress", "prio": 0, "policy": "accept"}}, {"rule": {"family": "inet", "table": "f", "chain": "in",
		"handle": 6, "expr": [{"drop": null}]}}]}`
	text := func(device string) string {
		return "table inet f { # handle 1\n\tchain in { # handle 2\n\t\ttype filter hook ingress device" + device +
			" priority filter; policy accept;\n\t\tdrop # handle 6\n\t}\n}\n"
	}
	for device, want := range map[string]filter.Verdict{
		` "wg2"`: filter.Drops, ` "wg3"`: filter.Passes, `s = { "wg3", "wg2" }`: filter.Drops, ` wg3`: filter.Unsure,
	} {
		rules := must.Get(filter.ParseNFT([]byte(data), []byte(text(device)), filter.Ruleset{}))(t)
		assert.Equal(t, want, rules.Ask(packet("tcp"), filter.Forwarded).Verdict, device)
	}
}

// A flowtable is known by the devices between which it forwards.
func TestFlowtables(t *testing.T) {
	const data = `{"nftables": [{"flowtable": {"family": "inet", "name": "ft", "table": "f", "handle": 2,
		"hook": "ingress", "prio": 0, "dev": ["eth0", "wg2"]}},
		{"flowtable": {"family": "ip", "name": "one", "table": "f", "dev": "wg3"}}]}`
	rules := must.Get(filter.ParseNFT([]byte(data), nil, filter.Ruleset{}))(t)
	assert.Equal(t, []filter.Flowtable{
		{Where: "nft inet f flowtable ft", Devices: []string{"eth0", "wg2"}},
		{Where: "nft ip f flowtable one", Devices: []string{"wg3"}},
	}, rules.Flowtables)
}

// Of tables that both nft and iptables-nft-save show, each tells what it knows: nft the sets,
// chains and conditions that iptables leaves out, and iptables its own matches.
func TestBothOfOneTable(t *testing.T) {
	const data = `{"nftables": [
		{"chain": {"family": "ip", "table": "filter", "name": "FORWARD",
			"hook": "forward", "prio": 0, "policy": "drop"}},
		{"chain": {"family": "ip", "table": "filter", "name": "late",
			"hook": "forward", "prio": 9, "policy": "accept"}},
		{"rule": {"family": "ip", "table": "filter", "chain": "FORWARD", "handle": 1, "expr": [%{"drop": null}]}},
		{"rule": {"family": "ip", "table": "filter", "chain": "FORWARD", "handle": 2, "expr": [
			{"xt": {"type": "match", "name": "conntrack"}}, {"counter": null}, {"accept": null}]}}]}`
	const set = `{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}},
		"right": {"set": ["192.0.2.1"]}}}, `
	saved, _ := filter.ParseIPTables([]byte(`# Table filter contains incompatible base-chains, use 'nft' tool `+
		`to list them.
*filter
:FORWARD DROP [0:0]
-A FORWARD -j DROP
-A FORWARD -m conntrack --ctstate RELATED,NEW -j ACCEPT
COMMIT
`), false)
	ask := func(data string, saved filter.Ruleset) filter.Outcome {
		return must.Get(filter.ParseNFT([]byte(data), nil, saved))(t).Ask(packet("tcp"), filter.Forwarded)
	}
	assert.Equal(t, filter.Outcome{}, ask(with(data, set), saved))
	assert.Equal(t, filter.Unless, ask(with(data, set), filter.Ruleset{}).Verdict, "nobody knows the match")
	assert.Equal(t, filter.Drops, ask(with(data, ""), saved).Verdict)
	late := strings.Replace(with(data, set), `{"rule"`,
		`{"rule": {"family": "ip", "table": "filter", "chain": "late", "expr": [{"drop": null}]}}, {"rule"`, 1)
	assert.Equal(t, "nft ip filter late: ", ask(late, saved).Where)
}
