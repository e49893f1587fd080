package bird

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/wgmesh/router/pkg/plan"
)

// Validate lists everything in the configuration that BIRD would refuse or that could not work.
// What it accepts, Render turns into a text that BIRD's parser takes.
func (c Config) Validate() error {
	errs := []error{
		c.Owner.Validate(), c.validateRouter(), c.validateStatic(), c.validateOriginate(),
		c.validateOwners(), c.validateNeighbors(), c.Drain.Validate(),
	}
	for i, n := range c.Networks {
		if err := checkPrefix(n); err != nil {
			errs = append(errs, fmt.Errorf("networks[%d]: %w", i, err))
		}
	}
	return errors.Join(errs...)
}

func (c Config) validateRouter() error {
	var errs []error
	if !c.RouterID.Is4() || c.RouterID.IsUnspecified() {
		errs = append(errs, fmt.Errorf("router_id: expected an IPv4 address such as 0.0.0.3, "+
			"unique in the mesh, got %q", text(c.RouterID)))
	}
	if err := checkAS(c.AS); err != nil {
		errs = append(errs, fmt.Errorf("as: %w", err))
	}
	errs = append(errs,
		between("bfd.interval (ms)", c.BFD.Interval, 10, 60000),
		between("bfd.multiplier", c.BFD.Multiplier, 2, 255),
		between("hold_time (s)", c.HoldTime, 3, 65535))
	return errors.Join(errs...)
}

// Sayable refuses an interface that the installed BIRD cannot name beside a next hop.
func (c Config) Sayable() error {
	for _, s := range c.Static {
		if s.Via.IsValid() && plan.IsBirdWord(s.Interface) && c.Version.Major == 2 && !c.Version.hasDev() {
			return fmt.Errorf("static (%s): interface: BIRD %d.%d cannot name %s beside a next hop, "+
				"because it is a word of its language; rename the interface, or install BIRD 2.17 or a later one",
				s.Network, c.Version.Major, c.Version.Minor, s.Interface)
		}
	}
	return nil
}

func (c Config) validateStatic() error {
	var errs []error
	seen := map[netip.Prefix]bool{}
	for i, s := range c.Static {
		bad := func(err error) { errs = append(errs, fmt.Errorf("static[%d] (%s): %w", i, text(s.Network), err)) }
		if err := checkPrefix(s.Network); err != nil {
			bad(err)
			continue
		}
		if seen[s.Network] {
			bad(errors.New("the network is there twice"))
		}
		seen[s.Network] = true
		if s.Interface != "" {
			if err := checkName(interfaceName, s.Interface, "the name of a network interface"); err != nil {
				bad(fmt.Errorf("interface: %w", err))
			}
		}
		if s.Source.IsValid() {
			if err := checkAddr(s.Source, s.Network.Addr().Is4()); err != nil {
				bad(fmt.Errorf("source: %w", err))
			}
			if !s.Outside {
				bad(errors.New("source needs outside"))
			}
		}
		alone := s.Via.IsValid() || s.OnLink || s.Interface != "" && s.Outside
		switch {
		case s.Connected && s.Outside, (s.Connected || s.Outside) && alone:
			bad(errors.New("connected and outside are each a way by itself: leave out the other one, via and onlink"))
		case s.Connected, s.Outside:
		case s.Via.Is6() && s.Via.Zone() == "" && s.Via.IsLinkLocalUnicast() && s.Network.Addr().Is6():
			if s.Interface == "" {
				bad(fmt.Errorf("via: %s is link-local: it needs interface", s.Via))
			}
		case s.Via.IsValid():
			if err := checkAddr(s.Via, s.Network.Addr().Is4()); err != nil {
				bad(fmt.Errorf("via: %w", err))
			}
		case s.OnLink:
			bad(errors.New("onlink needs via, the gateway's address"))
		case s.Interface == "":
			bad(errors.New("expected via, the gateway's address, or interface, or connected"))
		}
	}
	return errors.Join(errs...)
}

func (c Config) validateOriginate() error {
	var errs []error
	static := map[netip.Prefix]bool{}
	for _, s := range c.Static {
		static[s.Network] = true
	}
	seen := map[netip.Prefix]bool{}
	for i, o := range c.Originate {
		bad := func(err error) { errs = append(errs, fmt.Errorf("originate[%d] (%s): %w", i, text(o.Network), err)) }
		switch {
		case seen[o.Network]:
			bad(errors.New("the network is there twice"))
		case !static[o.Network]:
			bad(errors.New("no entry of static has this network, so it would never be announced; add it to static"))
		}
		seen[o.Network] = true
		if err := between("med", o.MED, 0, 1<<32-1); err != nil {
			bad(err)
		}
	}
	return errors.Join(errs...)
}

func (c Config) validateOwners() error {
	var errs []error
	owner, at := map[netip.Prefix]plan.AS{}, map[plan.AS]bool{}
	for i, o := range c.Owners {
		bad := func(err error) { errs = append(errs, fmt.Errorf("owners[%d] (AS %d): %w", i, o.AS, err)) }
		if err := checkAS(o.AS); err != nil {
			bad(err)
		}
		if at[o.AS] {
			bad(errors.New("the AS is there twice; list all its networks in one entry"))
		}
		at[o.AS] = true
		if o.Site != "" {
			if err := checkName(labelName, o.Site, "letters, digits, '_', '.' and '-'"); err != nil {
				bad(fmt.Errorf("site: %w", err))
			}
		}
		for _, n := range o.Networks {
			if err := checkPrefix(n); err != nil {
				bad(err)
			} else if as, taken := owner[n]; taken {
				bad(fmt.Errorf("%s belongs to AS %d already; a prefix has one owner", n, as))
			}
			owner[n] = o.AS
		}
	}
	return errors.Join(errs...)
}

func (c Config) validateNeighbors() error {
	var errs []error
	seen := map[string]bool{}
	for i, n := range c.Neighbors {
		bad := func(field string, err error) {
			if err != nil {
				errs = append(errs, fmt.Errorf("neighbors[%d] (%q): %s: %w", i, n.Name, field, err))
			}
		}
		once := func(field, value string) {
			if seen[field+value] {
				bad(field, fmt.Errorf("%s is used by another neighbor too", value))
			}
			seen[field+value] = true
		}
		bad("name", checkProtocolName(n.Name))
		if n.Router != "" {
			bad("router", checkName(labelName, n.Router, "letters, digits, '_', '.' and '-'"))
		}
		bad("interface", checkName(interfaceName, n.Interface, "the name of a network interface"))
		bad("address", checkAddr(n.Address, true))
		bad("local_address", checkAddr(n.LocalAddress, true))
		if n.Address6.IsValid() || n.LocalAddress6.IsValid() {
			bad("address6", checkAddr(n.Address6, false))
			bad("local_address6", checkAddr(n.LocalAddress6, false))
		}
		if n.Address == n.LocalAddress || (n.Dual() && n.Address6 == n.LocalAddress6) {
			bad("address", errors.New("both ends have the same address"))
		}
		bad("as", checkAS(n.AS))
		bad("import_limit", between("routes", n.ImportLimit, 0, 1<<31-1))
		once("name", n.Name)
		once("interface", n.Interface)
		once("address", text(n.Address))
	}
	return errors.Join(errs...)
}

func checkAS(as plan.AS) error {
	// 0, 23456 and the last of each range mean something else (RFC 7607, 6793, 7300).
	if as <= 0 || as >= 1<<32-1 || as == 23456 || as == 65535 {
		return fmt.Errorf(
			"expected an AS number, for a private one 64512 to 65534 or 4200000000 to 4294967294, got %d", as)
	}
	return nil
}

// checkPrefix takes a network that a site may have and announce.
func checkPrefix(p netip.Prefix) error {
	switch a := p.Addr(); {
	case !p.IsValid():
		return errors.New("expected a network such as 10.1.0.0/16")
	case p != p.Masked():
		return fmt.Errorf("%s has bits beyond its length; expected %s", p, p.Masked())
	case p.Bits() == 0:
		return fmt.Errorf("%s is the default route, which no site owns", p)
	case a.Is4In6(), a.IsLoopback(), a.IsMulticast(), a.IsLinkLocalUnicast(), a.IsUnspecified():
		return fmt.Errorf("%s is not a network of a site", p)
	}
	return nil
}

func checkAddr(a netip.Addr, v4 bool) error {
	family := "IPv6"
	if v4 {
		family = "IPv4"
	}
	if a.Is4() != v4 || !a.IsValid() || a.Is4In6() || a.Zone() != "" ||
		a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || (a.IsLinkLocalUnicast() && !v4) {
		return fmt.Errorf("expected an %s address, got %q", family, text(a))
	}
	return nil
}

func between(what string, n, low, high int) error {
	if n < low || n > high {
		return fmt.Errorf("%s: expected %d to %d, got %d", what, low, high, n)
	}
	return nil
}

// text prints an address or a network, and nothing for the zero value.
func text(v interface {
	IsValid() bool
	String() string
},
) string {
	if !v.IsValid() {
		return ""
	}
	return v.String()
}

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
