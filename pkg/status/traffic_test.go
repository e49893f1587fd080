package status

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseForwarded(t *testing.T) {
	n, err := parseForwarded(
		"Ip: Forwarding DefaultTTL InReceives ForwDatagrams InUnknownProtos\nIp: 1 64 76310 1234 0\n" +
			"Icmp: InMsgs\nIcmp: 7\n")
	require.NoError(t, err)
	assert.Equal(t, uint64(1234), n)
	_, err = parseForwarded("Icmp: InMsgs\nIcmp: 7\n")
	require.Error(t, err)
}
