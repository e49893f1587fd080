//go:build integration

package main

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/nettest"
)

// asksHealth asks the port from addresses of this host. Its socket has so many places, and each address some of them.
const asksHealth = `
ip addr add 192.0.2.1/32 dev lo
sed 's|^include.*||' ../roles/router/files/root/etc/wgmesh/health.nft | nft -f -
perl -MSocket -e '
	socket(my $l, PF_INET, SOCK_STREAM, 0);
	bind($l, sockaddr_in(8179, INADDR_ANY)) && listen($l, 9) || die;
	for my $from (@ARGV) {
		socket(my $s, PF_INET, SOCK_STREAM, 0);
		bind($s, sockaddr_in(0, inet_aton($from)));
		my $to = sockaddr_in(8179, inet_aton("127.0.0.1"));
		my $done = eval { local $SIG{ALRM} = sub { die }; alarm 4; connect($s, $to) };
		alarm 0;
		print $from, $done ? " is heard\n" : " is not\n";
	}' 127.0.0.1 127.0.0.2 192.0.2.1`

// A user of the host without rights may take any of its addresses, and so all places of the probe.
func TestHealthPortHasRoomForTheProbe(t *testing.T) {
	t.Parallel()
	nettest.Need(t, "nft", "perl")
	assert.Equal(t, "127.0.0.1 is heard\n127.0.0.2 is not\n192.0.2.1 is not\n",
		nettest.New(t, "health").Sh(t, "%s", asksHealth))
}
