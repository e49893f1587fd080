package guard

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/pkg/atomicfile"
	"github.com/wgmesh/router/pkg/plan"
)

// A Journal is a change that waits for its confirmation.
type Journal struct {
	ID      string        `json:"id"`
	Boot    string        `json:"boot"`  // of the kernel under which it was armed
	Due     time.Duration `json:"due"`   // on that kernel's clock
	Since   time.Time     `json:"since"` // for people
	Seconds int           `json:"seconds"`
	Writes  int           `json:"writes"` // how often somebody began to write
	Files   []File        `json:"files"`
	// Notes are what callers keep, by kind and name: what a tunnel was, say.
	Notes map[string]map[string]json.RawMessage `json:"notes"`

	back bool // somebody began to take it back
}

func (g Guard) journal() string { return filepath.Join(g.Folder, filepath.Base(plan.UndoJournal)) }

// Read returns the change that waits, nil when none does.
func (g Guard) Read() (*Journal, error) {
	raw, err := os.ReadFile(g.journal())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var j Journal
	if err := json.Unmarshal(raw, &j); err != nil {
		return nil, fmt.Errorf("%s: %w; nothing of ours writes it so: look at what it is, and remove it",
			g.journal(), err)
	}
	what, _ := g.became(j.ID)
	j.back = what == undone
	return &j, nil
}

func (g Guard) write(j Journal) error {
	raw, err := json.Marshal(j)
	if err != nil {
		return err
	}
	return atomicfile.Write(g.journal(), append(raw, '\n'), 0o600)
}

// Left is how long the change still has; less than nothing when its time is up. The
// clock is the kernel's own: nobody sets it, and a reboot ends the wait.
func (j Journal) Left() time.Duration {
	if j.Boot != bootID() {
		return -1
	}
	return j.Due - sinceBoot()
}

// Overdue reports whether the change is to be taken back now. One that was taken back in part, because
// something could not go back, is neither kept nor added to.
func (j Journal) Overdue() bool { return j.back || j.Left() < 0 }

// SameBoot reports whether the kernel is the one under which the change was made.
func (j Journal) SameBoot() bool { return j.Boot == bootID() }

// Change names what was written so far: whoever writes after that makes it another one.
func (j Journal) Change() string { return fmt.Sprintf("%s/%d", j.ID, j.Writes) }

func (j *Journal) renew(seconds int) {
	j.Boot, j.Seconds = bootID(), seconds
	j.Due = sinceBoot() + time.Duration(seconds)*time.Second
}

func bootID() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // without /proc nothing here works
	return strings.TrimSpace(string(id))
}

func sinceBoot() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) // cannot fail on Linux
	return time.Duration(t.Nano())
}

// Note reads what a caller kept under kind and name.
func Note[T any](j Journal, kind string) (map[string]T, error) {
	out := map[string]T{}
	for name, raw := range j.Notes[kind] {
		var v T
		if err := json.Unmarshal(raw, &v); err != nil {
			return nil, fmt.Errorf("journal: %s %s: %w", kind, name, err)
		}
		out[name] = v
	}
	return out, nil
}
