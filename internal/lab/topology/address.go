package topology

import (
	"fmt"
	"net/netip"
)

// first is where the hosts of a kind begin in a subnet: 10.1.1.10 and
// 2001:db8::10 are the first router of a zone, 10.1.1.100 and 2001:db8::100 the
// first node.
func first(kind string, v6 bool) int {
	switch {
	case kind == Router && v6:
		return 0x10
	case kind == Router:
		return 10
	case v6:
		return 0x100
	}
	return 100
}

// allocator hands out the addresses of the zones, each once.
type allocator struct{ taken map[netip.Addr]string }

func newAllocator() allocator { return allocator{taken: map[netip.Addr]string{}} }

// next is the first free host address of the subnet at or after the wanted place,
// or from its beginning when the subnet is too small for that.
func (a allocator) next(subnet netip.Prefix, from int, owner string) (netip.Addr, error) {
	for _, start := range []int{from, 1} {
		addr := subnet.Addr()
		for range start {
			addr = addr.Next()
		}
		for n := 0; n < 1<<16 && subnet.Contains(addr); n++ {
			_, used := a.taken[addr]
			if !used && !broadcast(subnet, addr) {
				a.taken[addr] = owner
				return addr, nil
			}
			addr = addr.Next()
		}
	}
	return netip.Addr{}, fmt.Errorf("%s: subnet %s has no free address", owner, subnet)
}

func broadcast(subnet netip.Prefix, addr netip.Addr) bool {
	return addr.Is4() && subnet.Bits() < 31 && !subnet.Contains(addr.Next())
}
