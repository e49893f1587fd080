package cloud

import (
	"net/netip"
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/must"
)

// What the role router drops when it is only forwarded are the metadata services
// that this package knows, and what is next door.
func TestRoleDropsWhatIsForwardedToMetadata(t *testing.T) {
	text := must.Get(os.ReadFile("../../roles/router/files/root/etc/wgmesh/metadata.nft"))(t)
	var dropped []netip.Prefix
	for _, rule := range regexp.MustCompile(
		`ip6? daddr \{(.*)\} counter drop`).FindAllStringSubmatch(string(text), -1) {
		for _, word := range regexp.MustCompile(`[0-9a-f.:/]+`).FindAllString(rule[1], -1) {
			p, err := netip.ParsePrefix(word)
			if err != nil {
				a := must.Get(netip.ParseAddr(word))(t)
				p = netip.PrefixFrom(a, a.BitLen())
			}
			dropped = append(dropped, p)
		}
	}
	known := append([]netip.Addr{}, metadataAddresses...)
	for _, a := range []string{
		"169.254.169.254", "169.254.170.2", "169.254.169.253", "169.254.169.123", "fe80::a9fe:a9fe",
	} {
		known = append(known, netip.MustParseAddr(a))
	}
	for _, a := range known {
		found := false
		for _, p := range dropped {
			found = found || p.Contains(a)
		}
		assert.True(t, found, "%s is forwarded", a)
	}
	for _, p := range dropped {
		assert.False(t, p.Contains(netip.MustParseAddr("10.0.0.1")) ||
			p.Contains(netip.MustParseAddr("fd00::1")), "%s is somebody's network", p)
	}
}
