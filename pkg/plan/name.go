package plan

import (
	_ "embed"
	"slices"
	"strings"
)

// Sets of characters for Only and Name.
const (
	Digits  = "0123456789"
	Letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

	Alphanumeric = Letters + Digits
)

// Only reports whether a text is of these ASCII characters, and not empty.
func Only(text, characters string) bool { return text != "" && strings.Trim(text, characters) == "" }

// PlainName is that of a router or a site. It is fit for files, for comments of BIRD, for patterns
// of Ansible and for messages of one line; its length is that of a symbol of BIRD, with room for
// what is put around it.
var PlainName = Name{First: Alphanumeric, Rest: Alphanumeric + "_.-", Most: 56}

// A Name is what names of one kind are made of: one of the characters of First, then those
// of Rest, Most in all. They go into files, commands and scripts of others.
type Name struct {
	First, Rest string
	Most        int
}

// Fits reports whether a text is such a name.
func (n Name) Fits(text string) bool {
	return text != "" && len(text) <= n.Most && Only(text[:1], n.First) && strings.Trim(text[1:], n.Rest) == ""
}

// birdWords are the words that BIRD 2.0.12 does not take as the name of a protocol, and
// laterWords those that it takes and one of 2.17 to 3.4 does not. TestParserTakesAnyName
// tries those of the BIRD that is there, .ci/birds of each.
var (
	//go:embed birdwords.txt
	birdWords string
	//go:embed birdwords_later.txt
	laterWords string
)

// IsBirdWord reports whether a name is a word of every BIRD's language.
func IsBirdWord(name string) bool { return slices.Contains(strings.Fields(birdWords), name) }

// IsAnyBirdWord reports whether a name is a word of some BIRD's.
func IsAnyBirdWord(name string) bool {
	return IsBirdWord(name) || slices.Contains(strings.Fields(laterWords), name)
}

// BirdStamp is the constant by which the text of bird_config names itself. BIRD tells
// its value on request, so the daemon itself says which text it runs. The time of its
// last reconfiguration cannot: after an undo it is that of the older text.
const BirdStamp = "wgmesh_config"

// birdSymbols are what the text of bird_config defines, and birdFamilies what it defines
// with a 4 and with a 6 at its end.
const (
	birdSymbols = BirdStamp + " " + BirdDrain + " device1 bfd1 other_site same_site other_site_dual" +
		" same_site_dual peer_as peer_address carries"
	birdFamilies = "kernel site own owned originated ranked master outside outside_default" +
		" outside_kernel outside_site from_other_site from_same_site to_other_site to_same_site"
)

// IsBirdSymbol reports whether bird_config itself defines a symbol of that name.
func IsBirdSymbol(name string) bool {
	base := strings.TrimRight(name, "46")
	return slices.Contains(strings.Fields(birdSymbols), name) ||
		len(base) == len(name)-1 && slices.Contains(strings.Fields(birdFamilies), base)
}

// ProtocolName returns the name of the BGP protocol for a router in BIRD. It is
// the router's name with every character that a BIRD symbol may not have
// replaced by an underscore. An underscore goes before it when it would
// otherwise begin with a digit or be a word of some BIRD's, as gateway is.
func ProtocolName(router string) string {
	name := strings.Map(func(r rune) rune {
		if Only(string(r), Letters+Digits) {
			return r
		}
		return '_'
	}, router)
	if name == "" || name[0] <= '9' || IsAnyBirdWord(name) || IsBirdSymbol(name) {
		return "_" + name
	}
	return name
}
