package bird

import (
	"fmt"
	"regexp"

	"github.com/wgmesh/router/pkg/plan"
)

// These character sets are what keeps an option from ending a BIRD string or
// comment and adding a statement of its own: none has a quote, a space, a line
// feed, a brace, a semicolon or one of BIRD's interface wildcards.
const (
	protocolName  = `^[A-Za-z_][A-Za-z0-9_]{0,62}$`
	interfaceName = `^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$`
	labelName     = `^[A-Za-z0-9]([A-Za-z0-9_.-]{0,62})$`
)

func checkProtocolName(name string) error {
	if err := checkName(protocolName, name, "a letter or _, then letters, digits and _"); err != nil {
		return err
	}
	if plan.IsBirdSymbol(name) || plan.IsBirdWord(name) {
		return fmt.Errorf("%q is a word of BIRD's language or of this configuration; use another name, such as %q",
			name, "router_"+name)
	}
	return nil
}

func checkName(pattern, name, want string) error {
	if !regexp.MustCompile(pattern).MatchString(name) {
		return fmt.Errorf("%q is not a name; expected %s", name, want)
	}
	return nil
}
