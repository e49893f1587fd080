package sysctl

import (
	"fmt"
	"strconv"
	"strings"
)

// Ports is a set of UDP and TCP ports, 1 to 65535, as
// net.ipv4.ip_local_reserved_ports holds it: a bitmap in the kernel too.
type Ports struct{ bits [1024]uint64 }

// ParsePorts reads the kernel's notation: "51801-51806,51810". White space and
// empty items are allowed, as in the kernel (proc_do_large_bitmap).
func ParsePorts(text string) (Ports, error) {
	var p Ports
	for _, item := range strings.FieldsFunc(text, func(r rune) bool {
		return r == ',' || r == ' ' || r == '\t' || r == '\n'
	}) {
		first, last, isRange := strings.Cut(item, "-")
		lo, err := parsePort(first)
		if err != nil {
			return Ports{}, fmt.Errorf("port range %q: %w", item, err)
		}
		hi := lo
		if isRange {
			if hi, err = parsePort(last); err != nil {
				return Ports{}, fmt.Errorf("port range %q: %w", item, err)
			}
		}
		if hi < lo {
			return Ports{}, fmt.Errorf("port range %q: expected the lower port first", item)
		}
		for port := lo; port <= hi; port++ {
			p.add(port)
		}
	}
	return p, nil
}

func parsePort(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("expected a port from 1 to 65535, got %q", text)
	}
	return int(n), nil
}

// String is the kernel's own form: sorted, without overlaps, neighbours joined
// to ranges. Two ports side by side are a range too.
func (p Ports) String() string {
	var out []string
	for port := 1; port <= 65535; port++ {
		if !p.has(port) {
			continue
		}
		first := port
		for port < 65535 && p.has(port+1) {
			port++
		}
		if first == port {
			out = append(out, strconv.Itoa(port))
		} else {
			out = append(out, fmt.Sprintf("%d-%d", first, port))
		}
	}
	return strings.Join(out, ",")
}

// Union returns the ports that are in p or in q.
func (p Ports) Union(q Ports) Ports {
	for i := range p.bits {
		p.bits[i] |= q.bits[i]
	}
	return p
}

// Minus returns the ports of p that are not in q.
func (p Ports) Minus(q Ports) Ports {
	for i := range p.bits {
		p.bits[i] &^= q.bits[i]
	}
	return p
}

// Contains reports whether every port of q is in p.
func (p Ports) Contains(q Ports) bool { return q.Minus(p) == Ports{} }

func (p *Ports) add(port int) { p.bits[port/64] |= 1 << (port % 64) }

// has is asked 65535 times in a row, and a copy of p has 8 KiB.
func (p *Ports) has(port int) bool { return p.bits[port/64]&(1<<(port%64)) != 0 }
