package ansible_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/pkg/ansible"
)

func TestRequired(t *testing.T) {
	assert.NoError(t, ansible.Required("a", "x", "b", []int{1}, "c", true))
	assert.EqualError(t, ansible.Required("a", "", "b", []int{}, "c", 0, "d", map[string]int(nil), "e", nil, "f", 1),
		"a: required option is missing\nb: required option is missing\nc: required option is missing\n"+
			"d: required option is missing\ne: required option is missing")
}

func TestExclusive(t *testing.T) {
	assert.NoError(t, ansible.Exclusive("a", "", "b", 1))
	assert.NoError(t, ansible.Exclusive("a", "", "b", 0))
	assert.EqualError(t, ansible.Exclusive("a", "x", "b", 0, "c", 1),
		"a, c: these options exclude each other; keep one")
}

func TestOneOf(t *testing.T) {
	assert.NoError(t, ansible.OneOf("state", "present", "present", "absent"))
	assert.NoError(t, ansible.OneOf("state", "", "", "absent"))
	assert.EqualError(t, ansible.OneOf("state", "gone", "present", "absent"),
		`state: expected one of present, absent, got "gone"`)
}

type checked struct {
	Name  string `json:"name"`
	Port  int    `json:"port"`
	State string `json:"state"`
}

func (c *checked) SetDefaults() { c.State = "present" }

func (c checked) Validate() error {
	return errors.Join(
		ansible.Required("name", c.Name, "port", c.Port),
		ansible.OneOf("state", c.State, "present", "absent"),
	)
}

func TestDecodeValidates(t *testing.T) {
	assert.NoError(t, ansible.Decode([]byte(`{"name":"a","port":1}`), &checked{}))
	assert.EqualError(t, ansible.Decode([]byte(`{"state":"x"}`), &checked{}),
		"name: required option is missing\nport: required option is missing\n"+
			"state: expected one of present, absent, got \"x\"")
	assert.EqualError(t, ansible.Decode([]byte(`{"stat":"x"}`), &checked{}),
		`stat: unknown option; did you mean "state"?`, "what a misspelt option would have set is not missing")
}
