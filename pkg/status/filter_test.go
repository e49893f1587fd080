package status

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
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
	const forward, nat = "iptables", "iptables -t nat"
	begins := map[string]string{
		forward: "*filter\n:FORWARD ACCEPT [0:0]\n", nat: "*nat\n:POSTROUTING ACCEPT [0:0]\n:K - [0:0]\n",
	}
	const meant, first = ": see that it is meant", ": put a rule that accepts it first"
	for name, tt := range map[string]struct {
		table, rule      string // the last one is told
		problem, warning string // behind the rule
	}{
		"drops": {forward, "FORWARD -i wg+ -j DROP", "drops icmp from 10.0.0.0/16 to 10.1.0.0/16" + first, ""},
		"rewrites": {
			nat, "POSTROUTING -o eth0 -j MASQUERADE",
			"rewrites packets from 10.0.0.0/16 to 10.1.0.0/16: leave them out of it", "",
		},
		"drops a part": {
			forward, "FORWARD -s 10.0.7.0/24 -j DROP", "", "drops a part of what goes between sites" + meant,
		},
		"rewrites a part": {
			nat, "POSTROUTING -s 10.0.7.0/24 -j MASQUERADE", "", "rewrites a part of what goes between sites" + meant,
		},
		"may drop all the rest": {
			forward, "FORWARD -m set --match-set s src -j ACCEPT\n-A FORWARD -j REJECT",
			"", "may drop what goes between sites" + first,
		},
		"may rewrite all the rest": {
			nat, "POSTROUTING -m set --match-set s src -j ACCEPT\n-A POSTROUTING -j MASQUERADE",
			"", "may rewrite what goes between sites" + first,
		},
		"some by their length": {
			forward, "FORWARD -m length --length 200:65535 -j DROP",
			"", "may drop some of what goes between sites" + meant,
		},
		"all to a program": {
			forward, "FORWARD -j NFQUEUE --queue-num 0", "", "may drop some of what goes between sites" + meant,
		},
		"a list of the bad": {forward, "FORWARD -m set --match-set bad src -j DROP", "", ""},
		"kube-proxy": {
			nat, "POSTROUTING -j K\n-A K -m mark ! --mark 0x4000/0x4000 -j RETURN\n-A K -j MASQUERADE", "", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			problems, warnings := judged(begins[tt.table] + "-A " + tt.rule + "\n")
			rules := strings.Split(tt.rule, "\n-A ")
			one := func(text string) (out []string) {
				if text != "" {
					out = append(out, tt.table+": -A "+rules[len(rules)-1]+" "+text)
				}
				return out
			}
			assert.Equal(t, one(tt.problem), problems)
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

// What comes only when something is lost is a warning, once, and none where the same rule drops all the rest. What
// sites need that have no tunnel is a cause, but of a drained router.
func TestFiltersOfWhatIsLost(t *testing.T) {
	packet := func(peer, in, out, from, to string) spare {
		return spare{Packet: filter.Packet{
			In: in, Out: out, Src: netip.MustParsePrefix(from), Dst: netip.MustParsePrefix(to),
		}, third: peer != "", peer: strings.TrimPrefix(peer, "aws-2")}
	}
	var (
		there  = packet("azure-1", "wg2", "wg3", "10.2.0.0/16", "10.3.0.0/16")
		other  = packet("azure-1", "wg2", "wg4", "10.2.0.0/16", "10.4.0.0/16")
		back   = packet("gcp-1", "wg3", "wg2", "10.3.0.0/16", "10.2.0.0/16")
		sister = packet("aws-2", "wg9", "wg3", "10.2.0.0/16", "10.3.0.0/16")
		inside = packet("", "wg2", "wg9", "10.2.0.0/16", "10.1.0.0/16")
	)
	const transit, rule = "-A FORWARD -i wg+ -o wg+ -j DROP", "*filter\n:FORWARD ACCEPT [0:0]\n%s\n"
	const lost = "iptables: " + transit + " drops what other sites that lose each other send by here"
	const detour = "iptables: " + transit + " drops what takes another tunnel when a way is lost"
	for name, tt := range map[string]struct {
		saved         string
		spare         []spare
		needed        bool // the first one
		drained       bool
		found, warned []string
		told          []string // who would send it, and for what
	}{
		"spare": {
			saved: transit, spare: []spare{there, other, back}, warned: []string{lost},
			told: []string{"azure-1 [10.3.0.0/16 10.4.0.0/16]", "gcp-1 [10.2.0.0/16]"},
		},
		"of the own site, too": {
			saved: transit, spare: []spare{inside, there, sister}, warned: []string{detour},
			told: []string{"azure-1 [10.3.0.0/16]"},
		},
		"needed": {
			saved: transit, spare: []spare{there, back}, needed: true,
			found: []string{"iptables: " + transit + " drops icmp between sites"},
		},
		"needed of a drained one": {
			saved: transit, spare: []spare{there}, needed: true, drained: true, warned: []string{lost},
			told: []string{"azure-1 [10.3.0.0/16]"},
		},
		"all is dropped": {
			saved: "-A FORWARD -j DROP", spare: []spare{inside, there},
			found: []string{"iptables: -A FORWARD -j DROP drops icmp between sites"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := forwards("10.2.0.0/16", "10.1.0.0/16")
			f.spare = tt.spare
			if tt.needed {
				x := forwards("10.2.0.0/16", "10.3.0.0/16").flows[0]
				x.answer.Device, x.way, x.needed = "wg3", outward, true
				f.flows = append(f.flows, x)
			}
			f.filters, _ = filter.ParseIPTables(fmt.Appendf(nil, rule, tt.saved), false)
			r := Request{SourceNetworks: networks("10.1.0.0/16"), Tunnels: []plan.StatusTunnel{
				{Name: "wg2", Peer: "azure-1"},
				{Name: "wg3", Peer: "gcp-1"},
				{Name: "wg9", Peer: "aws-2", Networks: networks("10.1.0.0/16")},
			}}
			o := Observation{Forwarding: f, Tunnels: make([]TunnelState, 3)}
			if tt.drained {
				o.Drained.Since = time.Unix(1, 0)
			}
			for range 2 { // what is seen once is judged as often as one likes
				rep := Judge(r, o)
				var found, warned, told []string
				for _, p := range rep.Problems {
					if strings.Contains(p.Cause.Found, "iptables") {
						found = append(found, p.Cause.Found)
					}
				}
				for _, c := range rep.Warnings {
					warned = append(warned, c.Found)
				}
				for _, t := range rep.Transit {
					told = append(told, fmt.Sprint(t.Peer, " ", t.Networks))
				}
				assert.Equal(t, [][]string{tt.found, tt.warned, tt.told}, [][]string{found, warned, told})
			}
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

// The port of one tunnel names that tunnel, also where the routers' causes stand together.
func TestFilterOfATunnel(t *testing.T) {
	for ports, want := range map[string]string{
		"51807": "drops udp of its tunnel to r7", "51800:51899": "drops udp of its tunnels",
	} {
		f := Forwarding{}
		rule := "-A OUTPUT -p udp --dport " + ports + " -j DROP"
		f.filters, _ = filter.ParseIPTables([]byte("*filter\n:OUTPUT ACCEPT [0:0]\n"+rule+"\n"), false)
		var r Request
		var o Observation
		for _, n := range []int{1, 7} {
			end := netip.MustParseAddrPort(fmt.Sprintf("192.0.2.%d:51800", n))
			r.Tunnels = append(r.Tunnels, plan.StatusTunnel{
				Name: fmt.Sprintf("wg%d", n), Peer: fmt.Sprintf("r%d", n), Address: netip.MustParseAddr("198.18.0.1"),
			})
			o.Tunnels = append(o.Tunnels, TunnelState{
				Device: Device{Port: 51800 + n, Peer: &Peer{Endpoint: end}}, PingErr: ErrNoAnswer,
			})
		}
		found := f.checkFilters(&r, &o)
		require.Len(t, found, 1)
		assert.Equal(t, "iptables: "+rule+" "+want, found[0].Cause.Found)
	}
}

// What a flowtable forwards passes no filter and no counter, so no drain waits for it.
func TestFlowtables(t *testing.T) {
	for devices, want := range map[string]int{"eth0 wg2": 1, "eth0 wg7": 0, "wg2": 0, "eth* wg*": 1, "eth0 w": 0} {
		f := forwards("10.2.0.0/16", "10.1.0.0/16")
		f.filters.Flowtables = []filter.Flowtable{{Where: "nft inet f flowtable ft", Devices: strings.Fields(devices)}}
		assert.Len(t, f.warnings(), want, devices)
	}
}

// What no tool shows may drop anything.
func TestUnreadFilters(t *testing.T) {
	f := Forwarding{filters: filter.Ruleset{
		Unread: []filter.Unread{{Command: "nft -j list ruleset", Why: "Error:\x1b[31m no"}},
		Absent: []string{"iptables-legacy-save"},
	}}
	assert.Equal(t, []Problem{{Cause: cause.Cause{
		Found: "nft -j list ruleset fails (Error: [31m no), so filters may be here that nobody sees",
		Do:    "run it as root, and mend what it says",
	}}}, f.checkFilters(&Request{}, &Observation{}))
	assert.Equal(t, []cause.Cause{{
		Found: "the kernel has tables that only iptables-legacy-save shows", Do: "install it, and look at them",
	}}, f.warnings())
}

func TestMissingTables(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	must.Write(t, file("nft"), "#!/bin/sh\necho 'table inet one\ntable ip two\ntable inet two_more'\n", 0o755)
	for _, name := range []string{"one.nft", "two.nft"} {
		require.NoError(t, os.WriteFile(file(name), nil, 0o600))
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	tables := []NFTable{
		{"one", file("one.nft"), "x"},
		{"two", file("two.nft"), "nobody is held back"},
		{"three", file("three.nft"), "y"},
	}
	assert.Equal(t,
		[]cause.Cause{
			cause.New(
				"table inet two is not loaded, so nobody is held back: "+
					"run nft -f %s, and look for what flushes nftables", file("two.nft")),
		},
		missingTables(t.Context(), tables))

	require.NoError(t, os.WriteFile(file("nft"), []byte("#!/bin/sh\nexit 1\n"), 0o755))
	missing := missingTables(t.Context(), tables)
	require.Len(t, missing, 2)
	assert.Contains(t, missing[0].Found, "table inet one cannot be looked for (nft list tables: exit status 1)")
	assert.Empty(t, missingTables(t.Context(), tables[2:]), "a host without our files needs no nft")
}

// A table that is gone makes a router red, and takes no change back.
func TestCheckTables(t *testing.T) {
	rep := Judge(Request{}, Observation{
		MissingTables: []cause.Cause{cause.New("table inet two is not loaded: load it")},
	})
	assert.False(t, rep.Healthy())
	assert.True(t, rep.RequiredHealthy())
	assert.Equal(t, []string{"table inet two is not loaded: load it"}, rep.Texts())
}
