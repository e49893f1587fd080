package wg_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/wg"
)

// fake is a host with a kernel, files and units in memory. It brings interfaces up from their
// wg-quick files with a reading of its own, and refuses what the real one refuses.
type fake struct {
	systemd bool
	files   map[string]wg.File
	links   map[string]wg.Link
	devices map[string]wg.Device
	units   map[string]wg.Unit
	private map[string]plan.PublicKey // private key files, by what they are the key of
	psks    map[string]wg.Fingerprint // pre-shared key files
	mss     wg.MSS
	mssErr  error    // of nft
	flushed []string // files whose tables are not there
	boot    wg.Boot
	ports   map[int]string // UDP ports that other programs hold
	writes  []string       // every write since the last reset
	failAt  int            // the write that fails, counted from 1
	damaged error          // of the private key file
	pskErr  error          // of a pre-shared key file that is not in psks
	hangs   string         // the interface whose process does not answer
}

var (
	_ wg.Reader = (*fake)(nil)
	_ wg.Writer = (*fake)(nil)

	_ wg.Reverter = (*fake)(nil)
)

var errInjected = errors.New("injected")

func newFake() *fake {
	return &fake{
		systemd: true,
		files:   map[string]wg.File{}, links: map[string]wg.Link{}, devices: map[string]wg.Device{},
		units: map[string]wg.Unit{}, private: map[string]plan.PublicKey{keyPath: keyOf("me")},
		psks: map[string]wg.Fingerprint{},
	}
}

func (f *fake) write(format string, args ...any) error {
	f.writes = append(f.writes, fmt.Sprintf(format, args...))
	if len(f.writes) == f.failAt {
		return errInjected
	}
	return nil
}

func (f *fake) Files() (map[string]wg.File, error) { return maps.Clone(f.files), nil }

func (f *fake) Links() (map[string]wg.Link, error) {
	out := map[string]wg.Link{}
	for name, l := range f.links {
		l.Addresses = slices.Clone(l.Addresses)
		out[name] = l
	}
	return out, nil
}

func (f *fake) Device(name string) (wg.Device, error) {
	d, ok := f.devices[name]
	if name == f.hangs {
		return wg.Device{}, errInjected
	}
	if !ok {
		return wg.Device{}, fs.ErrNotExist
	}
	d.Peers = slices.Clone(d.Peers)
	return d, nil
}

func (f *fake) Units(_ context.Context, names []string) (map[string]wg.Unit, error) {
	if !f.systemd {
		return nil, nil
	}
	out := map[string]wg.Unit{}
	for _, n := range names {
		out[n] = f.units[n]
	}
	return out, nil
}

func (f *fake) Ports(ports []int, _ []string) (map[int]string, error) {
	out := maps.Clone(f.ports)
	maps.DeleteFunc(out, func(p int, _ string) bool { return !slices.Contains(ports, p) })
	return out, nil
}

// listen refuses a port that another interface has, as the kernel does.
func (f *fake) listen(name string, port int) error {
	for other, d := range f.devices {
		if other != name && d.ListenPort == port {
			return fmt.Errorf("%s: port %d: Address already in use", name, port)
		}
	}
	return nil
}

func (f *fake) Down(_ context.Context, name string) error { return f.DeleteLink(name) }

func (f *fake) PublicKey(path string) (plan.PublicKey, error) {
	if f.damaged != nil {
		return plan.PublicKey{}, f.damaged
	}
	if k, ok := f.private[path]; ok {
		return k, nil
	}
	return plan.PublicKey{}, fs.ErrNotExist
}

func (f *fake) Fingerprint(path string) (wg.Fingerprint, error) {
	if k, ok := f.psks[path]; ok {
		return k, nil
	}
	return wg.Fingerprint{}, cmp.Or(f.pskErr, fs.ErrNotExist)
}

func (f *fake) MSS(context.Context) (wg.MSS, error) { return f.mss, f.mssErr }

func (f *fake) Unloaded(_ context.Context, tables map[string]string) ([]string, error) {
	return slices.DeleteFunc(slices.Clone(f.flushed), func(file string) bool {
		return !slices.Contains(slices.Collect(maps.Values(tables)), file)
	}), nil
}

func (f *fake) LoadTable(_ context.Context, file string) error {
	f.flushed = slices.DeleteFunc(f.flushed, func(other string) bool { return other == file })
	return f.write("LoadTable %s", file)
}

func (f *fake) UsableKey(path string) error {
	_, err := f.PublicKey(path)
	return err
}

func (f *fake) WriteFile(name, text string) error {
	if err := f.write("WriteFile %s", name); err != nil {
		return err
	}
	f.files[name] = wg.File{Ours: strings.HasPrefix(text, wg.Mark), Text: text, Copy: text}
	return nil
}

func (f *fake) RemoveFile(name string) error {
	if err := f.write("RemoveFile %s", name); err != nil {
		return err
	}
	delete(f.files, name)
	return nil
}

func (f *fake) Enable(_ context.Context, names []string) error {
	return f.unit("Enable", names, func(u wg.Unit) wg.Unit { return wg.Unit{Enabled: true, Failed: u.Failed} })
}

func (f *fake) Disable(_ context.Context, names []string) error {
	return f.unit("Disable", names, func(u wg.Unit) wg.Unit { return wg.Unit{Failed: u.Failed} })
}

func (f *fake) Reset(_ context.Context, names []string) error {
	return f.unit("Reset", names, func(u wg.Unit) wg.Unit { return wg.Unit{Enabled: u.Enabled} })
}

func (f *fake) unit(verb string, names []string, then func(wg.Unit) wg.Unit) error {
	if err := f.write("%s %s", verb, strings.Join(names, " ")); err != nil {
		return err
	}
	for _, n := range names {
		f.units[n] = then(f.units[n])
	}
	return nil
}

func (f *fake) Start(_ context.Context, names []string) map[string]error {
	errs := map[string]error{}
	for _, n := range names {
		if err := errors.Join(f.write("Start %s", n), f.up(n)); err != nil {
			errs[n] = err
			delete(f.links, n)
			delete(f.devices, n)
			f.units[n] = wg.Unit{Enabled: f.units[n].Enabled, Failed: f.systemd}
		}
	}
	return errs
}

func (f *fake) Create(_ context.Context, names []string) map[string]error {
	errs := map[string]error{}
	for _, n := range names {
		if errs[n] = f.write("Create %s", n); errs[n] == nil {
			f.links[n], f.devices[n] = wg.Link{Kind: "wireguard"}, wg.Device{}
			delete(errs, n)
		}
	}
	return errs
}

func (f *fake) Stop(_ context.Context, name string) error {
	if err := f.write("Stop %s", name); err != nil {
		return err
	}
	delete(f.links, name)
	delete(f.devices, name)
	delete(f.units, name)
	return nil
}

func (f *fake) DeleteLink(name string) error {
	if err := f.write("DeleteLink %s", name); err != nil {
		return err
	}
	delete(f.links, name)
	delete(f.devices, name)
	return nil
}

func (f *fake) link(name string, write error, change func(*wg.Link)) error {
	if write != nil {
		return write
	}
	l, ok := f.links[name]
	if !ok {
		return fs.ErrNotExist
	}
	l.Addresses = slices.Clone(l.Addresses)
	change(&l)
	f.links[name] = l
	return nil
}

func (f *fake) SetMTU(name string, mtu int) error {
	return f.link(name, f.write("SetMTU %s %d", name, mtu), func(l *wg.Link) { l.MTU = mtu })
}

func (f *fake) SetUp(name string) error {
	return f.link(name, f.write("SetUp %s", name), func(l *wg.Link) { l.Up = true })
}

func (f *fake) AddAddress(name string, a netip.Prefix) error {
	return f.link(name, f.write("AddAddress %s %s", name, a), func(l *wg.Link) {
		if !slices.Contains(l.Addresses, a) {
			l.Addresses = append(l.Addresses, a)
		}
	})
}

// RemoveAddress takes the secondaries of an IPv4 subnet along, as Linux does.
func (f *fake) RemoveAddress(name string, a netip.Prefix) error {
	return f.link(name, f.write("RemoveAddress %s %s", name, a), func(l *wg.Link) {
		at := slices.Index(l.Addresses, a)
		l.Addresses = slices.DeleteFunc(l.Addresses, func(b netip.Prefix) bool {
			later := slices.Index(l.Addresses, b) > at
			return a == b || later && a.Addr().Is4() && a.Masked() == b.Masked()
		})
	})
}

func (f *fake) SetMSS(_ context.Context, text string) error {
	if err := f.write("SetMSS"); err != nil {
		return err
	}
	f.mss = wg.MSS{File: text}
	if text != "" {
		f.mss.Live = wg.MSSSummary(text)
	}
	return nil
}

func (f *fake) Boot() (wg.Boot, error) { return f.boot, nil }

func (f *fake) SetBoot(_ context.Context, present bool) error {
	if err := f.write("SetBoot %v", present); err != nil {
		return err
	}
	f.boot = wg.BootAbsent
	if present {
		f.boot = wg.BootCurrent
	}
	return nil
}

// Announce spoils the pre-shared keys, as the kernel's does.
func (f *fake) Announce(name string, c wg.DeviceChange) error {
	if err := f.write("Announce %s", name); err != nil {
		return err
	}
	d := f.devices[name]
	d.PublicKey, d.Peers = f.private[c.PrivateKeyFile], slices.Clone(d.Peers)
	for i := range d.Peers {
		d.Peers[i].PresharedKey = wg.Fingerprint{1}
	}
	f.devices[name] = d
	return nil
}

// Configure takes peers in their order, as the kernel does.
func (f *fake) Configure(name string, c wg.DeviceChange) error {
	if err := f.write("Configure %s", name); err != nil {
		return err
	}
	d, ok := f.devices[name]
	if !ok {
		return fs.ErrNotExist
	}
	if c.PrivateKeyFile != "" {
		d.PublicKey = f.private[c.PrivateKeyFile]
	}
	if c.AnyPort {
		d.ListenPort = 40000 + len(f.writes)
	}
	if c.ListenPort != 0 {
		if err := f.listen(name, c.ListenPort); err != nil {
			return err
		}
		d.ListenPort = c.ListenPort
	}
	d.Peers = slices.Clone(d.Peers)
	for _, p := range c.Peers {
		at := slices.IndexFunc(d.Peers, func(l wg.LivePeer) bool { return l.PublicKey == p.PublicKey })
		if p.Remove {
			if at >= 0 {
				d.Peers = slices.Delete(d.Peers, at, at+1)
			}
			continue
		}
		if at < 0 && !p.Add {
			continue
		}
		if at < 0 {
			d.Peers = append(d.Peers, wg.LivePeer{PublicKey: p.PublicKey})
			at = len(d.Peers) - 1
		}
		f.configurePeer(d.Peers, at, p)
	}
	f.devices[name] = d
	return nil
}

func (f *fake) configurePeer(peers []wg.LivePeer, at int, p wg.PeerChange) {
	l := &peers[at]
	if p.PresharedKeyFile != nil {
		l.PresharedKey = f.psks[*p.PresharedKeyFile]
	}
	if p.Endpoint.IsValid() {
		l.Endpoint = p.Endpoint
	}
	if p.Keepalive != nil {
		l.PersistentKeepalive = *p.Keepalive
	}
	l.AllowedIPs = slices.DeleteFunc(slices.Clone(l.AllowedIPs), func(o netip.Prefix) bool {
		return slices.Contains(p.RemoveAllowedIPs, o)
	})
	for _, n := range p.AddAllowedIPs {
		for i := range peers {
			peers[i].AllowedIPs = slices.DeleteFunc(slices.Clone(peers[i].AllowedIPs), func(o netip.Prefix) bool {
				return o == n
			})
		}
		l.AllowedIPs = append(l.AllowedIPs, n)
	}
	slices.SortFunc(l.AllowedIPs, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
}

// up does what wg-quick does with a file.
func (f *fake) up(name string) error {
	if _, there := f.links[name]; there {
		return fmt.Errorf("%s already exists", name)
	}
	l, d := wg.Link{Kind: "wireguard", Up: true, MTU: 1420}, wg.Device{ListenPort: 40000}
	peer := func(key string) *wg.LivePeer {
		k, err := plan.ParsePublicKey(key)
		for i := range d.Peers {
			if d.Peers[i].PublicKey == k {
				return &d.Peers[i]
			}
		}
		if err != nil {
			panic(err)
		}
		d.Peers = append(d.Peers, wg.LivePeer{PublicKey: k})
		return &d.Peers[len(d.Peers)-1]
	}
	var last *wg.LivePeer
	for line := range strings.Lines(f.files[name].Text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
		switch key {
		case "Address":
			l.Addresses = append(l.Addresses, netip.MustParsePrefix(value))
		case "ListenPort":
			d.ListenPort, _ = strconv.Atoi(value)
		case "MTU":
			l.MTU, _ = strconv.Atoi(value)
		case "PublicKey":
			last = peer(value)
		case "Endpoint":
			last.Endpoint = netip.MustParseAddrPort(value)
		case "AllowedIPs":
			for n := range strings.SplitSeq(value, ", ") {
				last.AllowedIPs = append(last.AllowedIPs, netip.MustParsePrefix(n))
			}
		case "PostUp":
			f.hook(&d, strings.Fields(value), peer)
		}
	}
	if d.PublicKey.IsZero() {
		return errors.New("wg set: private key file is missing")
	}
	if err := f.listen(name, d.ListenPort); err != nil {
		return err
	}
	f.links[name], f.devices[name] = l, d
	return nil
}

func (f *fake) hook(d *wg.Device, words []string, peer func(string) *wg.LivePeer) {
	var p *wg.LivePeer
	for i := 0; i+1 < len(words); i++ {
		switch words[i] {
		case "private-key":
			d.PublicKey = f.private[words[i+1]]
		case "peer":
			p = peer(words[i+1])
		case "preshared-key":
			p.PresharedKey = f.psks[words[i+1]]
		case "persistent-keepalive":
			p.PersistentKeepalive, _ = strconv.Atoi(words[i+1])
		}
	}
}

// dump is the whole state as text.
func (f *fake) dump() string {
	var b strings.Builder
	names := map[string]bool{}
	for _, m := range [][]string{
		slices.Collect(maps.Keys(f.files)),
		slices.Collect(maps.Keys(f.links)), slices.Collect(maps.Keys(f.units)),
	} {
		for _, n := range m {
			names[n] = true
		}
	}
	for _, n := range slices.Sorted(maps.Keys(names)) {
		l, d := f.links[n], f.devices[n]
		slices.SortFunc(l.Addresses, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
		fmt.Fprintf(&b, "%s: up=%v mtu=%d %v key=%s port=%d enabled=%v failed=%v file=%d\n",
			n, l.Up, l.MTU, l.Addresses, nick(d.PublicKey), d.ListenPort, f.units[n].Enabled,
			f.units[n].Failed, len(f.files[n].Text))
		slices.SortFunc(d.Peers, func(a, b wg.LivePeer) int {
			return strings.Compare(nick(a.PublicKey), nick(b.PublicKey))
		})
		for _, p := range d.Peers {
			fmt.Fprintf(&b, "  %s: psk=%x %s %v keepalive=%d\n", nick(p.PublicKey),
				p.PresharedKey[:1], p.Endpoint, p.AllowedIPs, p.PersistentKeepalive)
		}
	}
	for _, file := range f.flushed {
		fmt.Fprintf(&b, "flushed: %s\n", file)
	}
	fmt.Fprintf(&b, "mss: %v %v\n", f.mss.Live != "", f.mss.File != "")
	return b.String()
}
