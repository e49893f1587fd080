package bird

import (
	"context"
	"errors"
)

// Before is what a later way back has to know about BIRD, besides its files.
type Before struct {
	Host    Host `json:"host"`
	Running bool `json:"running"`
}

// Touched lists the files that a change may write, as absolute paths.
func (h Host) Touched() []string {
	files := []string{h.Path, h.original()}
	if h.Manages() {
		files = append(files, h.good(), h.dropIn(), h.script())
	}
	return files
}

// TakeBack ends the change that BIRD tries out, when it is one of ours.
func (h Host) TakeBack(ctx context.Context) ([]string, error) {
	have, err := h.Observe(ctx)
	if err != nil {
		return nil, err
	}
	d, err := Diff(Want{State: Undone}, have)
	if errors.Is(err, ErrPending) {
		return nil, nil // somebody else's change, which is not ours to undo
	}
	if err != nil {
		return nil, err
	}
	return h.Apply(ctx, d)
}

// GoBack has BIRD run bird.conf again when that is back: it had been changed, or
// BIRD was started for it.
func (h Host) GoBack(ctx context.Context, before Before) (done []string, err error) {
	text, err := readIfThere(h.Path)
	if err != nil {
		return nil, err
	}
	d, err := ObserveDaemon(ctx, h.Socket)
	switch {
	case err != nil:
		return nil, err
	case !before.Running && d.Running && h.Systemd && h.Service != "":
		return []string{"stopped " + h.Service + ", which did not run before"}, h.systemctl(ctx, "stop", h.Service)
	case before.Running && !d.Running && h.Systemd && h.Service != "":
		words, err := h.start(ctx, StampOf(text))
		return []string{words}, err
	case before.Running && d.Running && d.Runs != StampOf(text):
		words, err := h.daemonStep(ctx, Step{Do: ActLoad})
		return []string{words}, err
	}
	return nil, nil
}
