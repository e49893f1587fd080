//go:build integration

package bird_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
	"github.com/wgmesh/router/pkg/bird"
	"github.com/wgmesh/router/pkg/plan"
)

// BIRD's parser takes every configuration that Validate accepts.
func FuzzParserTakes(f *testing.F) {
	seed(f)
	installed, _ := bird.Installed(f.Context())
	f.Fuzz(func(t *testing.T, name, router, iface, site, staticIface, network, via, address,
		address6 string, as, med, limit int,
	) {
		nettest.Need(t, "bird")
		c := fuzzed(name, router, iface, site, staticIface, network, via, address, address6, as, med, limit)
		c.Version = installed
		if c.Validate() != nil || c.Sayable() != nil {
			return
		}
		text := bird.Render(c, bird.Sources{})
		require.NoError(t, bird.Check(t.Context(), text), "%q", text)
	})
}

// A router may be called like any word that is in the program, and BIRD takes its protocol.
func TestParserTakesAnyName(t *testing.T) {
	program := must.Get(exec.LookPath("bird"))(t)
	// .ci/birds has a script, and the program beside it.
	if packed := filepath.Join(filepath.Dir(program), "usr/sbin/bird"); must.Err(os.Stat(packed)) == nil {
		program = packed
	}
	name, taken, text := plan.Name{First: plan.Letters, Rest: plan.Alphanumeric + "_", Most: 40}, map[string]bool{}, ""
	for word := range bytes.SplitSeq(must.Get(os.ReadFile(program))(t), []byte{0}) {
		word = word[max(0, len(word)-40):]
		for at := range word { // the end of a word may be another one
			if w := string(word[at:]); name.Fits(w) && !taken[plan.ProtocolName(w)] {
				taken[plan.ProtocolName(w)] = true
				text += fmt.Sprintf("protocol static %s { ipv4; }\n", plan.ProtocolName(w))
			}
		}
	}
	require.True(t, taken["_gateway"], "%s has BIRD's words", program)
	err := bird.Check(t.Context(), []byte("router id 192.0.2.1;\n"+text))
	if err != nil {
		at := regexp.MustCompile(`/dev/stdin:(\d+)`).FindStringSubmatch(err.Error())
		require.NotNil(t, at, err)
		t.Error(strings.Split(text, "\n")[must.Get(strconv.Atoi(at[1]))(t)-2], err)
	}
}

// An interface may have the name of a word of BIRD's, which only BIRD 2.0 cannot name beside a
// next hop.
func TestInterfaceIsAWord(t *testing.T) {
	installed := must.Get(bird.Installed(t.Context()))(t)
	for _, name := range []string{"eth0", "gateway", "roa", "rts"} {
		for network, via := range map[string]netip.Addr{
			"10.97.0.0/16": {}, "10.98.0.0/16": netip.MustParseAddr("10.0.0.1"),
			"2001:db8:99::/48": netip.MustParseAddr("fe80::1"),
		} {
			c, _ := load(t, "testdata/dual")
			c.Version = installed
			c.Static = append(c.Static[:2], plan.Static{
				Network: netip.MustParsePrefix(network), Via: via, Interface: name,
			})
			require.NoError(t, c.Validate(), "%s %s", name, via)
			if name == "gateway" && via.IsValid() && installed.Minor == 0 {
				require.ErrorContains(t, c.Sayable(), "cannot name gateway beside a next hop")
				continue
			}
			require.NoError(t, c.Sayable())
			assert.NoError(t, bird.Check(t.Context(), bird.Render(c, bird.Sources{})), "%s %s", name, via)
		}
	}
}
