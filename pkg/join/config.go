package join

import (
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/wgmesh/router/pkg/plan"
)

// A Config is what /etc/wgmesh/join.yml says.
type Config struct {
	Path             string // of the file itself
	Router           string // the name of this router in the inventory; empty: see self
	Inventory        []string
	Mode             string
	Controller       Controller
	Group            string
	IdentityFile     string
	DiscoveryTimeout time.Duration
	PlayTimeout      time.Duration
	InventoryMaxAge  time.Duration // of the last good answer
	AnsibleBinDir    string
	StateDir         string
}

// A Controller is an AWX or Automation Platform with a job template that has
// provisioning callbacks enabled.
type Controller struct {
	URL       *url.URL
	KeyFile   string
	CAFile    string
	AllowHTTP bool
}

// Load reads the file path. Every error is one line, with the file and the line
// in it, and has the exit status badConfig.
func Load(path string) (Config, error) {
	c := Config{
		Path: path, Mode: "router", Group: "routers",
		IdentityFile:     "/etc/ssh/ssh_host_ed25519_key",
		DiscoveryTimeout: time.Minute, PlayTimeout: 10 * time.Minute, InventoryMaxAge: 7 * 24 * time.Hour,
		AnsibleBinDir: plan.AnsibleBin, StateDir: "/var/lib/wgmesh",
	}
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return c, missing(path, cloudInitLog)
	case err != nil:
		return c, wrong("%v", err)
	}
	root, err := parse(path, text)
	if err != nil {
		return c, err
	}
	return c, c.fill(root)
}

func (c *Config) fill(root node) error {
	err := root.fields("", map[string]field{
		"router":            name(&c.Router),
		"inventory":         paths(&c.Inventory),
		"mode":              oneOf(&c.Mode, "router", "controller"),
		"controller":        c.Controller.fill,
		"group":             name(&c.Group),
		"identity_file":     path(&c.IdentityFile),
		"discovery_timeout": duration(&c.DiscoveryTimeout),
		"play_timeout":      duration(&c.PlayTimeout),
		"inventory_max_age": duration(&c.InventoryMaxAge),
		"ansible_bin_dir":   path(&c.AnsibleBinDir),
		"state_dir":         path(&c.StateDir),
	})
	switch {
	case err != nil:
		return err
	case c.Mode == "router" && len(c.Inventory) == 0:
		return wrong(
			"%s: inventory is missing: name the sources of ansible-inventory that say who is in the mesh", c.Path)
	case c.Mode == "controller" && c.Controller.URL == nil:
		return wrong(
			"%s: controller.url is missing: the job template's page shows it as \"Provisioning callback URL\"", c.Path)
	case c.Mode == "controller" && c.Controller.KeyFile == "":
		return wrong("%s: controller.host_config_key_file is missing: "+
			"name a file of mode 0600 with the job template's host config key", c.Path)
	}
	return nil
}

func (c *Controller) fill(n node, name string) error {
	var address string
	if err := n.fields(name, map[string]field{
		"url": func(n node, name string) (err error) {
			if err := text(&address)(n, name); err != nil {
				return err
			}
			c.URL, err = url.Parse(address)
			if err != nil || c.URL.Host == "" {
				// Not the parser's words: they repeat the address, and it may hold a password.
				return n.wrong("%s: is not a URL; expected https://HOST/api/v2/job_templates/NUMBER/callback/", name)
			}
			return nil
		},
		"host_config_key_file": path(&c.KeyFile),
		"ca_file":              path(&c.CAFile),
		"allow_http":           boolean(&c.AllowHTTP),
	}); err != nil {
		return err
	}
	switch u := c.URL; {
	case u == nil:
		return nil
	case u.User != nil || u.RawQuery != "":
		return n.wrong("%s.url: holds a user or a query; "+
			"the callback needs the host config key only, in %s.host_config_key_file", name, name)
	case u.Scheme != "https" && (u.Scheme != "http" || !c.AllowHTTP):
		return n.wrong("%s.url: starts with %q; expected https, since the host config key goes there "+
			"(%s.allow_http: true permits http)", name, u.Scheme+"://", name)
	case !strings.HasSuffix(u.Path, "/callback/"):
		// Django redirects an address without the slash, and a redirected POST is lost.
		return n.wrong("%s.url: %q does not end in /callback/; copy the job template's \"Provisioning callback URL\"",
			name, u.Path)
	}
	return nil
}

// key reads the host config key, which is a secret and never part of an error.
func (c Controller) key() (string, error) {
	info, err := os.Stat(c.KeyFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", wrong("%s: no such file; put the job template's host config key into it: "+
			"install -m 600 /dev/stdin %s", c.KeyFile, c.KeyFile)
	case err != nil:
		return "", wrong("%v", err)
	case !info.Mode().IsRegular():
		return "", wrong("%s: is not a regular file; expected one with the host config key", c.KeyFile)
	case info.Mode().Perm()&0o077 != 0:
		return "", wrong("%s: others can read the host config key (mode %04o): chmod 600 %s",
			c.KeyFile, info.Mode().Perm(), c.KeyFile)
	}
	content, err := os.ReadFile(c.KeyFile)
	if err != nil {
		return "", wrong("%v", err)
	}
	key := strings.TrimSpace(string(content))
	if key == "" || strings.ContainsAny(key, "\r\n") {
		return "", wrong("%s: expected the host config key in one line", c.KeyFile)
	}
	return key, nil
}

// kept is the file with the last good answer of discovery: one that mesh_plan has accepted.
func (c Config) kept() string { return filepath.Join(c.StateDir, "inventory.json") }

// found is the file with an answer until then.
func (c Config) found() string { return filepath.Join(c.StateDir, "inventory.found.json") }
