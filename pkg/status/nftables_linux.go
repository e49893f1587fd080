package status

import (
	"context"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/program"
)

// An NFTable is one of nftables that this project loads from a file. Where the file
// is, the table has to be in the kernel: anybody's `nft flush ruleset` takes it
// away, and nothing else would tell.
type NFTable struct {
	Name    string // in family inet
	File    string
	Without string // what is the matter then
}

// NFTables are those of the module wg_tunnel and of the role router.
var NFTables = []NFTable{
	{"wgmesh", plan.MSSFile, "TCP may hang in tunnels, which have no input filter"},
	{"wgmesh_metadata", plan.Directory + "/metadata.nft", "what is forwarded gets to the metadata service"},
	{"wgmesh_health", plan.Directory + "/health.nft", "anybody can ask on the health port"},
}

// nftTime is how long nft may take to list the names of tables.
const nftTime = 5 * time.Second

// missingTables says which tables are not there, although their files are.
func missingTables(ctx context.Context, tables []NFTable) []cause.Cause {
	tables = slices.DeleteFunc(slices.Clone(tables), func(t NFTable) bool {
		_, err := os.Stat(t.File)
		return err != nil
	})
	if len(tables) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, nftTime)
	defer cancel()
	list, err := program.Run(ctx, "nft", "list", "tables")
	lines := strings.Split(list, "\n")
	lost := func(t NFTable) bool { return !slices.Contains(lines, "table inet "+t.Name) }
	if err == nil && !slices.ContainsFunc(tables, lost) {
		if other, err := differ(ctx, tables...); err == nil && !other {
			return nil
		}
	}
	var out []cause.Cause
	for _, t := range tables {
		err, other := err, false
		if err == nil && !lost(t) {
			other, err = differ(ctx, t)
		}
		switch {
		case err != nil:
			out = append(out, cause.New("table inet %s cannot be looked for (%s): "+
				"see that nft is there and that this is root", t.Name, err))
		case lost(t):
			out = append(out, cause.New("table inet %s is not loaded, so %s: "+
				"run nft -f %s, and look for what flushes nftables", t.Name, t.Without, t.File))
		case other:
			out = append(out, cause.New("table inet %s is not what %s says, so %s: "+
				"run nft -f %s, and look for who changes it", t.Name, t.File, t.Without, t.File))
		}
	}
	return out
}

// differ reports whether tables in the kernel are not what their files make, by loading
// the files where nobody is: the words of one nft are compared, so its version is all the same.
func differ(ctx context.Context, tables ...NFTable) (bool, error) {
	var files, commands []string
	for _, t := range tables {
		files, commands = append(files, t.File), append(commands, "list table inet "+t.Name)
	}
	list := []string{"-s", "-t", strings.Join(commands, "; ")}
	have, err := program.Run(ctx, "nft", list...)
	if err != nil {
		return false, err
	}
	const load = `list=$1; shift; for file; do nft -f "$file" >/dev/null || exit; done; exec nft -s -t "$list"`
	want, err := program.Call{
		Name: "sh", Args: append([]string{"-c", load, "sh", list[2]}, files...),
		Attr: &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET},
	}.Run(ctx)
	if err != nil { // where no namespace can be made nobody knows; of several, one may not load
		return len(tables) > 1, nil
	}
	return want.Out != have, nil
}
