package sysctl

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Host is a Linux host.
type Host struct {
	// Root is where the host's file system starts: "/", or a test's folder.
	Root string
}

// A value is one parameter as found.
type value struct {
	text     string
	present  bool
	writable bool
}

func (h Host) read(k Key) (value, error) {
	path := h.path("proc/sys/" + string(k))
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return value{}, nil
	case err != nil:
		return value{}, fmt.Errorf("sysctl %s: %w", k, err)
	}
	// The mode bits tell of a parameter that is not this network namespace's
	// to set, access(2) of a read-only mount (most containers) and of rights.
	info, err := os.Stat(path)
	if err != nil {
		return value{}, fmt.Errorf("sysctl %s: %w", k, err)
	}
	writable := info.Mode()&0o200 != 0 && unix.Access(path, unix.W_OK) == nil
	return value{text: normal(string(data)), present: true, writable: writable}, nil
}

// interfaces lists the network interfaces of /proc/sys/net/ipv4/conf, without
// the loopback interface.
func (h Host) interfaces() ([]string, error) {
	entries, err := os.ReadDir(h.path("proc/sys/" + prefixConf4))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if n := e.Name(); n != pseudoAll && n != pseudoDefault && n != "lo" {
			names = append(names, n)
		}
	}
	return names, nil
}

// advertised lists accept_ra of the interfaces that have a route, to everywhere or to their
// network, from a router advertisement which the kernel will take no more once it forwards
// (ip-sysctl.rst, accept_ra: 1 is "Accept Router Advertisements if forwarding is disabled"); and
// those that we set before, as the drop-in says. Where it is 0, none are taken, or by systemd-networkd
// or NetworkManager, whose routes are none of the kernel's and which do not ask whether it forwards.
func (h Host) advertised(own dropin) ([]Key, error) {
	data, err := os.ReadFile(h.path("proc/net/ipv6_route"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var candidates []string
	for line := range strings.Lines(string(data)) {
		// destination, its length, source, its length, next hop, metric,
		// references, use, flags, interface: all numbers are hexadecimal.
		f := strings.Fields(line)
		if len(f) < 10 {
			continue
		}
		const addrconf = 0x00040000 // RTF_ADDRCONF of linux/ipv6_route.h
		if flags, err := strconv.ParseUint(f[8], 16, 32); err == nil && flags&addrconf != 0 {
			candidates = append(candidates, f[9])
		}
	}
	for k := range own.former {
		if name, accept := strings.CutSuffix(string(k), suffixAccept); accept {
			candidates = append(candidates, strings.TrimPrefix(name, prefixConf6))
		}
	}
	found := map[Key]bool{}
	for _, name := range candidates {
		k := Key(prefixConf6 + name + suffixAccept)
		now, err := h.read(k)
		if err != nil {
			return nil, err
		}
		if _, ours := own.former[k]; checkInterface(name) == nil && (now.text == "1" || ours && now.text != "0") {
			found[k] = true
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

func (h Host) path(path string) string { return filepath.Join(h.Root, path) }
