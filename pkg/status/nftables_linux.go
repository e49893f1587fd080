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
	var out []cause.Cause
	for _, t := range tables {
		err, other := err, false
		if err == nil && slices.Contains(strings.Split(list, "\n"), "table inet "+t.Name) {
			other, err = differs(ctx, t)
		}
		switch {
		case err != nil:
			out = append(out, cause.New("table inet %s cannot be looked for (%s): "+
				"see that nft is there and that this is root", t.Name, err))
		case !slices.Contains(strings.Split(list, "\n"), "table inet "+t.Name):
			out = append(out, cause.New("table inet %s is not loaded, so %s: "+
				"run nft -f %s, and look for what flushes nftables", t.Name, t.Without, t.File))
		case other:
			out = append(out, cause.New("table inet %s is not what %s says, so %s: "+
				"run nft -f %s, and look for who changes it", t.Name, t.File, t.Without, t.File))
		}
	}
	return out
}

// differs reports whether a table in the kernel is not what its file makes, by loading
// the file where nobody is: the words of one nft are compared, so its version is all the same.
func differs(ctx context.Context, t NFTable) (bool, error) {
	list := []string{"-s", "-t", "list", "table", "inet", t.Name}
	have, err := program.Run(ctx, "nft", list...)
	if err != nil {
		return false, err
	}
	want, err := program.Call{
		Name: "sh", Args: append([]string{"-c", `nft -f "$0" >/dev/null && exec nft "$@"`, t.File}, list...),
		Attr: &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET},
	}.Run(ctx)
	return err == nil && want.Out != have, nil // where no namespace can be made nobody knows
}
