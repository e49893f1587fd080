package sysctl

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const (
	keyForward4   Key = "net/ipv4/ip_forward"
	keyForward6   Key = "net/ipv6/conf/all/forwarding"
	keyPorts      Key = "net/ipv4/ip_local_reserved_ports"
	keyRmemDef    Key = "net/core/rmem_default"
	keyRmemMax    Key = "net/core/rmem_max"
	keyWmemMax    Key = "net/core/wmem_max"
	prefixConf4       = "net/ipv4/conf/"
	prefixConf6       = "net/ipv6/conf/"
	nameMax           = 15 // IFNAMSIZ - 1
	pseudoAll         = "all"
	pseudoDefault     = "default"

	// A redirect tells a node that the other router of the site is shorter;
	// that choice is BGP's. "send_redirects for the interface will be enabled
	// if at least one of conf/{all,interface}/send_redirects is set to TRUE",
	// so this one is set on every interface there is.
	suffixSend = "/send_redirects"

	suffixStrict = "/rp_filter"

	// "2 - Overrule forwarding behaviour. Accept Router Advertisements even if forwarding is
	// enabled." With 1 the kernel takes none once it forwards, and gives up at once what it learned.
	suffixAccept = "/accept_ra"
)

// A Profile is what makes a Linux host a router of tunnels. Every key it leads
// to is explained in Settings.
type Profile struct {
	// Mesh is the one that the router is in. Empty keeps that of the drop-in.
	Mesh string `json:"mesh"`
	// IPv6 adds forwarding of IPv6. Nil keeps what the drop-in says.
	IPv6 *bool `json:"ipv6"`
	// Interfaces get their own rp_filter besides those of "all" and "default".
	// They need not exist yet. Nil keeps the interfaces of the drop-in.
	Interfaces []string `json:"interfaces"`
	// ReservedPorts are never given to a socket that asked for any port. Nil
	// keeps the ports of the drop-in.
	ReservedPorts *Ports `json:"-"`
	// The least socket buffers in bytes; 0 leaves the parameter alone.
	RmemDefault int `json:"rmem_default"`
	RmemMax     int `json:"rmem_max"`
	WmemMax     int `json:"wmem_max"`
}

// Validate lists everything that is wrong with p.
func (p Profile) Validate() error {
	var errs []error
	for _, name := range p.Interfaces {
		if err := checkInterface(name); err != nil {
			errs = append(errs, err)
		}
	}
	for _, b := range p.buffers() {
		// The kernel refuses less than 2048+ bytes and more than an int32.
		if b.least != 0 && (b.least < 4096 || b.least > 1<<31-1) {
			errs = append(errs,
				fmt.Errorf("%s: expected 0 (leave it alone) or 4096 to 2147483647 bytes, got %d", b.key, b.least))
		}
	}
	return errors.Join(errs...)
}

func checkInterface(name string) error {
	bad := strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r > '~' || r == '/' || r == '*' || r == '?' || r == '[' || r == '=' || r == '#'
	})
	switch {
	case name == "" || len(name) > nameMax || bad || name == "." || name == "..":
		return fmt.Errorf("interface %q: expected a network interface name of 1 to %d characters, "+
			"without a slash or a pattern", name, nameMax)
	case name == pseudoAll || name == pseudoDefault:
		return fmt.Errorf("interface %q: always part of the profile, name real interfaces only", name)
	}
	return nil
}

type buffer struct {
	key   Key
	least int
}

// The buffers are larger because all traffic of a router is UDP: a userspace
// WireGuard asks for 7 MiB (wireguard-go conn/controlfns.go) and gets at most
// rmem_max and wmem_max; the kernel's own sockets, and every daemon that asks
// for nothing, start with rmem_default (Documentation/admin-guide/sysctl/net.rst).
func (p Profile) buffers() []buffer {
	return []buffer{{keyRmemDef, p.RmemDefault}, {keyRmemMax, p.RmemMax}, {keyWmemMax, p.WmemMax}}
}

// Settings are the fixed values of the profile: everything but the reserved
// ports and the buffers, which depend on what is there. The quotations are
// from the kernel's Documentation/networking/ip-sysctl.rst.
func (p Profile) Settings() Settings {
	s := Settings{
		// "Forward Packets between interfaces."
		keyForward4: "1",
		// Two equal paths shall carry different flows: "1 - Layer 4". With
		// Layer 3, the default, everything between two hosts shares one.
		"net/ipv4/fib_multipath_hash_policy": "1",
		// The router's own TCP (BGP, SSH) finds a smaller path when the ICMP that says so is
		// filtered: "1 - Disabled by default, enabled when an ICMP black hole detected".
		"net/ipv4/tcp_mtu_probing": "1",
		// BIRD binds the socket of a BFD session once, when it hears of the address of the tunnel,
		// and the kernel tells it a moment before one can bind to that (net/ipv4/devinet.c,
		// __inet_insert_ifa): "allows processes to bind() to non-local IP addresses". Without it
		// such a session sends nothing until BGP is restarted, while BGP is well.
		"net/ipv4/ip_nonlocal_bind": "1",
	}
	if p.IPv6 != nil && *p.IPv6 {
		// "Enable global IPv6 forwarding between all interfaces"; ip_forward
		// is for IPv4 only. Redirects need no key: with forwarding on, the
		// kernel takes none (net/ipv6/route.c, rt6_do_redirect).
		s[keyForward6] = "1"
		s["net/ipv6/fib_multipath_hash_policy"] = "1"
		s["net/ipv6/ip_nonlocal_bind"] = "1"
	}
	for _, name := range append([]string{pseudoAll, pseudoDefault}, p.Interfaces...) {
		conf := Key(prefixConf4 + name)
		// With redundant tunnels the way out and the way back differ. "The max value from
		// conf/{all,interface}/rp_filter is used when doing source validation": so all must be 0,
		// and the interface too. Interfaces still to come start with default's.
		s[conf+"/rp_filter"] = "0"
		// "accept_redirects for the interface will be enabled if both
		// conf/{all,interface}/accept_redirects are TRUE in the case forwarding for the interface
		// is enabled": all would do, but nothing says that an interface keeps forwarding.
		s[conf+"/accept_redirects"] = "0"
		s[conf+suffixSend] = "0"
	}
	return s
}

// atLeast returns the wanted text of a buffer: the option, or what is there
// already when that is more. Somebody else may have had a reason.
func atLeast(least int, there ...string) string {
	most := least
	for _, text := range there {
		if n, err := strconv.Atoi(text); err == nil && n > most {
			most = n
		}
	}
	return strconv.Itoa(most)
}
