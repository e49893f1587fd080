// Command extract makes the extracts of the vendors' descriptions that package
// published checks with. `make published` runs it:
//
//	extract gcp MODULE@VERSION >gcp.json
//	extract azure MODULE@VERSION... >azure.json
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/wgmesh/router/internal/fakecloud/published"
)

// A module is one of the Go modules by which the vendors publish.
type module struct{ Path, Version, Dir string }

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "extract:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return errors.New("expected gcp or azure, and modules with their versions")
	}
	var modules []module
	for _, name := range args[1:] {
		var m module
		out, err := exec.Command("go", "mod", "download", "-json", name).Output()
		if err = errors.Join(err, json.Unmarshal(out, &m)); err != nil {
			return fmt.Errorf("%s: %w: %s", name, err, out)
		}
		modules = append(modules, m)
	}
	var d *published.Description
	var err error
	switch args[0] {
	case "gcp":
		d, err = google(modules[0])
	case "azure":
		d, err = microsoft(modules)
	default:
		err = fmt.Errorf("%s: expected gcp or azure", args[0])
	}
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	out.SetIndent("", " ")
	return out.Encode(d)
}

// source reads the licence, which every copy has to carry.
func (m module) source(note string) (published.Source, error) {
	for _, name := range []string{"LICENSE", "LICENSE.txt"} {
		if text, err := os.ReadFile(filepath.Join(m.Dir, name)); err == nil {
			return published.Source{Module: m.Path, Version: m.Version, Note: note, Licence: string(text)}, nil
		}
	}
	return published.Source{}, fmt.Errorf("%s: no licence", m.Dir)
}

// reach calls visit for a schema and all those in it.
func reach(s *published.Schema, visit func(*published.Schema)) {
	if s == nil {
		return
	}
	visit(s)
	for _, p := range s.Properties {
		reach(p, visit)
	}
	reach(s.Items, visit)
	reach(s.AdditionalProperties, visit)
}

// needed copies those of all schemas that the methods and extra roots reach.
func needed(d *published.Description, all map[string]*published.Schema, roots ...*published.Schema) error {
	var missing error
	var visit func(s *published.Schema)
	visit = func(s *published.Schema) {
		if s.Ref == "" || d.Schemas[s.Ref] != nil {
			return
		}
		if all[s.Ref] == nil {
			missing = fmt.Errorf("no schema %s", s.Ref)
			return
		}
		d.Schemas[s.Ref] = all[s.Ref]
		reach(all[s.Ref], visit)
	}
	for _, m := range d.Methods {
		roots = append(roots, m.Request, m.Response)
	}
	for _, s := range roots {
		reach(s, visit)
	}
	return missing
}
