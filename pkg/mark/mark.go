// Package mark is how what was made for a mesh says for which one. A host is in one
// mesh: what another one made there, or a user for himself, is left alone.
package mark

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/plan"
)

// start is how the line begins that a text file carries near its top.
const start = "# mesh: "

// maker stands before it in every file of ours, in text and as JSON's made_by.
const maker = "wgmesh.router"

// name is what a mesh may be called: the name of an Ansible group, as a rule.
var name = plan.Name{First: plan.Alphanumeric + "_", Rest: plan.Alphanumeric + "_.-", Most: 63}

// Foreign refuses a file that is in the place of one of ours and is somebody else's: it would be
// overwritten, or removed when we go. A power cut may have left one of ours empty.
func Foreign(path string, text []byte) error {
	if len(bytes.Trim(text, "\x00 \n")) == 0 || bytes.Contains(text, []byte(maker)) {
		return nil
	}
	return cause.New("%s was not made by wgmesh.router: move it away", path)
}

// An Owner is for whom something is made: a mesh, or a user himself.
type Owner struct {
	Mesh string `json:"mesh"` // empty: a user
	// Before is a mesh whose things count as this one's: its former name, or the mesh
	// that the host leaves for this one.
	Before string `json:"mesh_before"`
}

// Validate refuses what cannot be the name of a mesh.
func (o Owner) Validate() error {
	var errs []error
	for _, n := range [][2]string{{"mesh", o.Mesh}, {"mesh_before", o.Before}} {
		if n[1] != "" && !name.Fits(n[1]) {
			errs = append(errs,
				fmt.Errorf("%s: %.70q: expected at most 63 letters, digits and _.- (in a play, mesh_name)", n[0], n[1]))
		}
	}
	return errors.Join(errs...)
}

// Owns reports whether what carries this name is the owner's.
func (o Owner) Owns(mesh string) bool { return mesh == o.Mesh || mesh != "" && mesh == o.Before }

// Line is the comment that goes near the top of a text file, nothing without a mesh.
func (o Owner) Line() string {
	if o.Mesh == "" {
		return ""
	}
	return start + o.Mesh + "\n"
}

// Of reads it back from the comments that a text of ours begins with.
func Of(text string) string {
	ours := false
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			break
		}
		ours = ours || strings.Contains(line, maker)
		if mesh, ok := strings.CutPrefix(strings.TrimSpace(line), start); ok && ours && name.Fits(mesh) {
			return mesh
		}
	}
	return ""
}

// A Claim is a file that says that its host is in a mesh.
type Claim struct{ Mesh, Path string }

// places are the files that a mesh makes on a host, as patterns.
func places() []string {
	return []string{
		"etc/bird/bird.conf", "etc/bird.conf", "etc/wgmesh/gate.json", "etc/wgmesh/floor",
		"etc/wireguard/*.conf", "etc/wireguard/wgmesh-psk/*.json", "etc/sysctl.d/99-zz-wgmesh.conf",
	}
}

// most is how much of a file is looked at. A gate.json has the mesh among its first words.
const most = 4096

// Observe looks at the files of a host, below root, and writes nothing. Only the
// first words of each are read: some files of others hold keys.
func Observe(root string) ([]Claim, error) {
	var out []Claim
	for _, pattern := range places() {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			text, err := head(path)
			if err != nil {
				return nil, err
			}
			mesh := Of(text)
			if strings.HasSuffix(path, ".json") {
				mesh = ofJSON(text)
			}
			if mesh != "" {
				out = append(out, Claim{mesh, path})
			}
		}
	}
	return out, nil
}

// head is the beginning of a regular file, nothing of anything else.
func head(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ELOOP) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(f, most))
	return string(text), err
}

// ofJSON finds the mesh of an object of ours, which may break off. It stands before
// anything that is nested.
func ofJSON(text string) string {
	d := json.NewDecoder(strings.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return ""
	}
	ours := false
	for {
		key, err := d.Token()
		if err != nil {
			return ""
		}
		value, err := d.Token()
		if _, nested := value.(json.Delim); nested || err != nil {
			return ""
		}
		ours = ours || key == "made_by" && value == maker
		if mesh, ok := value.(string); ok && ours && key == "mesh" && name.Fits(mesh) {
			return mesh
		}
	}
}

// Refuse returns an error when the host is in another mesh.
func (o Owner) Refuse(claims []Claim) error {
	other, paths := "", cause.List{}
	for _, c := range claims {
		if o.Owns(c.Mesh) || other != "" && c.Mesh != other {
			continue
		}
		other, paths = c.Mesh, append(paths, c.Path)
	}
	if other == "" || o.Mesh == "" {
		return nil
	}
	return cause.New("this host is in the mesh %s (%s), so it cannot be in %s: take it out there first (docs/leave.md)",
		other, paths, o.Mesh)
}
