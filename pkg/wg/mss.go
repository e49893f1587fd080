package wg

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/atomicfile"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/program"
)

// mssFile is where the nftables table lives between boots.
func (w Want) mssFile() string { return filepath.Join(w.Directory, "wgmesh.nft") }

// tableText is that file: it replaces the table in one transaction, so it may be
// loaded any number of times, also at the same time. In the clamp both directions
// are needed; each SYN is clamped to the smaller MTU of its way and its way back.
// Without a prefix there is no clamp, and with nothing to do no text.
func tableText(prefixes []string, f filter) string {
	body, note := f.text(), ""
	if len(prefixes) > 0 {
		rules := ""
		for _, prefix := range prefixes {
			for _, way := range ways {
				rules += fmt.Sprintf("\t\t%s \"%s*\" tcp flags syn / syn,rst tcp option maxseg size set rt mtu\n",
					way, prefix)
			}
		}
		body = "\tchain forward {\n\t\ttype filter hook forward priority mangle; policy accept;\n" +
			rules + "\t}\n" + body
	}
	if body == "" {
		return ""
	}
	if words := f.words(); words != "" {
		note = filterMark + words + "\n"
	}
	return header + note + "table inet wgmesh {}\ndelete table inet wgmesh\ntable inet wgmesh {\n" + body + "}\n"
}

var ways = []string{"iifname", "oifname"}

func clamped(text string) []string {
	var out []string
	for line := range strings.SplitSeq(text, "\n") {
		rule, ok := strings.CutPrefix(line, "\t\tiifname \"")
		prefix, _, clamps := strings.Cut(rule, "*\" tcp flags ")
		if ok && clamps && plan.Only(prefix, plan.Alphanumeric+"_.-") {
			out = append(out, prefix)
		}
	}
	return out
}

func (w Want) wantsTable() bool { return len(w.Tunnels) > 0 && (w.MSSClamp || w.Input == InputMesh) }

// prefixes are those of the interfaces to clamp: a tunnel whose name does not begin with that
// of w is one of its own. What other tunnels have stays, which are of another list or mesh: those
// of the mesh of w, which has a name, are its own, and have none where w wants none.
func (w Want) prefixes(s Have, remove []Removal) []string {
	var out []string
	if w.MSSClamp && len(w.Tunnels) > 0 {
		out = append(out, w.InterfacePrefix)
		for _, t := range w.Tunnels {
			if !strings.HasPrefix(t.Name, w.InterfacePrefix) {
				out = append(out, t.Name[:min(len(t.Name), 14)]) // nft wants room for its *
			}
		}
	}
	wanted := w.names()
	for _, prefix := range clamped(s.MSS.File) {
		used := func(name string) bool {
			f := s.Interfaces[name].File
			_, about := wanted[name]
			own := w.Mesh != "" && w.made(f)
			return strings.HasPrefix(name, prefix) && !about && f != nil && f.Ours && (w.MSSClamp || !own) &&
				!slices.ContainsFunc(remove, func(r Removal) bool { return r.Name == name })
		}
		if !slices.Contains(out, prefix) && slices.ContainsFunc(sortedKeys(s.Interfaces), used) {
			out = append(out, prefix)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// tableSummary is what summarise makes of the table when it is right.
func tableSummary(prefixes []string, f filter) string {
	var parts []string
	if len(prefixes) > 0 {
		parts = append(parts, "chain forward filter forward -150 accept")
	}
	for _, prefix := range prefixes {
		for _, way := range ways {
			parts = append(parts, fmt.Sprintf("rule %s %s*, tcp flags, maxseg rt mtu", way, prefix))
		}
	}
	return strings.Join(append(parts, f.summary()...), "; ")
}

// diffMSS returns the new text of the file, or nil when nothing is to do. With
// no tunnel wanted the table is left as it is, unless all is purged.
func diffMSS(w Want, s Have, remove []Removal) *string {
	if w.MSSClamp && len(w.Tunnels) == 0 && !w.Purge {
		return nil
	}
	prefixes, f := w.prefixes(s, remove), w.filter(s)
	text := tableText(prefixes, f)
	if s.MSS.Live == tableSummary(prefixes, f) && s.MSS.File == text {
		return nil
	}
	return &text
}

// summarise says what the table does, from `nft -j list table`: chain by chain, and then the sets.
// The JSON itself is not compared: it has handles, and versions of nft write it differently.
func summarise(listing []byte) (string, error) {
	var doc struct {
		Nftables []struct {
			Chain *struct {
				Name, Type, Hook, Policy string
				Prio                     json.Number
			}
			Rule *struct {
				Chain, Comment string
				Expr           []map[string]json.RawMessage
			}
			Set *struct{ Name string }
			Map *json.RawMessage
		}
	}
	if err := json.Unmarshal(listing, &doc); err != nil {
		return "", fmt.Errorf("nft -j list table inet wgmesh: %w", err)
	}
	chains, sets := map[string][]string{}, []string{}
	for _, o := range doc.Nftables {
		switch {
		case o.Chain != nil:
			c := o.Chain
			chains[c.Name] = slices.Insert(chains[c.Name], 0,
				fmt.Sprintf("chain %s %s %s %s %s", c.Name, c.Type, c.Hook, c.Prio, c.Policy))
		case o.Rule != nil:
			words := []string{o.Rule.Comment}
			if o.Rule.Comment == "" {
				words = nil
				for _, e := range o.Rule.Expr {
					words = append(words, expression(e))
				}
			}
			chains[o.Rule.Chain] = append(chains[o.Rule.Chain], "rule "+strings.Join(words, ", "))
		case o.Set != nil:
			sets = append(sets, "set "+o.Set.Name)
		case o.Map != nil:
			sets = append(sets, "map")
		}
	}
	var parts []string
	for _, name := range sortedKeys(chains) {
		parts = append(parts, chains[name]...)
	}
	slices.Sort(sets)
	if parts = append(parts, sets...); len(parts) == 0 {
		return "empty table", nil
	}
	return strings.Join(parts, "; "), nil
}

// expression names the statements of our rules, and ? any other.
func expression(e map[string]json.RawMessage) string {
	text := func(v any) string { b, _ := json.Marshal(v); return string(b) }
	if raw, ok := e["match"]; ok && len(e) == 1 {
		var m struct {
			Op          string
			Left, Right any
		}
		if json.Unmarshal(raw, &m) != nil || m.Op != "==" {
			return "?"
		}
		left := text(m.Left)
		for _, key := range []string{"iifname", "oifname"} {
			if left == `{"meta":{"key":"`+key+`"}}` {
				return key + " " + strings.Trim(text(m.Right), `"`)
			}
		}
		if strings.Contains(left, `{"payload":{"field":"flags","protocol":"tcp"}}`) &&
			strings.Contains(left, "rst") && strings.Contains(text(m.Right), "syn") {
			return "tcp flags"
		}
	}
	if raw, ok := e["mangle"]; ok && len(e) == 1 {
		var m struct{ Key, Value any }
		if json.Unmarshal(raw, &m) == nil && strings.Contains(text(m.Key), `"maxseg"`) &&
			text(m.Value) == `{"rt":{"key":"mtu"}}` {
			return "maxseg rt mtu"
		}
	}
	return "?"
}

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
