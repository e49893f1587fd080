package guard

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/wgmesh/router/pkg/atomicfile"
	"github.com/wgmesh/router/pkg/cause"
)

// What became of a change, in words of one length: the later one is written over the earlier
// one, so that a full /run keeps nobody from it.
const (
	waits  = "waits "
	kept   = "kept  "
	undone = "undone"
)

// noted is how many changes are remembered.
const noted = 64

// notes is the file with a line for each change since the boot.
func (g Guard) notes() string { return filepath.Join(g.Run, "changes") }

func noteLine(id, what string) string {
	return id + " " + what + " " + time.Now().Format(time.TimeOnly) + "\n"
}

// noteArmed makes the line of a change before anything is touched.
func (g Guard) noteArmed(id string) error {
	text, err := os.ReadFile(g.notes())
	if strings.Contains(string(text), id) || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	lines := strings.SplitAfter(string(text), "\n")
	lines = append(lines[max(0, len(lines)-noted):], noteLine(id, waits))
	return atomicfile.Write(g.notes(), []byte(strings.Join(lines, "")), 0o600)
}

// last is a file that a boot leaves there, with the id of the change that was kept last. Without it nobody knows.
func (g Guard) last() string { return g.Folder + "-last" }

// note writes what becomes of a change over its line. Without one, after a boot say, there has to be room.
func (g Guard) note(id, what string) error {
	f, err := g.open(filepath.Base(g.notes()))
	if err != nil {
		return err
	}
	text, err := os.ReadFile(f.Name())
	at := strings.Index(string(text), id)
	if at < 0 {
		at = len(text)
	}
	if err == nil {
		_, err = f.WriteAt([]byte(noteLine(id, what)), int64(at))
	}
	return errors.Join(err, f.Close())
}

// NoteUndone remembers that somebody began to take the change with this id back.
func (g Guard) NoteUndone(id string) error { return g.note(id, undone) }

// became tells what became of the change with this id, or of the last one for an empty id, and when.
// What nobody can tell is empty.
func (g Guard) became(id string) (what, at string) {
	text, _ := os.ReadFile(g.notes()) // unread is unknown
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && (id == "" || f[0] == id) {
			what, at = fmt.Sprintf("%-*s", len(waits), f[1]), f[2]
		}
	}
	if last, err := os.ReadFile(g.last()); what == "" && err == nil && id != "" && string(last) == id {
		what = kept // before this boot
	}
	return what, at
}

// Kept is an error unless the change with this id, which waits no more, was kept. Without an id it is about
// the last one, and no news is good: nothing may have waited.
func (g Guard) Kept(ctx context.Context, id string) error {
	what, at := g.became(id)
	if what == waits { // who settles it is about to note that
		unlock, err := g.Lock(ctx)
		if err != nil {
			return err
		}
		what, at = g.became(id)
		unlock()
	}
	switch {
	case what == undone:
		return fmt.Errorf("the change was taken back at %s, before this confirmation: "+
			"see journalctl -t wgmesh-undo for what was done, and apply again", at)
	case what == kept, id == "":
		return nil
	}
	return cause.New("nobody knows whether this change was kept, as %s does not say so: "+
		"run again, which makes what was taken back", g.notes())
}
