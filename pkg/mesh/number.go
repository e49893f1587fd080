package mesh

import (
	"encoding/binary"
	"net/netip"
)

// link is one network between two routers: the lower id has the address low.
type link struct {
	network   netip.Prefix
	low, high netip.Addr
}

// ends returns the addresses of this router and of its peer.
func (l link) ends(self, peer int) (mine, theirs netip.Addr) {
	if self < peer {
		return l.low, l.high
	}
	return l.high, l.low
}

// link4 returns IPv4 link network number n of the pool. A /31 has no network
// address (RFC 3021), any larger one skips it.
func link4(pool netip.Prefix, length, n int) link {
	start := pool.Addr().As4()
	first := binary.BigEndian.Uint32(start[:]) + uint32(n)<<(32-length)
	at := func(offset uint32) netip.Addr {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], first+offset)
		return netip.AddrFrom4(b)
	}
	l := link{network: netip.PrefixFrom(at(0), length), low: at(0), high: at(1)}
	if length < 31 {
		l.low, l.high = at(1), at(2)
	}
	return l
}

// link6 returns IPv6 link network number n of the pool, a /127 (RFC 6164).
func link6(pool netip.Prefix, n int) link {
	b := pool.Addr().As16()
	low := binary.BigEndian.Uint64(b[8:]) + uint64(n)*2
	binary.BigEndian.PutUint64(b[8:], low)
	l := link{low: netip.AddrFrom16(b)}
	l.high = l.low.Next()
	l.network = netip.PrefixFrom(l.low, 127)
	return l
}

// holds reports whether the pool has a link network of that number and length.
func holds(pool netip.Prefix, length, n int) bool {
	bits := length - pool.Bits()
	return bits >= 0 && (bits >= 31 || n < 1<<bits)
}
