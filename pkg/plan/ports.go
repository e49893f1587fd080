package plan

// The ports on which BIRD listens on each router: BGP's of TCP (RFC 4271) and BFD's of UDP for
// one hop (RFC 5881). With the mesh's configuration it does not on that of more hops.
const (
	BGPPort = 179
	BFDPort = 3784
)
