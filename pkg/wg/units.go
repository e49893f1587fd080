package wg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/program"
)

func unit(name string) string { return "wg-quick@" + name + ".service" }

func unitsOf(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = unit(n)
	}
	return out
}

// Units returns the units of these interfaces, nil without systemd.
func (h *Host) Units(ctx context.Context, names []string) (map[string]Unit, error) {
	if !h.systemd {
		return nil, nil
	}
	out := map[string]Unit{}
	if len(names) == 0 {
		return out, nil
	}
	text, err := program.Run(ctx, "systemctl",
		append([]string{"show", "--property=Id,ActiveState,UnitFileState", "--"}, unitsOf(names)...)...)
	if err != nil {
		return nil, err
	}
	return parseUnits(text), nil
}

// parseUnits reads blocks of key=value lines, one block for each unit.
func parseUnits(text string) map[string]Unit {
	out := map[string]Unit{}
	for block := range strings.SplitSeq(text, "\n\n") {
		name, u := "", Unit{}
		for line := range strings.Lines(block) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			switch key {
			case "Id":
				name = strings.TrimSuffix(strings.TrimPrefix(value, "wg-quick@"), ".service")
			case "ActiveState":
				u.Failed = value == "failed"
			case "UnitFileState":
				u.Enabled = value == "enabled"
			}
		}
		if name != "" {
			out[name] = u
		}
	}
	return out
}

// Enable makes the interfaces come up at boot. Where the drop-in is yet to come, systemd
// reads all files again for that, which takes it longer than all the rest.
func (h *Host) Enable(ctx context.Context, names []string) error {
	if boot, err := h.Boot(); err == nil && boot != BootCurrent {
		return h.systemctl(ctx, "enable --no-reload", names)
	}
	return h.systemctl(ctx, "enable", names)
}

// Disable keeps the interfaces from coming up at boot.
func (h *Host) Disable(ctx context.Context, names []string) error {
	return h.systemctl(ctx, "disable", names)
}

// Down takes an interface away until the next boot.
func (h *Host) Down(ctx context.Context, name string) error {
	if _, missing := program.Find("wg-quick"); missing == nil {
		_ = h.systemctl(ctx, "stop", []string{name}) // DeleteLink does what it could not
	}
	return h.DeleteLink(name)
}

// Reset forgets that the units have failed.
func (h *Host) Reset(ctx context.Context, names []string) error {
	return h.systemctl(ctx, "reset-failed", names)
}

func (h *Host) systemctl(ctx context.Context, verb string, names []string) error {
	if !h.systemd {
		return nil
	}
	if _, err := program.Find("wg-quick"); err != nil {
		return err // systemctl would only miss the unit
	}
	_, err := program.Run(ctx, "systemctl", slices.Concat(strings.Fields(verb), []string{"--"}, unitsOf(names))...)
	return err
}

// bareFile names the interfaces whose units make nothing but the interface, and the process and the
// program for which they do so: without it they do as ever. The script reads it.
const bareFile = plan.RunDirectory + "/bare"

// Create makes interfaces that are not there. With systemd their units do it, so that
// a WireGuard in user space is theirs.
func (h *Host) Create(ctx context.Context, names []string) map[string]error {
	h.left()
	errs := map[string]error{}
	if !h.systemd {
		for _, name := range names {
			if err := h.link(ctx, name); err != nil {
				errs[name] = explain(err)
			}
		}
		return errs
	}
	if err := os.MkdirAll(plan.RunDirectory, 0o700); err != nil {
		return all(names, err)
	}
	program, err := os.Executable()
	if err != nil {
		return all(names, err)
	}
	text := fmt.Sprintf("%d %s %s\n", os.Getpid(), program, strings.Join(names, " "))
	if err := os.WriteFile(bareFile, []byte(text), 0o600); err != nil {
		return all(names, err)
	}
	errs = h.restart(ctx, names)
	if err := os.Remove(bareFile); err != nil {
		return all(names, err)
	}
	return errs
}

// link makes one interface: the kernel's, or one in user space.
func (h *Host) link(ctx context.Context, name string) error {
	err := addLink(name)
	if errors.Is(err, unix.EOPNOTSUPP) {
		if _, missing := program.Find("wireguard-go"); missing != nil {
			return err
		}
		_, err = program.Run(ctx, "wireguard-go", name)
	}
	return err
}

func all(names []string, err error) map[string]error {
	errs := map[string]error{}
	for _, name := range names {
		errs[name] = err
	}
	return errs
}

// Start brings up interfaces that are not there from their files.
func (h *Host) Start(ctx context.Context, names []string) map[string]error {
	h.left()
	errs := map[string]error{}
	if _, missing := program.Find("wg-quick"); missing != nil {
		return all(names, missing)
	}
	if !h.systemd {
		for _, name := range names {
			if _, err := program.Run(ctx, "wg-quick", "up", h.path(name)); err != nil {
				errs[name] = explain(err)
			}
		}
		return errs
	}
	return h.restart(ctx, names)
}

// restart starts the units of interfaces that are not there, all at once: a unit whose interface
// was deleted still counts as started, and the stop part of a restart fails on it without harm.
func (h *Host) restart(ctx context.Context, names []string) map[string]error {
	errs := map[string]error{}
	err := h.systemctl(ctx, "restart", names)
	if err == nil {
		return errs
	}
	links, listErr := h.Links()
	for _, name := range names {
		if _, up := links[name]; up && listErr == nil {
			continue
		}
		errs[name] = explain(h.because(ctx, name, errors.Join(err, listErr)))
	}
	return errs
}

// because says why a unit failed, in the words of its journal.
func (h *Host) because(ctx context.Context, name string, err error) error {
	text, journalErr := program.Run(ctx, "journalctl", "--unit", unit(name), "--identifier", "wg-quick",
		"--lines", "8", "--output", "cat", "--no-pager")
	if last := program.Words(text); journalErr == nil && last != "" {
		return fmt.Errorf("%s: look at journalctl -u %s", last, unit(name))
	}
	return err
}

// explain adds what to do when there is no WireGuard at all.
func explain(err error) error {
	_, module := os.Stat("/sys/module/wireguard")
	_, userspace := program.Find("wireguard-go")
	if module != nil && userspace != nil {
		return fmt.Errorf("%w; there is neither WireGuard in this kernel nor wireguard-go: "+
			"install package wireguard-go, or boot a kernel with WireGuard", err)
	}
	return err
}

// Stop takes an interface away, now and at boot.
func (h *Host) Stop(ctx context.Context, name string) error {
	// The stop may fail on an interface that is gone already; what counts is
	// that it is, which DeleteLink makes sure of.
	if _, missing := program.Find("wg-quick"); missing != nil {
		return h.DeleteLink(name) // no package, no unit
	}
	err := h.systemctl(ctx, "disable", []string{name})
	if h.systemd && err == nil {
		_ = h.systemctl(ctx, "stop", []string{name})
		_ = h.systemctl(ctx, "reset-failed", []string{name})
	}
	return errors.Join(err, h.DeleteLink(name))
}
