package bird

import (
	"context"
	"errors"
)

// Before is what a later way back has to know about BIRD, besides its files.
type Before struct {
	Host     Host `json:"host"`
	Running  bool `json:"running"`
	Disabled bool `json:"disabled,omitempty"` // the service, at boot; false too where it was not noted
}

// Before is what to know of what is there now.
func (s Have) Before(h Host) Before {
	return Before{Host: h, Running: s.Daemon.Running, Disabled: s.disabled}
}

// Disable has the service not start at boot again, where the change enabled it.
func (h Host) Disable(ctx context.Context, before Before) ([]string, error) {
	if is, err := h.linked(); err != nil || !is || !before.Disabled {
		return nil, err
	}
	if err := h.systemctl(ctx, "disable", h.Service); err != nil {
		return nil, err
	}
	return []string{"disabled " + h.Service + ", which did not start at boot before"}, nil
}

// Touched lists the files that a change may write, as absolute paths.
func (h Host) Touched() []string {
	files := []string{h.Path, h.original()}
	for _, path := range files {
		if text, err := readIfThere(path); err == nil && text != nil && StampOf(text) == "" {
			files = append(files, beside(h.original(), text))
		}
	}
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
// BIRD was started for it, or enabled.
func (h Host) GoBack(ctx context.Context, before Before) (done []string, err error) {
	done, err = h.runBack(ctx, before)
	more, disableErr := h.Disable(ctx, before)
	return append(done, more...), errors.Join(err, disableErr)
}

func (h Host) runBack(ctx context.Context, before Before) (done []string, err error) {
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
