// Package sysctl plans and applies the kernel parameters of a router: the forwarding profile, now
// (/proc/sys) and at boot (a drop-in for sysctl.d(5)). It also finds what defeats the profile:
// files that are read later than the drop-in, and values of single interfaces.
//
// A parameter that it no longer wants gets its former value, which the drop-in records.
// Only the module sysctl_router calls it.
package sysctl

import (
	"cmp"
	"strings"

	"github.com/wgmesh/router/pkg/order"
)

// A Key is a parameter as a path below /proc/sys, for example net/ipv4/conf/eth0.100/rp_filter. The
// path form is the only one in which an interface name with a dot is not ambiguous.
type Key string

// ParseKey reads a key as sysctl.d(5) writes it. The first separator decides: after a slash, dots
// are part of the name; after a dot, dots separate and a slash stands for a dot.
func ParseKey(text string) Key {
	if i := strings.IndexAny(text, "./"); i < 0 || text[i] == '/' {
		return Key(strings.TrimPrefix(text, "/"))
	}
	return Key(swap.Replace(text))
}

// String is the dotted form that sysctl(8) prints: net.ipv4.conf.eth0/100.rp_filter.
func (k Key) String() string { return swap.Replace(string(k)) }

var swap = strings.NewReplacer(".", "/", "/", ".")

// Settings maps a key to the text the kernel prints for it, with inner white
// space made single spaces.
type Settings map[Key]string

// A Change moves one key from Old to New. Old is empty when the key was unset.
type Change struct {
	Key      Key
	Old, New string
}

// Changes lists the changes that take have to want. Keys that only have holds are left alone. The
// switches for forwarding come early, because the kernel resets other parameters when they change
// (ip-sysctl.rst, ip_forward: "its change resets all configuration parameters to their default
// state"), and after what they are not to take away with them; the rest is sorted by key.
func Changes(want, have Settings) []Change {
	var delta []Change
	for k, v := range want {
		if old, ok := have[k]; !ok || old != v {
			delta = append(delta, Change{Key: k, Old: old, New: v})
		}
	}
	order.By(delta, func(a, b Change) int {
		return cmp.Or(cmp.Compare(a.turn(), b.turn()), strings.Compare(string(a.Key), string(b.Key)))
	})
	return delta
}

func (c Change) turn() int {
	switch {
	case strings.HasSuffix(string(c.Key), suffixAccept) && c.New == "2":
		return 0
	case isForwarding(c.Key):
		return 1
	}
	return 2
}

func isForwarding(k Key) bool { return k == keyForward4 || k == keyForward6 }

// normal is the text of a value as this package compares it. The kernel
// separates several numbers by tabs, people by spaces.
func normal(value string) string { return strings.Join(strings.Fields(value), " ") }
