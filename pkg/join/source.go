package join

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// dataCore is the first ansible-core that hands over what a source found as data.
// Those before it run such a text as a template, {{ lookup('pipe', ...) }} in the
// tag of a VM, as root, on every router that reads it.
var dataCore = core{2, 19}

// oldestCore is the first that this collection runs with.
var oldestCore = core{2, 14}

// ownPlugins are those inventory plugins that mark what they found on every core.
var ownPlugins = []string{"wgmesh.router.consul", "wgmesh.router.routers"}

// notRead are the ends of names that Ansible passes over in a folder of sources.
var notRead = []string{"~", ".pyc", ".pyo", ".swp", ".bak", ".rpm", ".md", ".txt", ".rst", ".orig", ".cfg", ".retry"}

// A core is a version of ansible-core, without what comes after the second number.
type core struct{ major, minor int }

func (c core) String() string { return strconv.Itoa(c.major) + "." + strconv.Itoa(c.minor) }

func (c core) before(other core) bool {
	return c.major < other.major || c.major == other.major && c.minor < other.minor
}

var coreInVersion = regexp.MustCompile(`\[core (\d+)\.(\d+)`)

// parseCore reads what a program of Ansible says to --version.
func parseCore(text []byte) (core, bool) {
	m := coreInVersion.FindSubmatch(text)
	if m == nil {
		return core{}, false
	}
	major, _ := strconv.Atoi(string(m[1]))
	minor, _ := strconv.Atoi(string(m[2]))
	return core{major, minor}, true
}

// finder returns the first source that finds its hosts somewhere else, so that
// others write what it says: a program, or the configuration of a plugin that is not
// ours. "" when every source is a text that somebody wrote for this inventory.
func finder(sources []string) (string, error) {
	for _, source := range sources {
		if found, err := finderIn(source, 0); found != "" || err != nil {
			return found, err
		}
	}
	return "", nil
}

// mostFolders bounds how deep a source is looked into: links can go in circles.
const mostFolders = 16

// finderIn looks into a file, or into a folder and those below it, as Ansible does: through links.
func finderIn(path string, depth int) (string, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", err
	case depth > mostFolders:
		return "", wrong("%s: there are more than %d folders in each other: remove a link to a folder above", path,
			mostFolders)
	case !info.IsDir():
		finds, err := findsHosts(path, info)
		if !finds {
			path = ""
		}
		return path, err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return "", err
	}
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, ".") || slices.Contains([]string{"group_vars", "host_vars", "vars_plugins"}, name) ||
			slices.ContainsFunc(notRead, func(end string) bool { return strings.HasSuffix(name, end) }) {
			continue
		}
		if found, err := finderIn(filepath.Join(path, name), depth+1); found != "" || err != nil {
			return found, err
		}
	}
	return "", nil
}

// findsHosts reports whether a file is not a plain inventory. One that is not YAML is
// taken for a plugin's where it mentions one.
func findsHosts(path string, info fs.FileInfo) (bool, error) {
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o111 != 0 {
		return true, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	// Sources may have more than Ansible's yaml plugin takes, such as !vault.
	var document struct {
		Plugin yaml.Node `yaml:"plugin"`
	}
	if yaml.Unmarshal(text, &document) != nil {
		if bytes.HasPrefix(text, []byte("$ANSIBLE_VAULT")) {
			return true, nil
		}
		return bytes.Contains(text, []byte("plugin")), nil
	}
	return !document.Plugin.IsZero() && !slices.Contains(ownPlugins, document.Plugin.Value), nil
}

// printCore is "wgmesh join --core", by which the image play learns what to install.
func printCore(stdout, stderr io.Writer, sources []string) int {
	source, err := finder(sources)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "wgmesh join: %v\n", err)
		return badConfig
	}
	need := oldestCore
	if source != "" {
		need = dataCore
	}
	_, _ = fmt.Fprintln(stdout, need)
	return 0
}

// checkCore refuses an Ansible that would run what others wrote into a source.
func (r run) checkCore(ctx context.Context, program, dir string) error {
	source, err := finder(r.config.Inventory)
	if err != nil || source == "" {
		return err
	}
	var stdout bytes.Buffer
	asked := tool{path: program, args: []string{"--version"}, dir: dir, out: &stdout, err: &bytes.Buffer{}}
	if err := asked.run(ctx); err != nil {
		if ctx.Err() != nil {
			return err
		}
		return errors.New(program + " --version: " + oneLine(err.Error()))
	}
	have, known := parseCore(stdout.Bytes())
	if known && !have.before(dataCore) {
		return nil
	}
	is := "an unknown version"
	if known {
		is = have.String()
	}
	return wrong("%s: ansible-core here is %s, which runs what this source finds as templates, as root; "+
		"expected %s or newer: build the image with router_join_discovery: true, or put one into %s", source,
		is, dataCore, r.config.AnsibleBinDir)
}
