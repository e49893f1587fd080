package keyfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/wgmesh/router/pkg/plan"
)

// Leftovers returns the temporary files that a killed run of pkg/atomicfile
// left beside path, sorted: ".<base>.<digits>". They may hold a secret, or be
// a second name of the key itself, so whoever manages path removes them.
func Leftovers(path string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		number, ours := strings.CutPrefix(e.Name(), "."+filepath.Base(path)+".")
		if e.Type().IsRegular() && ours && plan.Only(number, plan.Digits) {
			out = append(out, filepath.Join(filepath.Dir(path), e.Name()))
		}
	}
	return out, nil
}
