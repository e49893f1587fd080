package bird

import (
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// keywords are the words that BIRD keeps for itself.
//
//go:embed keywords.txt
var keywords string

// These character sets are what keeps an option from ending a BIRD string or
// comment and adding a statement of its own: none has a quote, a space, a line
// feed, a brace, a semicolon or one of BIRD's interface wildcards.
const (
	protocolName  = `^[A-Za-z_][A-Za-z0-9_]{0,62}$`
	interfaceName = `^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$`
	labelName     = `^[A-Za-z0-9]([A-Za-z0-9_.-]{0,62})$`
)

// ownNames are the symbols that the rendered text defines.
func ownNames() []string {
	names := []string{
		stampName, "device1", "bfd1", "other_site", "other_site_dual", "same_site", "same_site_dual",
		"peer_as", "peer_address", "carries",
	}
	for _, f := range []string{"4", "6"} {
		for _, n := range []string{"kernel", "site", "own", "owned", "originated", "ranked", "from_other_site", "from_same_site", "to_other_site", "to_same_site", "master"} {
			names = append(names, n+f)
		}
	}
	return names
}

func checkProtocolName(name string) error {
	if err := checkName(protocolName, name, "a letter or _, then letters, digits and _"); err != nil {
		return err
	}
	if slices.Contains(ownNames(), name) || isKeyword(name) {
		return fmt.Errorf("%q is a word of BIRD's language or of this configuration; use another name, such as %q", name, "router_"+name)
	}
	return nil
}

func isKeyword(name string) bool { return slices.Contains(strings.Split(keywords, "\n"), name) }

func checkName(pattern, name, want string) error {
	if !regexp.MustCompile(pattern).MatchString(name) {
		return fmt.Errorf("%q is not a name; expected %s", name, want)
	}
	return nil
}
