//go:build lab

package proof_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// A lie is something that hinders what routers forward, while their tunnels are well.
type lie struct {
	name, on, make, cure string // on: a host, or site:NAME for the cloud around it
	// What the first row of the status play's table says, and of which router. Empty: it
	// stays green.
	router, want string
	inCI         bool
}

var lies = []lie{
	{
		name: "Docker's forward chain drops", on: "two-1", inCI: true,
		make: "nft 'add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; " +
			"policy drop; }'",
		cure:   "nft delete table ip filter",
		router: "two-1", want: `^(nft ip filter|iptables) FORWARD: policy drop drops \w+ between sites`,
	},
	{
		name: "the cloud checks source and destination", on: "site:two", inCI: true,
		make: "nft 'add table inet check; add chain inet check f { type filter hook forward priority 0; }; " +
			"add rule inet check f ip saddr { 10.0.0.0/16, 10.2.0.0/16 } drop; " +
			"add rule inet check f ip6 saddr 2001:db8:1::/48 drop'",
		cure: "nft delete table inet check", router: "two-1",
		want: `^(it forwards nothing to|no answer from) (10\.1\.1\.100|2001:db8:2:1::100)`,
	},
	{
		name: "a rule before main", on: "one-1", inCI: true,
		make:   "ip rule add to 10.1.0.0/16 lookup 220 pref 100; ip route add default via 10.0.1.1 table 220",
		cure:   "ip rule del pref 100; ip route flush table 220",
		router: "one-1",
		want: `^rule 100 \(from all to 10\.1\.0\.0/16 lookup 220\) sends ` +
			`(its own packets|what is) for other sites out of eth0`,
	},
	{
		name: "a rule of IPv6", on: "one-1",
		make:   "ip -6 rule add to 2001:db8:2::/48 lookup 221 pref 101; ip -6 route add unreachable default table 221",
		cure:   "ip -6 rule del pref 101; ip -6 route flush table 221",
		router: "one-1", want: `^rule 101 \(from all to 2001:db8:2::/48 lookup 221\) drops ` +
			`(its own packets|what is) for other sites`,
	},
	{
		name: "no forwarding of IPv6", on: "two-1",
		make: "sysctl -qw net.ipv6.conf.all.forwarding=0", cure: "sysctl -qw net.ipv6.conf.all.forwarding=1",
		router: "two-1", want: `^it forwards no IPv6 \(net\.ipv6\.conf\.all\.forwarding=0\)`,
	},
	{
		name: "a filter of IPv6", on: "one-1",
		make: "nft 'add table ip6 f; add chain ip6 f fwd1 { type filter hook forward priority 0; }; " +
			"add rule ip6 f fwd1 ip6 saddr 2001:db8:1::/48 reject'",
		cure:   "nft delete table ip6 f",
		router: "one-1", want: `^nft ip6 f fwd1: ip6 saddr 2001:db8:1::/48 reject.* drops icmp between sites`,
	},
	{
		name: "the ruleset is flushed", on: "two-1", make: "nft flush ruleset",
		cure:   "for f in /etc/wireguard/wgmesh.nft /etc/wgmesh/*.nft; do nft -f $f || true; done",
		router: "two-1", want: `^table inet wgmesh\S* is not loaded`,
	},
	{
		name: "the metadata guard has lost its rules", on: "one-1",
		make: "nft flush chain inet wgmesh_metadata forward", cure: "nft -f /etc/wgmesh/metadata.nft",
		router: "one-1", want: `^table inet wgmesh_metadata is not what /etc/wgmes\S+nft says`,
	},
	{
		name: "it ignores ping", on: "two-1", make: "sysctl -qw net.ipv4.icmp_echo_ignore_all=1",
		cure: "sysctl -qw net.ipv4.icmp_echo_ignore_all=0", router: "two-1",
		want: `^it ignores ping \(net\.ipv4\.icmp_echo_ignore_all=1\)`,
	},
	{
		name: "a host that is named does not answer", on: "node-two-a",
		make: "sysctl -qw net.ipv4.icmp_echo_ignore_all=1",
		cure: "sysctl -qw net.ipv4.icmp_echo_ignore_all=0", router: "two-1",
		want: `^10\.1\.1\.100 of its own site does not answer`,
	},
	{
		name: "masquerade on the internet's side of Docker", on: "two-1",
		make: "nft 'add table ip d; add chain ip d p { type nat hook postrouting priority 100; }; " +
			"add rule ip d p ip saddr 172.17.0.0/16 oifname != docker0 masquerade'",
		cure: "nft delete table ip d",
	},
	{
		name: "rules of a second NIC", on: "one-1",
		make: "ip rule add from 10.0.9.9 lookup 102 pref 32000; ip route add default via 10.0.1.1 table 102",
		cure: "ip rule del pref 32000; ip route flush table 102",
	},
}

// truth tells lies to a mesh that works, and asks the status play. WGMESH_TRUTH is a
// pattern of those to tell; make truth tells all.
func truth(t *testing.T, l lab) {
	chosen := regexp.MustCompile(os.Getenv("WGMESH_TRUTH"))
	for _, x := range lies {
		if os.Getenv("WGMESH_TRUTH") == "" && !x.inCI || !chosen.MatchString(x.name) {
			continue
		}
		t.Run(x.name, func(t *testing.T) {
			var out string
			var err error
			for try, again := 1, true; again; try++ { // a session that just fell would be the first row
				l.waitHealthy(t)
				began := time.Now()
				l.at(t, x.on, x.make)
				_, out, err = l.playbook(t, "status")
				l.at(t, x.on, x.cure)
				again = onceMore(t, try, l.flaps(t, began, l.routers...))
			}
			if x.want == "" {
				assert.NoError(t, err, tail(out))
				return
			}
			assert.Error(t, err, "the status play is green")
			if rows := causes(t, out); assert.NotEmpty(t, rows) {
				t.Logf("%s: %s", rows[0].routers, rows[0].text)
				assert.Contains(t, rows[0].routers, x.router)
				assert.Regexp(t, x.want, rows[0].text)
			}
		})
	}
	l.waitHealthy(t)
	l.green(t, "status") // all is mended
}

// at runs a shell command on a host, or in the cloud of a site.
func (l lab) at(t *testing.T, on, script string) {
	t.Helper()
	site, cloud := strings.CutPrefix(on, "site:")
	if !cloud {
		l.in(t, on, script)
		return
	}
	out, err := l.command(t, 10*time.Minute, "ip", "netns", "exec", "wgmesh-"+l.name+".site."+site, "sh", "-ec", script)
	assert.NoError(t, err, out)
}
