package psk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/wgmesh/router/pkg/atomicfile"
	"github.com/wgmesh/router/pkg/order"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/seal"
	"github.com/wgmesh/router/pkg/seal/keyfile"
)

// madeBy marks a record as ours: only what has it is ever removed.
const madeBy = "wgmesh.router"

// A Record says what the key beside it is. Nothing in it is secret.
type Record struct {
	MadeBy        string `json:"made_by"`
	Mesh          string `json:"mesh,omitempty"`
	Tunnel        int    `json:"tunnel"`
	Peer          string `json:"peer"`
	PublicKey     string `json:"public_key"`      // of this router, when the key was made
	PeerPublicKey string `json:"peer_public_key"` // of the peer, when the key was made
	Generation    int64  `json:"generation"`
	PSKID         string `json:"psk_id"`
}

func parseRecord(raw []byte, number int) (Record, bool) {
	var r Record
	err := json.Unmarshal(raw, &r)
	ok := err == nil && r.MadeBy == madeBy && r.Tunnel == number && r.Generation >= 1 && r.Generation < maxGeneration
	return r, ok
}

// bound reports that the key is for these two ends.
func (r Record) bound(own, peer plan.PublicKey) bool {
	return r.PublicKey == own.String() && r.PeerPublicKey == peer.String()
}

// An entry is one tunnel's place in the store.
type entry struct {
	record    Record
	recorded  bool     // there is a record of ours that can be read
	key       seal.PSK // zero when there is none or it is broken
	broken    error    // why the file holds no key
	files     []keyfile.Info
	leftovers []string
}

// holds reports that there is a key and that the record is about that key.
func (e entry) holds() bool {
	return e.recorded && !e.key.IsZero() && e.key.ID() == e.record.PSKID
}

// Have is this router's own keys, and what was seen of the store. The keys in it do not show.
type Have struct {
	// Alive says that a peer "is alive", or may be, and why, that has the key in the record of
	// the tunnel of this number. Another key of it is refused; see NewKeys.
	Alive map[int]string

	self    Self
	dir     string
	entries map[int]entry
	orphans []Record // ours, of tunnels that are not wanted
}

// A Host is where the keys of a router lie that wg_keypair made, and which way the
// pre-shared keys go.
type Host struct {
	PrivateKeyFile, SealingKeyFile string
	Opens                          bool // what was sealed elsewhere; otherwise it makes and seals
}

// Wipe overwrites the keys that were read.
func (s Have) Wipe() {
	s.self.Wipe()
	for _, e := range s.entries {
		e.key.Wipe()
	}
}

// Diff decides for the tunnels of one way.
func (h Host) Diff(want Want, have Have) (Delta, error) {
	if h.Opens {
		return diffOpened(want, have)
	}
	return diffSealed(want, have)
}

// Observe reads the keys and the store. What is absent or cannot be read as a key is made anew
// later and no error here; a link, or a folder that others can write to, is one.
func (h Host) Observe(_ context.Context, want Want) (Have, error) {
	s := Have{dir: want.Directory, entries: map[int]entry{}}
	var err error
	if s.self, err = ReadSelf(h.PrivateKeyFile, h.SealingKeyFile); err != nil && len(want.Tunnels) > 0 {
		return s, err // a damaged one is in the way of no removal
	}
	exists, err := keyfile.CheckDir(s.dir)
	if err != nil {
		return s, fmt.Errorf("directory: %w", err)
	}
	for _, t := range want.Tunnels {
		e, err := readEntry(s.dir, t.Number)
		if err != nil {
			return s, fmt.Errorf("tunnel %d: %w", t.Number, err)
		}
		s.entries[t.Number] = e
	}
	if !exists {
		return s, nil
	}
	return s, s.findOrphans()
}

func readEntry(dir string, number int) (entry, error) {
	var e entry
	recordPath, keyPath := paths(dir, number)
	info, raw, err := keyfile.Read(recordPath)
	if err != nil {
		return e, err
	}
	e.record, e.recorded = parseRecord(raw, number)
	e.files = append(e.files, info)

	info, text, err := keyfile.Read(keyPath)
	defer seal.Wipe(text)
	if err != nil {
		return e, err
	}
	e.files = append(e.files, info)
	if info.Exists {
		e.key, e.broken = seal.ParsePSK(text)
	}
	for _, path := range []string{recordPath, keyPath} {
		left, err := atomicfile.Leftovers(path)
		if err != nil {
			return e, err
		}
		e.leftovers = append(e.leftovers, left...)
	}
	return e, nil
}

// numberOf is the tunnel of a record's file.
func numberOf(file string) (number int, ok bool) {
	name, ok := strings.CutSuffix(file, ".json")
	number, err := strconv.Atoi(name)
	return number, ok && err == nil && 0 < number && number < 1e9 && strconv.Itoa(number) == name
}

// findOrphans looks for records of ours whose tunnel is not wanted. Whatever is
// not certainly ours is passed over.
func (s *Have) findOrphans() error {
	files, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, f := range files {
		number, ok := numberOf(f.Name())
		if _, wanted := s.entries[number]; !ok || wanted {
			continue
		}
		_, raw, err := keyfile.Read(filepath.Join(s.dir, f.Name()))
		if r, ours := parseRecord(raw, number); err == nil && ours {
			s.orphans = append(s.orphans, r)
		}
	}
	order.By(s.orphans, func(a, b Record) int { return a.Tunnel - b.Tunnel })
	return nil
}

// Records lists the records of ours in a folder, by tunnel. The generation of a key is
// when it was made, in milliseconds of Unix time.
func Records(dir string) []Record {
	s := Have{dir: dir}
	if s.findOrphans() != nil { // nothing is known then
		return nil
	}
	return s.orphans
}

func paths(dir string, number int) (record, key string) {
	base := filepath.Join(dir, strconv.Itoa(number))
	return base + ".json", base + ".psk"
}

// Self is this router's own keys. They do not show. A key that is not there is an error only for
// what needs it: in check mode on a new router wg_keypair has made none.
type Self struct {
	private seal.WGPrivate
	sealing seal.PrivateKey
	absent  error // which file is missing; nil for none
}

// ReadSelf reads the two key files of wg_keypair.
func ReadSelf(privateKeyFile, sealingKeyFile string) (Self, error) {
	var s Self
	err := readKey("private_key_file", privateKeyFile, &s, func(text []byte) (err error) {
		s.private, err = seal.ParseWGPrivate(text)
		return err
	})
	if err != nil {
		return s, err
	}
	return s, readKey("sealing_key_file", sealingKeyFile, &s, func(text []byte) (err error) {
		s.sealing, err = seal.ParsePrivateKey(text)
		return err
	})
}

func readKey(option, path string, s *Self, parse func([]byte) error) error {
	info, text, err := keyfile.Read(path)
	defer seal.Wipe(text)
	if err == nil && !info.Exists {
		if s.absent == nil {
			s.absent = fmt.Errorf("%s %s does not exist: run wg_keypair first", option, path)
		}
		return nil
	}
	if err == nil {
		err = parse(text)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w; mend it with wg_keypair", option, path, err)
	}
	return nil
}

// Wipe overwrites the keys.
func (s Self) Wipe() {
	s.private.Wipe()
	s.sealing.Wipe()
}
