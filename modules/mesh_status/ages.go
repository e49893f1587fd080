package meshstatus

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/guard"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/preflight"
	"github.com/wgmesh/router/pkg/psk"
	"github.com/wgmesh/router/pkg/status"
	"github.com/wgmesh/router/pkg/venv"
	"github.com/wgmesh/router/pkg/version"
)

// look adds when the keys and the image of a router were made, what it waits for, and what
// runs beside BIRD.
// Nothing of it decides about its health, so what cannot be read is not known.
func look(root string, seen *status.Observation) {
	file := func(what, path string) {
		if info, err := os.Lstat(filepath.Join(root, path)); err == nil {
			seen.Made = append(seen.Made, status.Made{What: what, At: info.ModTime()})
		}
	}
	file(status.PrivateKey, plan.PrivateKeyFile)
	file(status.Image, plan.ImageFile)
	for _, r := range psk.Records(filepath.Join(root, plan.PSKDirectory)) {
		seen.Made = append(seen.Made, status.Made{
			What: status.PresharedKey, Peer: r.Peer, At: time.UnixMilli(r.Generation),
		})
	}
	g := guard.Guard{Folder: filepath.Join(root, plan.UndoDirectory), Run: filepath.Join(root, plan.RunDirectory)}
	if j, err := g.Read(); err != nil { // nobody can take that back
		seen.UndoFails = err.Error()
		file(status.WaitingChange, plan.UndoJournal)
	} else if j != nil {
		seen.UndoFails = said(g.Waiter(j.ID), 200)
		seen.Made = append(seen.Made, status.Made{What: status.WaitingChange, At: j.Since})
	}
	seen.Reboot = status.RebootBy(root)
	seen.Closed = preflight.Closed(root)
	for _, program := range []string{plan.JoinProgram, plan.JoinCloud, plan.FailoverProgram} {
		path := filepath.Join(root, program)
		if _, err := os.Stat(path); err == nil && version.Of(path) != version.Commit &&
			version.Commit != version.Unknown {
			seen.OtherBuild = append(seen.OtherBuild, program)
		}
	}
	seen.AnsibleDead = venv.Dead(filepath.Join(root, plan.AnsibleBin))
	_, err := os.Stat(filepath.Join(root, plan.FailoverRun))
	seen.FailoverRuns = err == nil
	seen.Watched = watched(filepath.Join(root, plan.FailoverFile))
	seen.FailoverFails = said(filepath.Join(root, plan.FailoverFails), 200)
	seen.FailoverRests = strings.Fields(said(filepath.Join(root, plan.FailoverRests), 1<<16))
}

// watched is what the daemon of failover was told, which is nothing where that cannot be read.
// Its file has more than the plan.
func watched(path string) (f plan.Failover) {
	text, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(text, &f) != nil {
		return plan.Failover{}
	}
	return f
}

// said is what a daemon says, in one line of at most so many bytes. Its account may not be root, so
// nothing is read but a file of that account: what it links to may be anybody's.
func said(path string, most int64) string {
	folder, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return ""
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() ||
		info.Sys().(*syscall.Stat_t).Uid != folder.Sys().(*syscall.Stat_t).Uid {
		return ""
	}
	text, _ := io.ReadAll(io.LimitReader(f, most))
	return cause.Line(string(text), int(most))
}
