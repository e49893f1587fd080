package join

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// A node is a part of a YAML file that knows where it stands. yaml.v3's own
// strict mode speaks of Go types, to someone who wrote a file.
type node struct {
	*yaml.Node
	file string
}

// A field takes over one value. The name is as the user knows it: controller.url.
type field func(n node, name string) error

func (n node) wrong(format string, args ...any) error {
	return wrong("%s:%d: %s", n.file, n.Line, fmt.Sprintf(format, args...))
}

var (
	yamlLine = regexp.MustCompile(`^yaml: line (\d+): (.*)`)
	// What yaml.v3's parser says, other than its scanner, has the number of the line before.
	fromParser = regexp.MustCompile(`^did not find expected (node content|',' or|key|'-' indicator|<)`)
)

func parse(file string, text []byte) (node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document yaml.Node
	err := decoder.Decode(&document)
	switch {
	case errors.Is(err, io.EOF):
		return node{}, wrong("%s: is empty; an example is in examples/join/join.yml", file)
	case err != nil:
		where, what := file, strings.TrimPrefix(err.Error(), "yaml: ")
		if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
			line, _ := strconv.Atoi(m[1])
			if what = m[2]; fromParser.MatchString(what) {
				line++
			}
			where = fmt.Sprintf("%s:%d", file, line)
		}
		return node{}, wrong("%s: is not YAML: %s", where, oneLine(what))
	}
	root := node{document.Content[0], file}
	if !errors.Is(decoder.Decode(new(yaml.Node)), io.EOF) {
		return node{}, wrong("%s: holds more than one document; expected one, without ---", file)
	}
	return root, nil
}

// fields takes over the values of a mapping. prefix is its own name.
func (n node) fields(prefix string, known map[string]field) error {
	if n.Kind != yaml.MappingNode {
		what := "the file"
		if prefix != "" {
			what = prefix
		}
		return n.wrong("%s: expected fields and values, such as \"%s: ...\"", what,
			slices.Min(slices.Collect(maps.Keys(known))))
	}
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := node{n.Content[i], n.file}, node{n.Content[i+1], n.file}
		name := strings.TrimPrefix(prefix+"."+key.Value, ".")
		take, found := known[key.Value]
		if !found {
			return key.wrong("%s: is not known; expected one of %s", name,
				strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
		if line, twice := lines[key.Value]; twice {
			return key.wrong("%s: is set in line %d already", name, line)
		}
		lines[key.Value] = key.Line
		if value.Kind == yaml.AliasNode {
			value.Node = value.Alias
		}
		if err := take(value, name); err != nil {
			return err
		}
	}
	return nil
}

// text is a value that is not empty.
func text(to *string) field {
	return func(n node, name string) error {
		if n.Kind != yaml.ScalarNode || n.Value == "" || n.Tag == "!!null" {
			return n.wrong("%s: expected a text, found %s", name, n.kind())
		}
		*to = n.Value
		return nil
	}
}

// fits is a text that is not as wrong says, with its name and itself.
func fits(to *string, is func(string) bool, wrong string, more ...any) field {
	return func(n node, name string) error {
		err := text(to)(n, name)
		if err == nil && !is(*to) {
			err = n.wrong(wrong, append([]any{name, *to}, more...)...)
		}
		return err
	}
}

// name is a text that Ansible takes for the name of one host or group.
func name(to *string) field {
	plain := func(s string) bool { return !strings.ContainsAny(s, " \t\n,:;!&*?[]{}") }
	return fits(to, plain, "%s: %q is a pattern and no name")
}

// path is a text that means the same file wherever the command is started.
func path(to *string) field { return fits(to, filepath.IsAbs, "%s: %q does not start with /") }

// paths is a path or a list of them.
func paths(to *[]string) field {
	return func(n node, name string) error {
		list := []*yaml.Node{n.Node}
		if n.Kind == yaml.SequenceNode {
			list = n.Content
		}
		for i, item := range list {
			var one string
			label := name
			if n.Kind == yaml.SequenceNode {
				label = fmt.Sprintf("%s[%d]", name, i)
			}
			if err := path(&one)(node{item, n.file}, label); err != nil {
				return err
			}
			*to = append(*to, one)
		}
		return nil
	}
}

// oneOf is one of a few words.
func oneOf(to *string, words ...string) field {
	known := func(s string) bool { return slices.Contains(words, s) }
	return fits(to, known, "%s: %q is not known; expected %s", strings.Join(words, " or "))
}

// duration is a number with a unit.
func duration(to *time.Duration) field {
	return func(n node, name string) error {
		value, err := time.ParseDuration(n.Value)
		if n.Kind != yaml.ScalarNode || err != nil || value <= 0 {
			return n.wrong("%s: %q is not a duration; expected one such as 90s or 10m", name, n.Value)
		}
		*to = value
		return nil
	}
}

func boolean(to *bool) field {
	return func(n node, name string) error {
		if n.Tag != "!!bool" || n.Decode(to) != nil {
			return n.wrong("%s: %q is neither true nor false", name, n.Value)
		}
		return nil
	}
}

// kind says in words what stands where a text should.
func (n node) kind() string {
	switch n.Kind {
	case yaml.MappingNode:
		return "fields"
	case yaml.SequenceNode:
		return "a list"
	default:
		return "nothing"
	}
}
