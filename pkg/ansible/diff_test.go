package ansible_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/pkg/ansible"
)

func TestRender(t *testing.T) {
	type view struct {
		Name  string            `json:"name"`
		Ports []int             `json:"ports"`
		Via   netip.Addr        `json:"via"`
		Peers []map[string]any  `json:"peers"`
		Keys  map[string]string `json:"keys"`
		None  *int              `json:"none"`
	}
	tests := map[string]struct {
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
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { assert.Equal(t, tt.text, ansible.Render(tt.view)) })
	}
}
