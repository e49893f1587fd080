package bird_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/pkg/bird"
)

func TestParseVersion(t *testing.T) {
	for text, want := range map[string]bird.Version{
		"BIRD version 2.0.8\n": {Major: 2}, "BIRD version 2.0.12": {Major: 2},
		"BIRD version 2.17.6\n": {Major: 2, Minor: 17},
		"BIRD version 2.20.0":   {Major: 2, Minor: 20},
		"BIRD version 3.1.8\n":  {Major: 3, Minor: 1}, "BIRD version 3.4.0": {Major: 3, Minor: 4},
		"BIRD version 2.13": {Major: 2, Minor: 13}, "a warning\nBIRD version 3.2.0\n": {Major: 3, Minor: 2},
	} {
		got, err := bird.ParseVersion(text)
		assert.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{
		"", "BIRD version 1.6.8\n", "BIRD version 2.0.7",
		"BIRD version 3.0.1", "BIRD version 4.0.0", "BIRD version x", "sh: not found",
	} {
		_, err := bird.ParseVersion(text)
		assert.Error(t, err, text)
		assert.LessOrEqual(t, len(err.Error()), 160)
	}
}

// BIRD 3 forgets the other ways of a neighbor's AS when the best one goes, where MEDs
// are compared in groups. BIRD 2 keeps its words: other ones would restart all sessions.
func TestRenderByVersion(t *testing.T) {
	c, two := load(t, "testdata/dual")
	c.Version = bird.Version{Major: 2, Minor: 17}
	again := bird.Render(c, bird.Sources{IPv4: addrs("10.3.0.2")[0], IPv6: addrs("fd00:3::2")[0]})
	assert.Equal(t, string(two), string(again))
	c.Version = bird.Version{Major: 3, Minor: 1}
	three := bird.Render(c, bird.Sources{IPv4: addrs("10.3.0.2")[0], IPv6: addrs("fd00:3::2")[0]})
	assert.Contains(t, string(two), "deterministic med on;")
	assert.NotContains(t, string(three), "deterministic med")
	assert.Contains(t, string(three), "med metric on;")
	for _, site := range []string{"site4", "site6"} { // another one in each text, or BIRD 3 tells it of no interface
		assert.Contains(t, string(two), "protocol static "+site+" {")
		assert.Contains(t, string(three), "protocol static "+site+"_"+string(bird.StampOf(three))+" {")
	}
}
