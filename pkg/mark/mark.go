// Package mark is how what was made for a mesh says for which one. A host is in one
// mesh: what another one made there, or a user for himself, is left alone.
package mark

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

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
