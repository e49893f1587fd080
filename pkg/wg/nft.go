package wg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/atomicfile"
	"github.com/wgmesh/router/pkg/program"
)

func (h *Host) mssPath() string { return Want{Directory: h.directory}.mssFile() }

// MSS returns the table in the kernel and its file. Without nft there is no
// table that it could have made.
func (h *Host) MSS(ctx context.Context) (MSS, error) {
	var m MSS
	text, err := os.ReadFile(h.mssPath())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return m, err
	}
	m.File = string(text)
	if _, err := program.Find("nft"); err != nil {
		return m, nil
	}
	out, err := program.Run(ctx, "nft", "-j", "list", "table", "inet", "wgmesh")
	if err != nil {
		if strings.Contains(err.Error(), "No such file or directory") {
			return m, nil
		}
		return m, fmt.Errorf("mss clamp: %w", err)
	}
	m.Live, err = summarise([]byte(out))
	return m, err
}

// refuseMSS says why the file cannot have that text.
func (h *Host) refuseMSS(text string) error {
	if old, err := os.ReadFile(h.mssPath()); err == nil && !ours(string(old)) && !blank(string(old)) {
		return fmt.Errorf("%s was not made by wgmesh.router: move it away", h.mssPath())
	}
	if _, err := program.Find("nft"); err != nil && text != "" {
		return fmt.Errorf("%w, or set mss_clamp: false", err)
	}
	return nil
}

// Rehearse lists what Apply will fail on. They are warnings: Apply does the rest, and what
// is not installed may be what the play installs before.
func (h *Host) Rehearse(d Delta) (warnings []string) {
	if d.MSS != nil {
		if err := h.refuseMSS(*d.MSS); err != nil {
			warnings = append(warnings, tableWord(*d.MSS)+": "+err.Error())
		}
	}
	needed := func(t TunnelDelta) bool { return t.Start && !t.Fresh || h.systemd && (t.Enable || t.Reset) }
	if _, err := program.Find("wg-quick"); err != nil && slices.ContainsFunc(d.Tunnels, needed) {
		warnings = append(warnings, err.Error())
	}
	return warnings
}

// SetMSS writes the file and loads it; with no text it removes both.
func (h *Host) SetMSS(ctx context.Context, text string) error {
	path := h.mssPath()
	if err := h.refuseMSS(text); err != nil {
		return err
	}
	if text == "" {
		_, missing := program.Find("nft")
		if missing == nil { // else there is no table either
			const gone = "table inet wgmesh {}\ndelete table inet wgmesh\n"
			drop := program.Call{Name: "nft", Args: []string{"-f", "-"}, Stdin: gone}
			if _, err := drop.Run(ctx); err != nil {
				return err
			}
		}
		return atomicfile.Remove(path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := atomicfile.Write(path, []byte(text), 0o600); err != nil {
		return err
	}
	_, err := program.Run(ctx, "nft", "-f", path)
	return err
}

// Unloaded returns the files that are there while their tables are not. Anybody's
// `nft flush ruleset` takes tables away.
func (h *Host) Unloaded(ctx context.Context, tables map[string]string) ([]string, error) {
	here := map[string]string{}
	for name, file := range tables {
		if _, err := os.Stat(file); err == nil {
			here[name] = file
		}
	}
	if _, err := program.Find("nft"); err != nil || len(here) == 0 {
		return nil, nil
	}
	list, err := program.Run(ctx, "nft", "list", "tables")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(list) {
		delete(here, strings.TrimPrefix(strings.TrimSpace(line), "table inet "))
	}
	return slices.Sorted(maps.Values(here)), nil
}

// LoadTable loads a file of nftables.
func (h *Host) LoadTable(ctx context.Context, file string) error {
	_, err := program.Run(ctx, "nft", "-f", file)
	return err
}
