package birdc_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/pkg/birdc"
)

func TestDeaf(t *testing.T) {
	deaf := func(since, read string) []string {
		return birdc.Deaf("BIRD 3.1.8\nCurrent server time is 2026-11-30 14:23:07.620\nLast reconfiguration on "+read+
			"\nDaemon is up and running", strings.ReplaceAll(
			"Name       Proto      Table      State  Since         Info\n"+
				"device1    Device     ---        up     2026-11-01    \n"+
				"site6_ab   Static     master6    up     AT  \n"+
				"  Channel ipv6\n"+
				"site4_ab   Static     master4    up     AT  \n"+
				"site4      Static     master4    up     2026-11-01  \n"+ // BIRD 2 does not forget
				"site4_ac   Static     master4    down   2026-11-01  \n"+
				"site4_x    BGP        ---        up     2026-11-01    Established\n", "AT", since))
	}
	both := []string{"site4_ab", "site6_ab"}
	for _, c := range []struct {
		since, read string
		want        []string
	}{
		{"14:23:05.684", "2026-11-30 14:23:05.684", nil}, // both are of one reading
		{"14:23:05.684", "2026-11-30 14:23:05.720", nil},
		{"14:23:05.684", "2026-11-30 14:23:07.655", both},
		{"14:23:07.700", "2026-11-30 14:23:07.650", nil},
		{"20:00:00.000", "2026-11-29 20:00:00.010", nil}, // of yesterday
		{"20:00:00.000", "2026-11-29 21:00:00", both},
		{"2026-11-28", "2026-11-28 23:59:59.900", nil}, // nobody knows
		{"2026-11-28", "2026-11-29 00:00:00.000", both},
		{"14:23:05.684", "never", nil},
		{"later", "2026-11-30 14:23:07.655", nil},
	} {
		assert.Equal(t, c.want, deaf(c.since, c.read), c)
	}
}
