package ansible

import (
	"bytes"
	"cmp"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
)

// Decode fills the struct that target points to from a JSON object of options.
// Keys that begin with _ansible_ are Ansible's own and are skipped.
//
// It is lenient, because templating turns values into strings, and goes by the Go type at any
// depth: "51820" fills an int, "yes" and 1 fill a bool, 1 fills a string, "a,b" or a single value
// fills a list, a string of JSON fills a map or struct, and null leaves what is there. Types with
// UnmarshalText, such as netip.Addr, read strings; those with UnmarshalJSON read anything.
//
// It is strict about names: an option that the struct does not have is refused
// at any depth. All problems are reported together, each with its path. Those
// that Validate finds come only when there are no others.
func Decode(raw []byte, target any) error {
	if t, ok := target.(interface{ SetDefaults() }); ok {
		t.SetDefaults()
	}
	var d decoder
	d.document(raw, target)
	if len(d.problems) > 0 {
		return errors.Join(d.problems...)
	}
	if t, ok := target.(interface{ Validate() error }); ok {
		return t.Validate()
	}
	return nil
}

// decoder collects what is wrong instead of stopping at the first problem.
type decoder struct {
	problems      []error
	ignoreUnknown bool
}

func (d *decoder) document(raw []byte, target any) {
	tree, err := parseJSON(raw)
	if err != nil {
		d.problems = append(d.problems, fmt.Errorf("arguments: expected one JSON object: %w", err))
		return
	}
	object, ok := tree.(map[string]any)
	if !ok {
		d.problems = append(d.problems, fmt.Errorf("arguments: expected one JSON object, got %s", describe(tree)))
		return
	}
	if !d.ignoreUnknown {
		maps.DeleteFunc(object, func(k string, _ any) bool { return strings.HasPrefix(k, ownKey) })
	}
	d.value("", object, reflect.ValueOf(target).Elem())
}

func parseJSON(raw []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows it")
	}
	return v, nil
}

func (d *decoder) problem(path, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if path != "" {
		text = path + ": " + text
	}
	d.problems = append(d.problems, errors.New(text))
}

func (d *decoder) value(path string, src any, dst reflect.Value) {
	if src == nil {
		return
	}
	if dst.Kind() == reflect.Pointer {
		if dst.IsNil() {
			dst.Set(reflect.New(dst.Type().Elem()))
		}
		d.value(path, src, dst.Elem())
		return
	}
	if d.custom(path, src, dst) {
		return
	}
	switch dst.Kind() {
	case reflect.Struct:
		if object, ok := d.object(path, src); ok {
			d.fields(path, object, dst)
		}
	case reflect.Map:
		if object, ok := d.object(path, src); ok {
			d.entries(path, object, dst)
		}
	case reflect.Slice:
		d.list(path, src, dst)
	case reflect.Interface:
		dst.Set(reflect.ValueOf(plain(src)))
	default:
		if err := setScalar(src, dst); err != nil {
			d.problem(path, "%s", err)
		}
	}
}

// custom lets a type decode itself, as encoding/json would.
func (d *decoder) custom(path string, src any, dst reflect.Value) bool {
	var err error
	switch t := dst.Addr().Interface().(type) {
	case json.Unmarshaler:
		var raw []byte
		if raw, err = json.Marshal(src); err == nil {
			err = t.UnmarshalJSON(raw)
		}
	case encoding.TextUnmarshaler:
		text, ok := scalarText(src)
		if !ok {
			d.problem(path, "expected a string, got %s", describe(src))
			return true
		}
		err = t.UnmarshalText([]byte(strings.TrimSpace(text)))
	default:
		return false
	}
	if err != nil {
		d.problem(path, "%s", err)
	}
	return true
}

// object returns src as an object, also when it is one inside a string.
func (d *decoder) object(path string, src any) (map[string]any, bool) {
	if text, ok := src.(string); ok {
		if inner, err := parseJSON([]byte(text)); err == nil {
			src = inner
		}
	}
	object, ok := src.(map[string]any)
	if !ok {
		d.problem(path, "expected a dictionary, got %s", describe(src))
	}
	return object, ok
}

func (d *decoder) fields(path string, object map[string]any, dst reflect.Value) {
	fields := map[string]reflect.Value{}
	collectFields(dst, fields)
	names := slices.Sorted(maps.Keys(fields))
	for _, key := range slices.Sorted(maps.Keys(object)) {
		field, ok := fields[key]
		switch {
		case ok:
			d.value(join(path, key), object[key], field)
		case !d.ignoreUnknown:
			d.problem(join(path, key), "unknown option; %s", hint(key, names))
		}
	}
}

// collectFields finds the settable fields of a struct by option name.
func collectFields(v reflect.Value, out map[string]reflect.Value) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			collectFields(v.Field(i), out)
		case f.IsExported() && name != "-":
			name = cmp.Or(name, f.Name)
			out[name] = v.Field(i)
		}
	}
}

func (d *decoder) entries(path string, object map[string]any, dst reflect.Value) {
	out := reflect.MakeMapWithSize(dst.Type(), len(object))
	for _, key := range slices.Sorted(maps.Keys(object)) {
		v := reflect.New(dst.Type().Elem()).Elem()
		d.value(join(path, key), object[key], v)
		out.SetMapIndex(reflect.ValueOf(key).Convert(dst.Type().Key()), v)
	}
	dst.Set(out)
}

// list decodes an array, or the parts of a string, into a slice.
func (d *decoder) list(path string, src any, dst reflect.Value) {
	items, ok := split(src)
	if !ok {
		d.problem(path, "expected a list, got %s", describe(src))
		return
	}
	out := reflect.MakeSlice(dst.Type(), len(items), len(items))
	for i, item := range items {
		at := fmt.Sprintf("%s[%d]", path, i)
		if item == nil {
			d.problem(at, "expected a value, got null")
			continue
		}
		d.value(at, item, out.Index(i))
	}
	dst.Set(out)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

const ownKey = "_ansible_"

// control holds those of Ansible's own arguments that matter here.
type control struct {
	Check bool `json:"_ansible_check_mode"`
	Diff  bool `json:"_ansible_diff"`
	Keep  bool `json:"_ansible_keep_remote_files"`
}

// parseControl reads Ansible's own arguments and ignores all others.
func parseControl(raw []byte) (control, error) {
	var own map[string]json.RawMessage
	if err := json.Unmarshal(raw, &own); err != nil {
		return control{}, fmt.Errorf("arguments: expected one JSON object: %w", err)
	}
	for k, v := range own {
		if !strings.HasPrefix(k, ownKey) || string(v) == "null" {
			delete(own, k)
		}
	}
	var ctl control
	tree, err := json.Marshal(own)
	if err != nil {
		return ctl, err
	}
	d := decoder{ignoreUnknown: true}
	d.document(tree, &ctl)
	return ctl, errors.Join(d.problems...)
}

// readArguments returns the JSON of the file that argv names, or of in when
// argv is empty. A file that Ansible made is unlinked at once: Ansible leaves
// it on the host when the controller dies. One that a person wrote stays.
func readArguments(argv []string, in io.Reader) ([]byte, error) {
	switch len(argv) {
	case 0:
		return io.ReadAll(in)
	case 1:
	default:
		return nil, fmt.Errorf("expected one argument, the file of arguments, got %d", len(argv))
	}
	raw, err := os.ReadFile(argv[0])
	if err != nil {
		return nil, err
	}
	if !bytes.Contains(raw, []byte(`"`+ownKey)) {
		return raw, nil
	}
	if ctl, err := parseControl(raw); err == nil && ctl.Keep {
		return raw, nil
	}
	return raw, os.Remove(argv[0])
}
