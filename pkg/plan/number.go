package plan

// MaxID is the highest id whose first tunnel number is still a UDP port.
const MaxID = 363

// OutsideTable is the kernel's routing table of the ways that only the router's own packets
// go, those of tunnels above all: the static routes that are Outside. A rule leads to it,
// which is pkg/floor's.
const OutsideTable = 157157

// The ports on which BIRD listens on each router: BGP's of TCP (RFC 4271) and BFD's of UDP for
// one hop (RFC 5881). With the mesh's configuration it does not on that of more hops.
const (
	BGPPort = 179
	BFDPort = 3784
)

// Number returns the number of the tunnel between two routers. It depends on
// their two ids alone, so it never moves when other routers come or go.
// For a < b it is (b-1)(b-2)/2 + a: 1 for 1 and 2, then 2 and 3 for router 3.
func Number(a, b int) int {
	i, j := min(a, b), max(a, b)
	return (j-1)*(j-2)/2 + i
}

// Other returns the id of the router at the other end of a router's tunnel of
// that number, 0 when the router has no such tunnel.
func Other(self, number int) int {
	for id := 1; id <= MaxID; id++ {
		if id != self && Number(self, id) == number {
			return id
		}
	}
	return 0
}
