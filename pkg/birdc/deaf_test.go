package birdc_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/pkg/birdc"
)

func TestDeaf(t *testing.T) {
	status := func(at string) string {
		return "BIRD 3.1.8\nCurrent server time is 2026-11-30 14:23:07.620\nLast reconfiguration on " + at +
			"\nDaemon is up and running"
	}
	const protocols = "Name       Proto      Table      State  Since         Info\n" +
		"device1    Device     ---        up     2026-11-01 10:00:00.000  \n" +
		"site6_ab   Static     master6    up     2026-11-30 14:23:05.684  \n" +
		"  Channel ipv6\n" +
		"site4_ab   Static     master4    up     2026-11-30 14:23:05.684  \n" +
		"site4_x    BGP        ---        up     2026-11-01 10:00:00.000  Established\n"
	for at, want := range map[string][]string{
		"2026-11-30 14:23:05.684": nil, // both are of one reading
		"2026-11-30 14:23:05.600": nil,
		"2026-11-30 14:23:07.655": {"site4_ab", "site6_ab"},
		"2026-12-02 01:00:00":     {"site4_ab", "site6_ab"},
		"never":                   nil,
	} {
		assert.Equal(t, want, birdc.Deaf(status(at), protocols), at)
	}
	two := "site4      Static     master4    up     2026-11-01 10:00:00  \n" + // BIRD 2 does not forget
		"site6_ab   Static     master6    up     10:00:00.000  \n" + // of a text before
		"site4_ab   Static     master4    down   2026-11-01 10:00:00  \n"
	assert.Empty(t, birdc.Deaf(status("2026-11-30 14:23:07"), two))
}
