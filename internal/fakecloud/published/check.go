package published

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tomorrow begins the names of fields that a stand-in adds to its answers, as a
// new version of the API would, to see that they survive.
const tomorrow = "future"

// Request returns what is wrong with a request. served is the last answer to a GET of the same
// path, or nil: what is read-only, and what no description knows, may come back as it went out.
func (d *Description) Request(r *http.Request, body []byte, served any) []string {
	id, m, variables := d.find(r)
	if m == nil {
		return []string{"no method has this path"}
	}
	c := checker{api: d, method: id}
	c.parameters(m, variables, r.URL.Query())
	switch {
	case m.Request == nil && len(body) > 0:
		c.say("%s takes no body", id)
	case m.Request != nil:
		v, err := decode(body)
		if err != nil {
			return append(c.found, "the body is not JSON: "+err.Error())
		}
		c.value("body", m.Request, v, served)
	}
	return c.found
}

// Answer returns what is wrong with an answer to a request.
func (d *Description) Answer(r *http.Request, status int, body []byte) []string {
	id, m, _ := d.find(r)
	if m == nil {
		return nil // the request was wrong
	}
	c, want := checker{api: d}, m.Response
	if status < 200 || status > 299 {
		if want = d.Errors; want == nil {
			return nil // how errors look is not in the description
		}
	} else if good := append([]int{}, m.Statuses...); !slices.Contains(good, status) &&
		(len(good) > 0 || status != http.StatusOK) {
		c.say("%s does not answer with the status %d", id, status)
	}
	switch {
	case want == nil && len(bytes.TrimSpace(body)) > 0:
		c.say("%s answers without a body", id)
	case want != nil && (status != http.StatusAccepted && status != http.StatusNoContent):
		v, err := decode(body)
		if err != nil {
			return append(c.found, "the answer is not JSON: "+err.Error())
		}
		c.value("answer", want, v, nil)
	}
	return c.found
}

func decode(raw []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

type checker struct {
	api    *Description
	method string // whose request it is; "" for an answer
	found  []string
}

func (c *checker) say(format string, args ...any) {
	c.found = append(c.found, fmt.Sprintf(format, args...))
}

func (c *checker) parameters(m *Method, variables map[string]string, query url.Values) {
	for _, name := range slices.Sorted(maps.Keys(query)) {
		s := m.Parameters[name]
		if s == nil || s.Location != "query" {
			s = c.api.Parameters[name]
		}
		switch {
		case s == nil:
			c.say("unknown query parameter %s", name)
		case len(query[name]) > 1 && !s.Repeated:
			c.say("query parameter %s: given %d times", name, len(query[name]))
		default:
			c.parameter("query parameter "+name, s, query[name][0])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Parameters)) {
		s := m.Parameters[name]
		switch {
		case s.Location == "path":
			c.parameter(name, s, variables[name])
		case s.Required && query.Get(name) == "":
			c.say("query parameter %s is missing", name)
		}
	}
}

// parameter checks one that came as text.
func (c *checker) parameter(at string, s *Schema, text string) {
	switch s.Type {
	case "boolean":
		if text != "true" && text != "false" {
			c.say("%s: expected true or false, got %q", at, text)
		}
	case "integer":
		c.value(at, s, json.Number(text), nil)
	default:
		c.value(at, s, text, nil)
	}
}

func (c *checker) value(at string, s *Schema, v, served any) {
	if s.Ref != "" {
		if s = c.api.Schemas[s.Ref]; s == nil {
			c.say("%s: its schema is not in the extract", at)
			return
		}
	}
	switch typed := v.(type) {
	case map[string]any:
		if c.is(at, s, v, "object") {
			before, _ := served.(map[string]any)
			c.object(at, s, typed, before)
		}
	case []any:
		if c.is(at, s, v, "array") {
			before, _ := served.([]any)
			for i, item := range typed {
				var was any
				if i < len(before) {
					was = before[i]
				}
				c.value(fmt.Sprintf("%s[%d]", at, i), s.Items, item, was)
			}
		}
	case string:
		if c.is(at, s, v, "string") {
			c.text(at, s, typed)
		}
	case json.Number:
		if c.is(at, s, v, "number", "integer") && !fits(s, string(typed)) {
			c.say("%s: expected %s, got %s", at, kind(s), typed)
		}
	default: // bool, and null, which no field is
		c.is(at, s, v, "boolean")
	}
}

// is reports whether a value of one of these types may be there, and whether
// there is more to check.
func (c *checker) is(at string, s *Schema, v any, types ...string) bool {
	if s.Type == "any" || s.Format == "google.protobuf.Any" {
		return false
	}
	if v == nil || !slices.Contains(types, s.Type) {
		raw, _ := json.Marshal(v)
		c.say("%s: expected %s, got %s", at, kind(s), raw)
		return false
	}
	return true
}

func kind(s *Schema) string { return strings.TrimSpace(s.Type + " " + s.Format) }

func (c *checker) object(at string, s *Schema, v, served map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(v)) {
		property := cmp.Or(s.Properties[name], s.AdditionalProperties)
		was, seen := served[name]
		same := seen && reflect.DeepEqual(was, v[name])
		switch {
		case property == nil && c.method != "" && same, property == nil && c.method == "" &&
			strings.HasPrefix(name, tomorrow):
		case property == nil:
			c.say("%s.%s: unknown field", at, name)
		case property.ReadOnly && c.method != "" && !same:
			c.say("%s.%s: it is read-only", at, name)
		default:
			c.value(at+"."+name, property, v[name], was)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[name]
		needed := p.Required || p.Annotations != nil && slices.Contains(p.Annotations.Required, c.method)
		if _, there := v[name]; needed && !there {
			c.say("%s.%s: it is required", at, name)
		}
	}
}

func (c *checker) text(at string, s *Schema, v string) {
	switch {
	case len(s.Enum) > 0 && !slices.Contains(s.Enum, v):
		c.say("%s: expected one of %s, got %q", at, strings.Join(s.Enum, ", "), v)
	case s.Pattern != "" && !regexp.MustCompile("^(?:"+s.Pattern+")$").MatchString(v):
		c.say("%s: expected %s, got %q", at, s.Pattern, v)
	case !fits(s, v):
		c.say("%s: expected %s, got %q", at, kind(s), v)
	}
}

func fits(s *Schema, v string) bool {
	var err error
	switch s.Format {
	case "int32":
		_, err = strconv.ParseInt(v, 10, 32)
	case "uint32":
		_, err = strconv.ParseUint(v, 10, 32)
	case "int64":
		_, err = strconv.ParseInt(v, 10, 64)
	case "uint64":
		_, err = strconv.ParseUint(v, 10, 64)
	case "float", "double":
		_, err = strconv.ParseFloat(v, 64)
	case "byte":
		_, err = base64.StdEncoding.DecodeString(v)
	case "date-time", "google-datetime":
		_, err = time.Parse(time.RFC3339, v)
	case "google-duration":
		_, err = time.ParseDuration(v)
	}
	return err == nil
}
