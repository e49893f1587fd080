package wg

import (
	"os"
	"path/filepath"

	"github.com/wgmesh/router/pkg/atomicfile"
	"github.com/wgmesh/router/pkg/mark"
)

// networkdFolder is where systemd-networkd reads files from. Where it is not there, neither is
// networkd.
const networkdFolder = "/etc/systemd/network"

// networkdPath sorts before other files: networkd takes the first one that fits an interface.
func networkdPath(folder, name string) string {
	return filepath.Join(folder, "00-wgmesh-"+name+".network")
}

// networkdText has networkd leave an interface alone. Some hosts have a file for whatever
// interface there is ("Name=*"). By that networkd takes the addresses of a tunnel away at its
// next start (seen with systemd 257), or when it is told to reload (252). It reads this one then,
// too, so nobody has to tell it before.
func networkdText(name string) string {
	return "# Written by the Ansible module wgmesh.router.wg_tunnel.\n[Match]\nName=" + name +
		"\n\n[Link]\nUnmanaged=yes\n"
}

// leftAlone reports whether networkd will leave an interface alone.
func (h *Host) leftAlone(name string) (bool, error) {
	if h.networkd == "" {
		return true, nil
	}
	path := networkdPath(h.networkd, name)
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return false, err
	}
	return string(text) == networkdText(name), mark.Foreign(path, text)
}

// leaveAlone writes the file for it.
func (h *Host) leaveAlone(name string) error {
	if h.networkd == "" {
		return nil
	}
	return atomicfile.Write(networkdPath(h.networkd, name), []byte(networkdText(name)), 0o644)
}
