package plan

import (
	_ "embed"
	"regexp"
	"slices"
	"strings"
)

// birdWords are the words that BIRD 2.0.12 does not take as the name of a
// protocol, each tried with bird -p.
//
//go:embed birdwords.txt
var birdWords string

// IsBirdWord reports whether a name is a word of BIRD's language.
func IsBirdWord(name string) bool { return slices.Contains(strings.Fields(birdWords), name) }

// BirdStamp is the constant by which the text of bird_config names itself. BIRD tells
// its value on request, so the daemon itself says which text it runs. The time of its
// last reconfiguration cannot: after an undo it is that of the older text.
const BirdStamp = "wgmesh_config"

// birdSymbols are what the text of bird_config defines. Those with a family at
// their end are there as 4 and as 6.
var birdSymbols = regexp.MustCompile(`^(` + BirdStamp + `|` + BirdDrain +
	`|device1|bfd1|(other|same)_site(_dual)?|peer_as|peer_address|carries|` +
	`(kernel|site|own|owned|originated|ranked|master|(from|to)_(other|same)_site)[46])$`)

// IsBirdSymbol reports whether bird_config itself defines a symbol of that name.
func IsBirdSymbol(name string) bool { return birdSymbols.MatchString(name) }

// ProtocolName returns the name of the BGP protocol for a router in BIRD. It is
// the router's name with every character that a BIRD symbol may not have
// replaced by an underscore. An underscore goes before it when it would
// otherwise begin with a digit or be one of BIRD's words, as gateway is.
func ProtocolName(router string) string {
	name := regexp.MustCompile(`[^A-Za-z0-9_]`).ReplaceAllString(router, "_")
	if name == "" || name[0] <= '9' || IsBirdWord(name) || IsBirdSymbol(name) {
		return "_" + name
	}
	return name
}
