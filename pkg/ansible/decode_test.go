package ansible_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/ansible"
)

type peer struct {
	Name     string         `json:"name"`
	Port     int            `json:"port"`
	Endpoint netip.AddrPort `json:"endpoint"`
	Allowed  []netip.Prefix `json:"allowed_ips"`
}

type tunnel struct {
	Name  string     `json:"name"`
	MTU   uint16     `json:"mtu"`
	Via   netip.Addr `json:"via"`
	Peers []peer     `json:"peers"`
}

type options struct {
	Tunnels []tunnel          `json:"tunnels"`
	Keys    map[string]string `json:"public_keys"`
	Sites   map[string]tunnel `json:"sites"`
	Purge   bool              `json:"purge"`
	Drain   *bool             `json:"drain"`
	Timeout int               `json:"timeout"`
	Ratio   float64           `json:"ratio"`
	Small   int8              `json:"small"`
	Tags    []string          `json:"tags"`
	Any     any               `json:"any"`
	Rotate  rotate            `json:"rotate"`
	shared
}

type shared struct {
	State string `json:"state"`
}

// rotate is a bool or a list, as one module has it.
type rotate struct{ Text string }

func (r *rotate) UnmarshalJSON(raw []byte) error {
	if string(raw) == `"never"` {
		return errors.New("not a rotation")
	}
	r.Text = string(raw)
	return nil
}

func (o *options) SetDefaults() { o.Timeout, o.State = 120, "applied" }

func TestDecode(t *testing.T) {
	yes := true
	for name, tt := range map[string]struct {
		in   string
		want func(*options)
	}{
		"nothing":            {`{}`, func(*options) {}},
		"own keys":           {`{"_ansible_check_mode":true,"_ansible_new_in_2_30":{"a":[1]}}`, func(*options) {}},
		"null is absent":     {`{"timeout":null,"tunnels":null,"state":null,"drain":null}`, func(*options) {}},
		"int":                {`{"timeout":5}`, func(o *options) { o.Timeout = 5 }},
		"int in a string":    {`{"timeout":" 5 "}`, func(o *options) { o.Timeout = 5 }},
		"whole float":        {`{"timeout":5.0}`, func(o *options) { o.Timeout = 5 }},
		"zero over default":  {`{"timeout":0}`, func(o *options) { o.Timeout = 0 }},
		"float":              {`{"ratio":"0.5"}`, func(o *options) { o.Ratio = 0.5 }},
		"bool":               {`{"purge":true}`, func(o *options) { o.Purge = true }},
		"bool yes":           {`{"purge":"Yes"}`, func(o *options) { o.Purge = true }},
		"bool True":          {`{"purge":"True"}`, func(o *options) { o.Purge = true }},
		"bool 1":             {`{"purge":1}`, func(o *options) { o.Purge = true }},
		"bool off":           {`{"purge":"off"}`, func(*options) {}},
		"pointer":            {`{"drain":"on"}`, func(o *options) { o.Drain = &yes }},
		"string of a number": {`{"state":1}`, func(o *options) { o.State = "1" }},
		"string of a bool":   {`{"state":true}`, func(o *options) { o.State = "true" }},
		"string stays":       {`{"state":" a,b "}`, func(o *options) { o.State = " a,b " }},
		"list":               {`{"tags":["a",1]}`, func(o *options) { o.Tags = []string{"a", "1"} }},
		"list in a string":   {`{"tags":"a, b,"}`, func(o *options) { o.Tags = []string{"a", "b"} }},
		"list of JSON":       {`{"tags":"[\"a,b\"]"}`, func(o *options) { o.Tags = []string{"a,b"} }},
		"list of one":        {`{"tags":7}`, func(o *options) { o.Tags = []string{"7"} }},
		"empty list":         {`{"tags":""}`, func(o *options) { o.Tags = []string{} }},
		"map": {`{"public_keys":{"a":"x","b":2}}`, func(o *options) {
			o.Keys = map[string]string{"a": "x", "b": "2"}
		}},
		"map of structs": {`{"sites":{"a":{"mtu":"1400"}}}`, func(o *options) {
			o.Sites = map[string]tunnel{"a": {MTU: 1400}}
		}},
		"map in a string": {`{"public_keys":"{\"a\":\"x\"}"}`, func(o *options) {
			o.Keys = map[string]string{"a": "x"}
		}},
		"any": {`{"any":{"a":[1,2.5,"x",null]}}`, func(o *options) {
			o.Any = map[string]any{"a": []any{int64(1), 2.5, "x", nil}}
		}},
		"own UnmarshalJSON": {`{"rotate":[1,"a"]}`, func(o *options) { o.Rotate.Text = `[1,"a"]` }},
		"deep": {
			`{"tunnels":[{"name":"wg20","mtu":"1340","via":"10.0.0.1","peers":[
				{"port":"51820","endpoint":"203.0.113.1:51820","allowed_ips":"10.0.0.0/8, fd00::/8"}]}]}`,
			func(o *options) {
				o.Tunnels = []tunnel{{Name: "wg20", MTU: 1340, Via: netip.MustParseAddr("10.0.0.1"), Peers: []peer{{
					Port: 51820, Endpoint: netip.MustParseAddrPort("203.0.113.1:51820"),
					Allowed: must.Prefixes("10.0.0.0/8", "fd00::/8"),
				}}}}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var have, want options
			want.SetDefaults()
			tt.want(&want)
			require.NoError(t, ansible.Decode([]byte(tt.in), &have))
			assert.Equal(t, want, have)
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ in, err string }{
		"no JSON":     {`{`, `arguments: expected one JSON object: unexpected EOF`},
		"no object":   {`[]`, `arguments: expected one JSON object, got a list`},
		"two objects": {`{}{}`, `arguments: expected one JSON object: something follows it`},
		"near name":   {`{"purg":true}`, `purg: unknown option; did you mean "purge"?`},
		"swapped letters": {
			`{"tunnels":[{"name":"a"},{"peers":[{"prot":1}]}]}`,
			`tunnels[1].peers[0].prot: unknown option; did you mean "port"?`,
		},
		"in a map": {
			`{"sites":{"azure":{"mut":1}}}`, `sites.azure.mut: unknown option; did you mean "mtu"?`,
		},
		"far name": {
			`{"sites":{"a":{"zzzzzz":1}}}`,
			`sites.a.zzzzzz: unknown option; expected one of mtu, name, peers, via`,
		},
		"case counts":  {`{"Purge":true}`, `Purge: unknown option; did you mean "purge"?`},
		"percent sign": {`{"sites":{"%d":1}}`, `sites.%d: expected a dictionary, got 1`},
		"unexported": {
			`{"shared":{}}`,
			`shared: unknown option; expected one of any, drain, public_keys, purge, ratio, rotate, sites, ` +
				`small, state, tags, timeout, tunnels`,
		},
		"word for int":     {`{"timeout":"soon"}`, `timeout: expected an integer, got "soon"`},
		"bool for int":     {`{"timeout":true}`, `timeout: expected an integer, got true`},
		"list for int":     {`{"timeout":[1]}`, `timeout: expected an integer, got a list`},
		"fraction for int": {`{"timeout":1.5}`, `timeout: expected an integer, got "1.5"`},
		"infinity for int": {`{"timeout":"inf"}`, `timeout: expected an integer, got "inf"`},
		"nan for int":      {`{"timeout":"nan"}`, `timeout: expected an integer, got "nan"`},
		"too large":        {`{"small":128}`, `small: expected an integer of 8 bits, got 128`},
		"negative": {
			`{"tunnels":[{"mtu":-1}]}`, `tunnels[0].mtu: expected an integer from 0 to 65535, got -1`,
		},
		"word for number":     {`{"ratio":"half"}`, `ratio: expected a number, got "half"`},
		"word for bool":       {`{"purge":"maybe"}`, `purge: expected yes or no, got "maybe"`},
		"2 for bool":          {`{"purge":2}`, `purge: expected yes or no, got 2`},
		"dictionary for bool": {`{"drain":{}}`, `drain: expected yes or no, got a dictionary`},
		"dictionary for text": {`{"state":{}}`, `state: expected a string, got a dictionary`},
		"dictionary for list": {`{"tags":{}}`, `tags: expected a list, got a dictionary`},
		"list for dictionary": {`{"public_keys":[]}`, `public_keys: expected a dictionary, got a list`},
		"null in a list":      {`{"tags":["a",null]}`, `tags[1]: expected a value, got null`},
		"bad address": {
			`{"tunnels":[{"via":"here"}]}`, `tunnels[0].via: ParseAddr("here"): unable to parse IP`,
		},
		"list for address":  {`{"tunnels":[{"via":[]}]}`, `tunnels[0].via: expected a string, got a list`},
		"own UnmarshalJSON": {`{"rotate":"never"}`, `rotate: not a rotation`},
		"long strings are cut": {
			`{"purge":"` + strings.Repeat("secret", 9) + `"}`, `purge: expected yes or no, got a long string`,
		},
		"all at once": {
			`{"purge":3,"tunnels":[{"mtu":"x"}],"prge":1}`,
			"prge: unknown option; did you mean \"purge\"?\npurge: expected yes or no, got 3\n" +
				"tunnels[0].mtu: expected an integer, got \"x\"",
		},
	} {
		t.Run(name, func(t *testing.T) {
			assert.EqualError(t, ansible.Decode([]byte(tt.in), &options{}), tt.err)
		})
	}
}

type empty struct{}

func TestDecodeWithoutOptions(t *testing.T) {
	assert.EqualError(t, ansible.Decode([]byte(`{"a":1}`), &empty{}), "a: unknown option; none is expected here")
}

// Whatever comes in, the decoder returns; and what it accepts it accepts again
// after the result went through JSON, with the same meaning.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{}`, `[]`, `{"timeout":"5","purge":"yes","tags":"a,b"}`, `{"timeout":1e400}`, `{"small":-129}`,
		`{"tunnels":[{"peers":[{"port":"51820","allowed_ips":["10.0.0.0/8"],"endpoint":"[fd00::1]:1"}]}]}`,
		`{"tunnels":"[{\"name\":\"[1]\"}]"}`, `{"any":{"a":[null,1,2.5,1e999]}}`,
		`{"public_keys":"{}"}`, `{"ratio":"nan"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var first, second options
		if err := ansible.Decode(in, &first); err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		first.Any, first.Rotate, first.Ratio = nil, rotate{}, 0 // not made to go both ways
		raw := must.Get(json.Marshal(first))(t)
		require.NoError(t, ansible.Decode(raw, &second), string(raw))
		second.Rotate = rotate{}
		require.JSONEq(t, string(raw), string(must.Get(json.Marshal(second))(t)))
	})
}

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

func TestRender(t *testing.T) {
	type view struct {
		Name  string            `json:"name"`
		Ports []int             `json:"ports"`
		Via   netip.Addr        `json:"via"`
		Peers []map[string]any  `json:"peers"`
		Keys  map[string]string `json:"keys"`
		None  *int              `json:"none"`
	}
	for name, tt := range map[string]struct {
		view any
		text string
	}{
		"nothing":      {nil, ""},
		"text":         {"a\nb", "a\nb\n"},
		"whole lines":  {"a\n", "a\n"},
		"empty text":   {"", ""},
		"number":       {5, "5\n"},
		"empty list":   {[]int{}, "[]\n"},
		"empty map":    {map[string]int{}, "{}\n"},
		"lists inside": {[][]int{{1, 2}, {3}}, "- - 1\n  - 2\n- - 3\n"},
		"no JSON":      {make(chan int), "(chan int cannot be shown)\n"},
		"view": {
			view{
				Name: "wg20", Ports: []int{1, 2}, Via: netip.MustParseAddr("fd00::1"),
				Keys:  map[string]string{"b": "", "a": "x\ny"},
				Peers: []map[string]any{{"name": "p", "ips": []string{"a"}}, {"name": true}},
			},
			"keys:\n  a: \"x\\ny\"\n  b: \"\"\nname: wg20\nnone: null\npeers:\n  - ips:\n      - a\n    name: p\n" +
				"  - name: true\nports:\n  - 1\n  - 2\nvia: fd00::1\n",
		},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, tt.text, ansible.Render(tt.view)) })
	}
}
