package measure_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/measure"
	"github.com/wgmesh/router/pkg/plan"
)

func way(address string, p measure.Ping) measure.Path {
	return measure.Path{Address: netip.MustParseAddr(address), Ping: p}
}

func answered(least, avg float64) measure.Ping {
	return measure.Ping{Sent: 10, Received: 10, Min: least, Avg: avg, Max: avg + 1, Mdev: 0.1}
}

// mesh is a mesh with everything that a table shows.
func mesh() []measure.Result {
	return []measure.Result{
		{
			Router: "office-1", Peer: "azure-2", Name: "wg4",
			Outside: way("203.0.113.12", answered(2.1, 2.3)), Inside: way("172.31.4.1", answered(2.4, 2.6)),
		},
		{
			Router: "office-1", Peer: "aws-1", Name: "wg7",
			Outside: way("198.51.100.11", measure.Ping{Sent: 10}),
			Inside:  way("172.31.7.1", measure.Ping{Sent: 9, Received: 6, Min: 10.04, Avg: 12, Max: 13, Mdev: 1}),
		},
		{Router: "azure-2", Peer: "branch", Name: "wg15", Inside: way("172.31.15.1", answered(0.512, 0.61))},
		{
			Router: "azure-2", Peer: "six-1", Name: "wg19",
			Outside: way("2001:db8::6", answered(2, 2.5)), Inside: way("fd00:31::13:1", answered(2, 2.4)),
		},
		{
			Router: "azure-2", Peer: "gcp-1", Name: "wg20",
			Outside: way("198.51.100.71", measure.Ping{PingError: "Network is unreachable"}),
			Inside:  way("172.31.20.1", measure.Ping{Sent: 10, PingError: "sendmsg: Required key not available"}),
		},
	}
}

func texts(problems []measure.Problem) []string {
	out := []string{}
	for _, p := range problems {
		out = append(out, p.Text())
	}
	return out
}

func TestTable(t *testing.T) {
	assert.Equal(t, strings.Split(strings.Trim(`
office-1 - azure-2  wg4    outside 2.1/2.3 ms   0 %   inside 2.4/2.6 ms   0 %    + 0.30 ms
office-1 - aws-1    wg7    outside no answer          inside 10.0/12.0 ms 34 %
azure-2  - branch   wg15   outside no endpoint        inside 0.51/0.61 ms 0 %
azure-2  - six-1    wg19   outside 2.0/2.5 ms   0 %   inside 2.0/2.4 ms   0 %    - 0.10 ms
azure-2  - gcp-1    wg20   outside not measured       inside no answer
tunnels: 5, measured on both ways: 2, what a tunnel costs: median + 0.30 ms, most + 0.30 ms (times are min/avg)`,
		"\n"), "\n"),
		measure.Table(mesh()))
	assert.Equal(t, []string{
		"azure-2: tunnel wg20 to gcp-1: ping outside to 198.51.100.71 failed (Network is unreachable): " +
			"see what wgmesh.router.status says",
		"azure-2: tunnel wg20 to gcp-1: 172.31.20.1 does not answer ping inside (sendmsg: " +
			"Required key not available): see what wgmesh.router.status says",
	}, texts(measure.Problems(mesh())))
	assert.Len(t, measure.Table(nil), 1)
	assert.Empty(t, measure.Problems(nil))
}

func TestTableOfThroughput(t *testing.T) {
	all := mesh()
	for i, rates := range [][2]measure.Throughput{
		{{Mbits: 1700}, {Mbits: 1600.4, Retransmits: 3}},
		{{Blocked: true}, {Mbits: 940}},
		{{}, {Missing: "branch"}},
		{{Missing: "six-1"}, {Missing: "six-1"}},
		{{ThroughputError: "iperf3: nothing arrived at the peer"}, {Blocked: true}},
	} {
		// As the play has them: first the pings of all, then one after another.
		only := all[i]
		only.Outside.Ping, only.Inside.Ping = measure.Ping{}, measure.Ping{}
		only.Outside.Throughput, only.Inside.Throughput = rates[0], rates[1]
		all = append(all, only)
	}
	merged := measure.Merge(all)
	assert.Len(t, merged, 5)
	lines := measure.Table(merged)
	assert.Equal(t, strings.Split(strings.Trim(`
office-1 - azure-2  wg4    outside 1700 Mbit/s    inside 1600 Mbit/s   94 %
office-1 - aws-1    wg7    outside blocked        inside 940 Mbit/s
azure-2  - branch   wg15   outside no endpoint    inside no iperf3
azure-2  - six-1    wg19   outside no iperf3      inside no iperf3
azure-2  - gcp-1    wg20   outside not measured   inside blocked
throughput of tunnels: 2, on both ways: 1 (TCP from the first router to the second)`, "\n"), "\n"), lines[6:])
	assert.Equal(t, measure.Table(mesh()), lines[:6], "the pings are still there")
	assert.Equal(t, []string{
		"branch: iperf3 is not there: install it (apt-get install iperf3, dnf install iperf3)",
		"six-1: iperf3 is not there: install it (apt-get install iperf3, dnf install iperf3)",
		"azure-2: tunnel wg20 to gcp-1: no throughput outside to 198.51.100.71 (iperf3: " +
			"nothing arrived at the peer): see what wgmesh.router.status says",
		"azure-2: tunnel wg20 to gcp-1: ping outside to 198.51.100.71 failed (Network is unreachable): " +
			"see what wgmesh.router.status says",
		"azure-2: tunnel wg20 to gcp-1: 172.31.20.1 does not answer ping inside (sendmsg: " +
			"Required key not available): see what wgmesh.router.status says",
		"azure-2 - gcp-1: tunnel wg20: the iperf3 port of 172.31.20.1 is closed inside the tunnel: " +
			"open it in the firewall of gcp-1",
	}, texts(measure.Problems(merged)))
}

func TestTableBeforeMeasuring(t *testing.T) {
	r := measure.Request{Router: "office-1"}
	planned := r.Planned(plan.MeasureTunnel{
		Name: "wg4", Peer: "azure-2",
		Address: netip.MustParseAddr("172.31.4.1"), Endpoint: netip.MustParseAddr("203.0.113.12"),
	})
	assert.Equal(t, []string{
		"office-1 - azure-2  wg4   outside 203.0.113.12    inside 172.31.4.1",
		"tunnels: 1, nothing measured",
	}, measure.Table([]measure.Result{planned}))
}

// The recordings are of iputils 20221126 and iperf3 3.12 of Debian 12, in
// network namespaces where nft made the losses.
func recorded(t testing.TB, name string) string {
	t.Helper()
	return string(must.Get(os.ReadFile(filepath.Join("testdata", name)))(t))
}

func TestParsePing(t *testing.T) {
	for name, want := range map[string]measure.Ping{
		"clean":      {Sent: 10, Received: 10, Min: 0.047, Avg: 0.087, Max: 0.368, Mdev: 0.093},
		"ipv6":       {Sent: 3, Received: 3, Min: 0.065, Avg: 0.099, Max: 0.137, Mdev: 0.029},
		"loss":       {Sent: 10, Received: 7, Min: 0.029, Avg: 0.052, Max: 0.071, Mdev: 0.012},
		"silent":     {Sent: 3},
		"prohibited": {Sent: 3},
	} {
		t.Run(name, func(t *testing.T) {
			got := must.Get(measure.ParsePing(recorded(t, "ping-"+name+".txt")))(t)
			assert.Equal(t, want, got)
			assert.Equal(t, want.Received > 0, got.Answered())
		})
	}
	assert.InDelta(t, 30, must.Get(measure.ParsePing(recorded(t, "ping-loss.txt")))(t).Loss(), 0.001)
}

func TestParsePingRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing": "",
		"BusyBox": "10 packets transmitted, 10 packets received, 0% packet loss\n" +
			"round-trip min/avg/max = 0.1/0.2/0.3 ms\n",
		"no times": "2 packets transmitted, 1 received, 50% packet loss, time 1ms\n",
		"more than sent": "2 packets transmitted, 3 received, 0% packet loss, time 1ms\n" +
			"rtt min/avg/max/mdev = 1/2/3/1 ms\n",
		"times in no order": "2 packets transmitted, 2 received, 0% packet loss, time 1ms\n" +
			"rtt min/avg/max/mdev = 3/2/1/1 ms\n",
		"no number": "2 packets transmitted, 2 received, 0% packet loss, time 1ms\n" +
			"rtt min/avg/max/mdev = 1.2.3/2/3/1 ms\n",
		"a huge count":     "99999999999999999999 packets transmitted, 2 received, \n",
		"a sign":           "+2 packets transmitted, 2 received, \n",
		"an indent":        " 2 packets transmitted, 2 received, \n",
		"two lines":        "2 packets transmitted, \n2 received, \n",
		"words between":    "2 packets transmitted, of 2 received, \n",
		"times of a comma": "2 packets transmitted, 2 received, x\nrtt min/avg/max/mdev = 1,1/2,1/3,1/1 ms\n",
		"five times":       "2 packets transmitted, 2 received, x\nrtt min/avg/max/mdev = 1/2/3/4/5 ms\n",
		"an empty time":    "2 packets transmitted, 2 received, x\nrtt min/avg/max/mdev = 1//3/4 ms\n",
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorIs(t, must.Err(measure.ParsePing(text)), measure.ErrNoSummary)
		})
	}
}

func TestParseIperf(t *testing.T) {
	got := must.Get(measure.ParseIperf(recorded(t, "iperf3.json")))(t)
	assert.Equal(t, measure.Throughput{Mbits: 14147.1, Retransmits: 1352}, got)

	for _, name := range []string{"refused", "dropped"} {
		got := must.Get(measure.ParseIperf(recorded(t, "iperf3-"+name+".json")))(t)
		assert.Equal(t, measure.Throughput{Blocked: true}, got, name)
	}
	for name, want := range map[string]string{
		recorded(t, "iperf3-stuck.json"):                    "iperf3: interrupt - the client has terminated",
		`{"end": {"sum_received": {"bits_per_second": 0}}}`: "iperf3: nothing arrived at the peer",
		`{"end": {}}`: "iperf3 --json printed no sum_received: expected iperf3 3.1 or newer",
		`iperf3: x`:   "iperf3 --json printed no JSON",
		``:            "iperf3 --json printed no JSON",
		`{"error": "error - the server is busy\nrunning a test"}`: "iperf3: the server is busy running a test",
	} {
		require.ErrorContains(t, must.Err(measure.ParseIperf(name)), want)
	}
}

func FuzzParsePing(f *testing.F) {
	for _, name := range []string{"clean", "ipv6", "loss", "silent", "prohibited"} {
		f.Add(recorded(f, "ping-"+name+".txt"))
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := measure.ParsePing(text)
		if err != nil {
			assert.Equal(t, measure.Ping{}, p)
			return
		}
		assert.True(t, 0 <= p.Received && p.Received <= p.Sent, "%+v", p)
		assert.True(t, 0 <= p.Min && p.Min <= p.Avg && p.Avg <= p.Max, "%+v", p)
		assert.True(t, 0 <= p.Loss() && p.Loss() <= 100, "%+v", p)
	})
}

func FuzzParseIperf(f *testing.F) {
	for _, name := range []string{"iperf3", "iperf3-refused", "iperf3-dropped", "iperf3-stuck"} {
		f.Add(recorded(f, name+".json"))
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := measure.ParseIperf(text)
		switch {
		case err != nil:
			assert.Equal(t, measure.Throughput{}, got)
			assert.NotContains(t, err.Error(), "\n")
		case got.Blocked:
			assert.Zero(t, got.Mbits)
		default:
			assert.Positive(t, got.Mbits)
		}
	})
}
