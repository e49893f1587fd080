package mark

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/wgmesh/router/pkg/cause"
)

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
