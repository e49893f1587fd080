package wg

import (
	"github.com/wgmesh/router/pkg/mark"

	"github.com/wgmesh/router/pkg/plan"
)

// What the external tests look at from inside.
var (
	Parse      = parse
	Summarise  = summarise
	ParseUnits = parseUnits

	DropIn      = dropIn
	MachineMark = machineMark
)

// Render is the file of a tunnel without an input filter.
func Render(t plan.Tunnel, peers []plan.Peer, privateKeyFile, mssFile string) string {
	return render(mark.Owner{}, t, peers, privateKeyFile, tableHook{file: mssFile})
}

// MSSSummary is that of a table with the clamp and the filter that a file has.
func MSSSummary(file string) string { return tableSummary(clamped(file), parseFilter(file)) }

// MSSText is the file of a table with the clamp alone.
func MSSText(prefix string) string { return tableText([]string{prefix}, filter{}) }

// Networkd has a host with networkd, whose files are in a folder.
func (h *Host) Networkd(folder string) { h.networkd = folder }

// ReadKeyFile reads a key file and forgets the key; what it prints as is kept.
func ReadKeyFile(path string) (printed string, err error) {
	key, err := readKeyFile(path)
	defer key.wipe()
	return key.String(), err
}

// SecretOf makes a secret of b, to see how it prints.
func SecretOf(b [32]byte) any { return secret(b) }
