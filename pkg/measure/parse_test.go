package measure_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/measure"
)

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
