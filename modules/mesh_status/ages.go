package meshstatus

import (
	"os"
	"path/filepath"
	"time"

	"github.com/wgmesh/router/pkg/guard"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/psk"
	"github.com/wgmesh/router/pkg/status"
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
	if j, err := (guard.Guard{Folder: filepath.Join(root, plan.UndoDirectory)}).Read(); err == nil && j != nil {
		seen.Made = append(seen.Made, status.Made{What: status.WaitingChange, At: j.Since})
	}
	seen.Reboot = status.RebootBy(root)
	_, err := os.Stat(filepath.Join(root, plan.FailoverRun))
	seen.FailoverRuns = err == nil
}
