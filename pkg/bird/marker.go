package bird

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/wgmesh/router/pkg/atomicfile"
	"github.com/wgmesh/router/pkg/plan"
)

// A Marker remembers a change that waits for its confirmation. It lives on a
// file system that a reboot empties, as the undo timer in BIRD's memory does.
type Marker struct {
	Candidate string    `json:"candidate"` // path of the text that BIRD tries out
	Stamp     Stamp     `json:"stamp"`     // of that text
	Until     time.Time `json:"until"`     // when BIRD takes it back
	// Floor is what lies below BIRD once the change is kept, for who lays it; none: as it is.
	Floor json.RawMessage `json:"floor,omitempty"`
}

// readMarker returns nil when there is none. A marker that cannot be read is
// none either: it only explains, the daemon decides.
func readMarker(path string) (*Marker, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var m Marker
	if json.Unmarshal(raw, &m) != nil {
		return &Marker{}, nil
	}
	return &m, nil
}

func writeMarker(path string, m Marker) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(path, append(raw, '\n'), 0o600); err != nil {
		return fmt.Errorf("marker of the pending change: %w", err)
	}
	return nil
}

// A Stamp names one rendered text. The empty Stamp is that of any text that is not ours.
type Stamp string

// noStamp stands in the text while its stamp is computed.
const noStamp = "0000000000000000"

// stamped puts the stamp of a text into it: into its constant, and into the names of protocols.
func stamped(rendered string) string {
	sum := sha256.Sum256([]byte(rendered))
	stamp := hex.EncodeToString(sum[:8])
	return renamed(strings.Replace(rendered, noStamp, stamp, 1), noStamp, stamp)
}

func unstamped(text []byte) string {
	return renamed(string(redefine(text, plan.BirdStamp, noStamp)), string(StampOf(text)), noStamp)
}

// renamed is a text whose protocols have another stamp in their names. No session has one there.
func renamed(text, from, to string) string {
	return strings.ReplaceAll(text, "_"+from+" {", "_"+to+" {")
}

// whole reports whether a text is as it was rendered: nobody has edited it since.
func whole(text []byte) bool { return string(text) == stamped(unstamped(text)) }

// StampOf reads the stamp that a text carries.
func StampOf(text []byte) Stamp {
	value, _ := find(text, plan.BirdStamp)
	return Stamp(value)
}
