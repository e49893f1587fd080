// Package wg brings the WireGuard interfaces of one router to a wanted state,
// field by field and without ever bouncing an interface that works.
//
// The state has two halves that are compared alone: what the kernel (or wireguard-go) holds now,
// and what the host brings up at boot (a wg-quick file and its systemd unit). Observe reads both,
// Diff is pure, Apply makes the changes of a Delta and decides nothing.
//
// No secret is in a type of this package that leaves it: private and pre-shared
// keys are named by the path of their file; Have holds fingerprints of them.
package wg

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/wgmesh/router/pkg/mark"
	"github.com/wgmesh/router/pkg/order"
	"github.com/wgmesh/router/pkg/plan"
)

// Have is what a router has now, as far as a Want is about it.
type Have struct {
	PublicKey     plan.PublicKey         // of the private key file; zero: there is no such file yet
	PresharedKeys map[string]Fingerprint // by path; missing: there is no such file yet
	Unreadable    map[string]error       // pre-shared key files that cannot be used, by path
	Interfaces    map[string]Interface   // wanted ones, and those we made
	Ports         map[int]string         // wanted UDP ports that something else holds, and who
	Elsewhere     map[netip.Addr]string  // addresses of all other interfaces, and their names
	MSS           MSS
	Unloaded      []string // files of Want.Tables that are there, while their tables are not; sorted
	Boot          Boot
	Systemd       bool      // units are managed
	Now           time.Time // when it was observed
}

// An Interface is what one interface has now. Any part of it may be missing.
type Interface struct {
	File   *File
	Unit   Unit
	Link   *Link
	Device *Device // nil: no link, nothing answers for it, or it is not known
	Silent error   // why it is not known
}

// A File is a wg-quick file. Text is empty unless the file is Ours: others hold private keys.
type File struct {
	Ours    bool
	Blank   bool   // it holds nothing, or a piece of our mark: what a power cut left
	Text    string //
	Copy    string // of the file beside it, from which a damaged one is put back at boot
	Damaged string // path of a damaged one that was replaced; empty: none
}

// record is the text that says whom the tunnel had last.
func (f File) record() string {
	if !strings.HasSuffix(f.Text, end) && strings.HasSuffix(f.Copy, end) {
		return f.Copy
	}
	return f.Text
}

// A Unit is the state of wg-quick@NAME.service; zero without systemd.
type Unit struct {
	Enabled bool
	Failed  bool
}

// A Link is the network side of an interface.
type Link struct {
	Kind      string // wireguard, tun, or what else it is
	Up        bool
	MTU       int            // bytes
	Addresses []netip.Prefix // without automatic link-local ones
}

// The kinds of link a WireGuard interface can have.
const (
	kindKernel    = "wireguard"
	kindUserspace = "tun"
)

// A Device is the WireGuard side of an interface.
type Device struct {
	PublicKey  plan.PublicKey // zero: no private key
	ListenPort int
	Peers      []LivePeer
}

// A LivePeer is a peer as the kernel or wireguard-go has it.
type LivePeer struct {
	PublicKey           plan.PublicKey
	PresharedKey        Fingerprint
	Endpoint            netip.AddrPort // follows the peer when it roams
	AllowedIPs          []netip.Prefix // sorted
	PersistentKeepalive int            // seconds
	LastHandshake       time.Time      // zero: never
	Received            int64          // bytes, handshakes among them
}

// MSS is the nftables table that clamps TCP MSS.
type MSS struct {
	Live string // summary of the table in the kernel; empty: none
	File string // text of its file; empty: none
}

// A Reader looks at a host. It never writes.
type Reader interface {
	// Files returns every wg-quick file by interface name.
	Files() (map[string]File, error)
	// Links returns every network interface by name.
	Links() (map[string]Link, error)
	// Device asks the kernel or wireguard-go; the error is fs.ErrNotExist when
	// nothing answers for name.
	Device(name string) (Device, error)
	// Ports says who holds which of these UDP ports, but for the WireGuard
	// interfaces with the given names.
	Ports(ports []int, except []string) (map[int]string, error)
	// Units returns the units of these interfaces, nil without systemd.
	Units(ctx context.Context, names []string) (map[string]Unit, error)
	// PublicKey returns the public half of a private key file. The error is
	// fs.ErrNotExist when there is none.
	PublicKey(path string) (plan.PublicKey, error)
	// Fingerprint returns that of a pre-shared key file. The error is
	// fs.ErrNotExist when there is none.
	Fingerprint(path string) (Fingerprint, error)
	// MSS returns the table and its file.
	MSS(ctx context.Context) (MSS, error)
	// Unloaded returns the files that are there while their tables are not, of the
	// files of tables by the tables' names.
	Unloaded(ctx context.Context, tables map[string]string) ([]string, error)
	// Boot tells how much of the units' drop-in is in place.
	Boot() (Boot, error)
}

// A Writer changes a host. Each method does one thing and may be repeated.
type Writer interface {
	WriteFile(name, text string) error
	RemoveFile(name string) error
	// Enable makes the interfaces come up at boot; Reset forgets that their
	// units failed. Both do nothing without systemd.
	Enable(ctx context.Context, names []string) error
	Reset(ctx context.Context, names []string) error
	// Start brings up interfaces that are not there from their files. The
	// errors are by name; interfaces that came up are not in it.
	Start(ctx context.Context, names []string) map[string]error
	// Create makes interfaces that are not there, and nothing on them: a port, a
	// key and peers have to come from Configure. The errors are as Start's.
	Create(ctx context.Context, names []string) map[string]error
	// Stop takes an interface away, now and at boot. One that is not there is no error.
	Stop(ctx context.Context, name string) error
	DeleteLink(name string) error
	SetMTU(name string, mtu int) error
	SetUp(name string) error
	AddAddress(name string, a netip.Prefix) error // present already is not an error
	RemoveAddress(name string, a netip.Prefix) error
	// Configure makes all changes in one message.
	Configure(name string, c DeviceChange) error
	// Announce has the peers of c know the private key of c, and sends them no packet yet.
	Announce(name string, c DeviceChange) error
	// SetMSS writes the file, empty: removes it; and loads it, or removes the table.
	SetMSS(ctx context.Context, text string) error
	// LoadTable loads a file of nftables.
	LoadTable(ctx context.Context, file string) error
	// SetBoot writes the units' drop-in, or removes it.
	SetBoot(ctx context.Context, present bool) error
	// UsableKey reports that a key file is missing or not usable.
	UsableKey(path string) error
}

// stale are the interfaces made for the mesh of w that w does not name.
func (s Have) stale(w Want) []string {
	wanted := w.names()
	var out []string
	for _, name := range sortedKeys(s.Interfaces) {
		i := s.Interfaces[name]
		if _, ok := wanted[name]; !ok && w.purges(name, i.File) {
			out = append(out, name)
		}
	}
	return out
}

// Damaged lists the files that a power cut or an accident damaged, and that
// were put back from their copies at boot, sorted.
func Damaged(s Have) []string {
	var out []string
	for _, name := range sortedKeys(s.Interfaces) {
		if f := s.Interfaces[name].File; f != nil && f.Damaged != "" {
			out = append(out, f.Damaged)
		}
	}
	return out
}

// blank reports whether a file that starts like this is nobody's: it is empty or
// all zero, or breaks off within our mark.
func blank(start string) bool {
	return strings.HasPrefix(Mark, start) || strings.Trim(start, "\x00") == ""
}

func ours(text string) bool { return strings.HasPrefix(text, Mark) }

// Want is everything one call asks for.
type Want struct {
	Tunnels        []plan.Tunnel
	PrivateKeyFile string                    // of this router, for all tunnels
	PublicKeys     map[string]plan.PublicKey // by peer name, as the peers told them; zero or missing: not known yet
	// by peer name: why what it told is not used; it keeps the key that it has
	Refused    map[string]string
	mark.Owner          // for whom the tunnels are
	Removed    []string // peers that are out of the mesh
	Handover   []string // peers whose former key goes on until they use the new one
	// how long packets wait for the peers to know a new key of this router; 0: not at all
	Hold            time.Duration
	Purge           bool   // remove what was made for this mesh and is no longer wanted
	Stale           *Gone  // with Purge: nothing but this
	Replace         bool   // without Purge: only what is in the way of a wanted interface
	MSSClamp        bool   // keep the nftables table that clamps TCP MSS
	Input           string // InputAccept, InputMesh; empty: as the other tunnels here
	InputPorts      []int  // TCP ports that InputMesh leaves open besides
	InterfacePrefix string // interfaces the clamp is for, such as wg
	Directory       string // of the wg-quick files, such as /etc/wireguard
	// tables of nftables that others of this project keep, and their files, where they are
	Tables map[string]string
}

// told reports whether the key of p is the peer's own word, and not that of who
// wrote the tunnel down.
func (w Want) told(p plan.Peer) bool { return p.PublicKey.IsZero() }

// keyOf returns the public key to use for p, zero when it is not known.
func (w Want) keyOf(p plan.Peer) plan.PublicKey {
	if !w.told(p) {
		return p.PublicKey
	}
	if w.Refused[p.Name] != "" {
		return plan.PublicKey{}
	}
	return w.PublicKeys[p.Name]
}

// sorted returns a sorted copy of list without repeats.
func sorted(list []netip.Prefix) []netip.Prefix {
	list = slices.Clone(list)
	order.By(list, comparePrefix)
	return slices.Compact(list)
}

// networks is sorted with host bits cleared, as WireGuard stores allowed IPs.
func networks(list []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range list {
		out = append(out, p.Masked())
	}
	return sorted(out)
}

func comparePrefix(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}

func minus(a, b []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range a {
		if !slices.Contains(b, p) {
			out = append(out, p)
		}
	}
	return out
}
