package profile

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Parse reads lab_host: the name of a profile, a list of names, or keys with the
// names under `profile`. What is said later wins; maps and lists grow.
func Parse(v any) (Profile, error) {
	var p Profile
	var err error
	if m, ok := v.(map[string]any); ok {
		keys := slices.DeleteFunc(slices.Sorted(maps.Keys(m)), func(k string) bool { return k == "profile" })
		err = errors.Join(p.name(m["profile"]), p.read(keys, m))
	} else {
		err = p.name(v)
	}
	err = errors.Join(err, p.fits())
	if p.Metric == 0 && p.Client != "" && p.Client != "ifupdown" {
		p.Metric = 100 // what follows from the rest
	}
	return p, err
}

// name takes over the profiles of these names.
func (p *Profile) name(v any) error {
	names, ok := v.([]any)
	if !ok && v != nil {
		names = []any{v}
	}
	var bad []error
	for _, n := range names {
		s, ok := n.(string)
		if _, known := named[s]; !ok || !known {
			bad = append(bad, fmt.Errorf("lab_host: %v is not a profile; internal/lab/README.md has them all", n))
			continue
		}
		bad = append(bad, p.read(slices.Sorted(maps.Keys(named[s])), named[s]))
	}
	return errors.Join(bad...)
}

// Names lists the profiles.
func Names() []string { return slices.Sorted(maps.Keys(named)) }

func (p *Profile) read(keys []string, from map[string]any) error {
	var bad []error
	for _, key := range keys {
		if err := p.set(key, from[key]); err != nil {
			bad = append(bad, fmt.Errorf("lab_host.%s: %w", key, err))
		}
	}
	return errors.Join(bad...)
}

func (p *Profile) set(key string, v any) (err error) {
	switch key {
	case "suite":
		p.Suite, err = oneOf(v, "bookworm", "trixie", "jammy", "noble")
	case "packages":
		var names []string
		names, err = texts(v, debian, "the name of a package")
		p.Packages = append(p.Packages, names...)
	case "client":
		p.Client, err = oneOf(v, Clients...)
	case "dhcp":
		p.DHCP, err = truth(v)
	case "metric":
		p.Metric, err = whole(v, 1<<31-1)
	case "nics":
		p.NICs, err = whole(v, 2)
	case "policy_rules":
		p.PolicyRules, err = truth(v)
	case "ip":
		var lines []string
		lines, err = texts(v, ipLine, "a line for ip(8) that begins with rule, route, link or address")
		p.IP = append(p.IP, lines...)
	case "lan_gateway":
		p.LANGateway, err = truth(v)
	case "forward_ports":
		p.Forwarded, err = ports(v)
	case "forward":
		p.Forward, err = oneOf(v, "docker", "ufw", "docker-package", "ufw-package")
	case "forward_open":
		p.ForwardOpen, err = truth(v)
	case "nftables":
		p.NFTables, err = truth(v)
	case "wireguard":
		err = p.tunnels(v)
	case "bgp":
		p.BGP, err = oneOf(v, "bird", "frr")
	case "bgp_port":
		p.BGPPort, err = whole(v, 65535)
	case "sysctl":
		err = p.sysctls(v)
	case "sysctl_file":
		p.SysctlFile, err = match(v, sysctlFile, "the name of a file such as 60-lab.conf")
	case "ipv6":
		var on bool
		on, err = truth(v)
		p.NoIPv6 = !on
	case "login":
		p.Login, err = match(v, login, "a name of small letters and digits")
	case "sudo":
		p.Sudo, err = oneOf(v, "nopasswd", "requiretty", "password")
	default:
		return fmt.Errorf("no such key; internal/lab/README.md has them all")
	}
	return err
}

var (
	debian     = regexp.MustCompile(`^[a-z0-9][a-z0-9.+-]+$`)
	ipLine     = regexp.MustCompile(`^(-6 )?(rule|route|link|addr|address) [^\n]+$`)
	portRange  = regexp.MustCompile(`^(\d{1,5})-(\d{1,5})(?::(\d{1,5}))?$`)
	sysctlKey  = regexp.MustCompile(`^net\.[A-Za-z0-9_.*-]+$`)
	sysctlFile = regexp.MustCompile(`^[A-Za-z0-9_.-]+\.conf$`)
	login      = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`)
	iface      = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,15}$`)
)

// ports reads FIRST-LAST or FIRST-LAST:TO. The lab writes a line of nft for each.
func ports(v any) (Ports, error) {
	var p Ports
	const most = 512
	m := portRange.FindStringSubmatch(text(v))
	if m != nil {
		p.First, _ = strconv.Atoi(m[1])
		p.Last, _ = strconv.Atoi(m[2])
		p.To, _ = strconv.Atoi(m[3])
		if m[3] == "" {
			p.To = p.First
		}
	}
	if n := p.Last - p.First; m == nil || p.First < 1 || p.To < 1 || n < 0 || n >= most ||
		p.Last > 65535 || p.To+n > 65535 {
		return Ports{}, fmt.Errorf("%v: want at most %d ports, such as 51800-51899, or 52800-52899:51800", v, most)
	}
	return p, nil
}

func (p *Profile) tunnels(v any) error {
	m, ok := v.(map[string]any)
	if !ok {
		return fmt.Errorf("%v: want interfaces and their ports, such as {tailscale0: 41641}", v)
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		t := Tunnel{Name: name}
		port := m[name]
		if more, ok := port.(map[string]any); ok {
			for k := range more {
				if k != "port" && k != "quick" {
					return fmt.Errorf("%s.%s: no such key; there are port, quick", name, k)
				}
			}
			port = more["port"]
			var err error
			if more["quick"] != nil {
				if t.Quick, err = truth(more["quick"]); err != nil {
					return fmt.Errorf("%s.quick: %w", name, err)
				}
			}
		}
		n, err := whole(port, 65535)
		if err != nil || !iface.MatchString(name) {
			return fmt.Errorf("%s: %v: want an interface of at most 15 letters and its port", name, port)
		}
		t.Port = n
		p.WireGuard = slices.DeleteFunc(p.WireGuard, func(o Tunnel) bool { return o.Name == name })
		p.WireGuard = append(p.WireGuard, t)
	}
	return nil
}

func (p *Profile) sysctls(v any) error {
	m, ok := v.(map[string]any)
	if !ok {
		return fmt.Errorf("%v: want keys and values, such as {net.ipv4.conf.all.rp_filter: 1}", v)
	}
	if p.Sysctl == nil {
		p.Sysctl = map[string]string{}
	}
	for k, value := range m {
		if !sysctlKey.MatchString(k) {
			return fmt.Errorf("%s: want a key below net, since the others are the machine's", k)
		}
		s := text(value)
		if s == "" || strings.ContainsAny(s, "\n") {
			return fmt.Errorf("%s: %v: want a number or a word", k, value)
		}
		p.Sysctl[k] = s
	}
	return nil
}

// fits refuses what cannot be had together.
func (p Profile) fits() error {
	var bad []error
	refuse := func(is bool, key, why string) {
		if is {
			bad = append(bad, fmt.Errorf("lab_host.%s: %s", key, why))
		}
	}
	refuse(p.DHCP && p.Client == "", "dhcp", "wants a client that asks: "+strings.Join(Clients, ", "))
	refuse(p.Client == "ifupdown" && p.Metric > 0, "metric", "ifupdown gives a connected route none")
	refuse(len(p.IP) > 0 && (p.Client == "networkd" || p.Client == "netplan"), "ip",
		"networkd removes at its start what it does not know; leave client out")
	refuse(p.LANGateway && (p.Client != "" || p.NICs > 1 || p.PolicyRules), "lan_gateway",
		"has its own two NICs: leave client, nics and policy_rules out")
	refuse(p.ForwardOpen && p.Forward == "", "forward_open", "wants forward, which says whose rules drop")
	refuse(p.BGPPort != 0 && p.BGP == "", "bgp_port", "wants bgp, which says whose port it is")
	refuse(p.SysctlFile != "" && len(p.Sysctl) == 0, "sysctl_file", "wants sysctl, which says what is in the file")
	refuse(p.Sudo != "" && p.Login == "", "sudo", "wants login, the name of who uses it")
	refuse(p.Login == "root", "login", "root needs no sudo; leave it out")
	ports := map[int]string{}
	for _, t := range p.WireGuard {
		other, taken := ports[t.Port]
		refuse(taken, "wireguard", fmt.Sprintf("%s and %s both want port %d", other, t.Name, t.Port))
		ports[t.Port] = t.Name
	}
	return errors.Join(bad...)
}

// text reads a scalar of the inventory.
func text(v any) string {
	switch v := v.(type) {
	case nil, []any, map[string]any:
		return ""
	case string:
		return strings.TrimSpace(v)
	case json.Number:
		return v.String()
	}
	return fmt.Sprint(v)
}

func whole(v any, most int) (int, error) {
	n, err := strconv.Atoi(text(v))
	if err != nil || n < 1 || n > most {
		return 0, fmt.Errorf("%v: want a number from 1 to %d", v, most)
	}
	return n, nil
}

func truth(v any) (bool, error) {
	switch strings.ToLower(text(v)) {
	case "true", "yes", "on":
		return true, nil
	case "false", "no", "off":
		return false, nil
	}
	return false, fmt.Errorf("%v: want true or false", v)
}

func oneOf(v any, words ...string) (string, error) {
	if s := text(v); slices.Contains(words, s) {
		return s, nil
	}
	return "", fmt.Errorf("%v: want one of %s", v, strings.Join(words, ", "))
}

func match(v any, want *regexp.Regexp, what string) (string, error) {
	if s := text(v); want.MatchString(s) {
		return s, nil
	}
	return "", fmt.Errorf("%v: want %s", v, what)
}

func texts(v any, want *regexp.Regexp, what string) ([]string, error) {
	all, ok := v.([]any)
	if !ok {
		all = []any{v}
	}
	var out []string
	for _, e := range all {
		s, err := match(e, want, what)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}
