package bird

import (
	"fmt"

	"github.com/wgmesh/router/pkg/plan"
)

// These character sets are what keeps an option from ending a BIRD string or
// comment and adding a statement of its own: none has a quote, a space, a line
// feed, a brace, a semicolon or one of BIRD's interface wildcards.
const (
	symbol = plan.Alphanumeric + "_"
)

var (
	protocolName  = plan.Name{First: plan.Letters + "_", Rest: symbol, Most: 63}
	interfaceName = plan.Name{First: symbol, Rest: symbol + ".-", Most: 15}
	labelName     = plan.Name{First: plan.Alphanumeric, Rest: symbol + ".-", Most: 63}
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

func checkName(kind plan.Name, name, want string) error {
	if !kind.Fits(name) {
		return fmt.Errorf("%q is not a name; expected %s", name, want)
	}
	return nil
}
