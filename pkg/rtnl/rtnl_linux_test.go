package rtnl_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/pkg/rtnl"
)

func TestPrefix(t *testing.T) {
	v4, v6 := net.CIDRMask(16, 32), net.CIDRMask(112, 128)
	for want, n := range map[string]*net.IPNet{
		"10.1.2.3/16":         {IP: net.IPv4(10, 1, 2, 3), Mask: v4}, // in 16 bytes
		"10.1.2.4/16":         {IP: net.IPv4(10, 1, 2, 4).To4(), Mask: v4},
		"2001:db8::1/112":     {IP: net.ParseIP("2001:db8::1"), Mask: v6},
		"::ffff:10.1.2.3/112": {IP: net.IPv4(10, 1, 2, 3), Mask: v6}, // a network of IPv6
		"0.0.0.0/0":           {IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)},
	} {
		got, ok := rtnl.Prefix(n)
		assert.True(t, ok, want)
		assert.Equal(t, want, got.String())
	}
	for _, n := range []*net.IPNet{nil, {}, {Mask: v4}, {IP: net.IPv4zero, Mask: net.IPMask{255, 0, 255, 0}}} {
		_, ok := rtnl.Prefix(n)
		assert.False(t, ok, "%v", n)
	}
}
