package bird

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/wgmesh/router/pkg/atomicfile"
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
