package outage_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/outage"
)

// pings are answers to every 10th millisecond of a second 1000, but those left out.
func pings(leave ...int) string {
	var b strings.Builder
	b.WriteString("PING 10.1.1.9 (10.1.1.9) 1272(1300) bytes of data.\n")
	for n := 1; n <= 100; n++ {
		left := false
		for _, l := range leave {
			left = left || l == n
		}
		if !left {
			fmt.Fprintf(&b, "[1000.%06d] 1280 bytes from 10.1.1.9: icmp_seq=%d ttl=60 time=0.6 ms\n", n*9000, n)
		}
	}
	return b.String()
}

func at(ms int) time.Time { return time.UnixMilli(1000_000 + int64(ms)) }

func TestAnswers(t *testing.T) {
	all := outage.Answers(pings())
	assert.Len(t, all, 100)
	assert.Equal(t, outage.Answer{Number: 1, At: at(9)}, all[0])
	assert.Zero(t, outage.Lost(all))
	assert.Zero(t, outage.Lost(nil))
	some := outage.Answers(pings(50, 51, 52, 100) +
		"[1001.000000] 1280 bytes from 10.1.1.9: icmp_seq=99 ttl=60 time=9 ms (DUP!)\n")
	assert.Len(t, some, 96)
	assert.Equal(t, 3, outage.Lost(some), "what comes after the last answer is not known to be lost")
	assert.Equal(t, "3 from 00:16:40.441 to 00:16:40.477", outage.Losses(some))
	from, to := outage.Longest(some)
	assert.Equal(t, []time.Time{at(49 * 9), at(53 * 9)}, []time.Time{from, to})
	from, to = outage.Longest(nil)
	assert.Equal(t, from, to)
}

func TestGap(t *testing.T) {
	list := outage.Answers(pings(20, 50, 51, 52, 80))
	begin, end := at(0), at(1000)
	assert.Equal(t, 36*time.Millisecond, outage.Gap(list, begin, end))
	assert.Equal(t, 18*time.Millisecond, outage.Gap(list, begin, at(400)), "it begins before")
	assert.Equal(t, 36*time.Millisecond, outage.Gap(list, begin, at(442)), "it ends later")
	assert.Equal(t, 36*time.Millisecond, outage.Gap(list, at(460), end), "it began earlier")
	assert.Equal(t, 18*time.Millisecond, outage.Gap(list, at(478), end), "it ends after")
	assert.Zero(t, outage.Gap(nil, begin, end))

	slow := []outage.Answer{{1, at(0)}, {2, at(500)}, {4, at(510)}, {3, at(511)}, {5, at(520)}}
	assert.Zero(t, outage.Gap(slow, begin.Add(-1), end), "late and out of order, and none is lost")
}

func TestAnswersGoOn(t *testing.T) {
	var text strings.Builder
	for _, n := range []int{1, 30000, 60000, 65534, 0, 65535, 2, 30000, 60000, 5} {
		fmt.Fprintf(&text, "[1763890000.000000] 64 bytes from 10.1.1.4: icmp_seq=%d ttl=62 time=1 ms\n", n)
	}
	var got []int
	for _, a := range outage.Answers(text.String()) {
		got = append(got, a.Number)
	}
	assert.Equal(t, []int{1, 30000, 60000, 65534, 65536, 65535, 65538, 95536, 125536, 131077}, got)
}

func TestQuantile(t *testing.T) {
	var hundred []int
	for n := range 100 {
		hundred = append(hundred, 100-n)
	}
	for share, want := range map[float64]int{0.5: 50, 0.99: 99, 1: 100, 0: 1} {
		assert.Equal(t, want, outage.Quantile(hundred, share), "%v of 100", share)
	}
	assert.Equal(t, 7, outage.Quantile([]int{7}, 0.5))
	assert.Equal(t, 9, outage.Quantile([]int{9, 7}, 0.99))
	assert.Equal(t, 7, outage.Quantile([]int{9, 7}, 0.5))
	assert.Zero(t, outage.Quantile([]int(nil), 0.5))
	assert.Equal(t, 100, hundred[0], "it sorts what it was given")
}

func TestSessions(t *testing.T) {
	now := time.Date(2026, 11, 27, 0, 0, 10, 0, time.UTC)
	text := `BIRD 2.0.12 ready.
Name       Proto      Table      State  Since         Info
device1    Device     ---        up     23:59:58.250  
azure_1    BGP        ---        up     00:00:09.125  Established   
gcp_1      BGP        ---        start  23:59:59.500  Connect       Socket: Connection refused
aws_1      BGP        ---        up     2026-11-25    Established   
`
	assert.Equal(t, []outage.Session{
		{"azure-1", true, now.Add(-875 * time.Millisecond)},
		{"gcp-1", false, now.Add(-10500 * time.Millisecond)},
		{"aws-1", true, time.Time{}},
	}, outage.Sessions(text, now))
	assert.Equal(t, map[string]time.Time{"wg2": now.Add(-9 * time.Second)}, outage.Detections(`BIRD 2.0.12 ready.
bfd1:
IP address                Interface  State      Since         Interval  Timeout
172.31.2.1                wg2        Up         00:00:01.000    0.300    0.900
172.31.3.1                wg3        Down       00:00:02.000    0.300    0.000
`, now))
}
