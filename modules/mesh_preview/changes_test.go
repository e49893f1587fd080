package meshpreview_test

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	meshpreview "github.com/wgmesh/router/modules/mesh_preview"
	"github.com/wgmesh/router/pkg/plan"
)

// silent are the fields of a plan that change nothing on the router.
var silent = map[string]string{
	"router.name":              "it is said as former",
	"failover.router":          "and so is this",
	"router.site":              "what follows from it counts",
	"tunnels.peers.public_key": "no plan has it",
	"status":                   "it is asked, and nothing set",
	"measure":                  "it is asked, and nothing set",
}

// A field that a preview does not compare is a change that nobody is told of.
func TestEveryFieldIsAChange(t *testing.T) {
	var was plan.Plan
	var paths []string
	fill(reflect.ValueOf(&was).Elem(), "", func(path string, _ reflect.Value) { paths = append(paths, path) })
	require.Greater(t, len(paths), 50)
	require.Equal(t, "same", meshpreview.Compare(was, was).State)
	for at, path := range paths {
		var is plan.Plan
		i := 0
		fill(reflect.ValueOf(&is).Elem(), "", func(_ string, v reflect.Value) {
			if i == at {
				give(v, 1)
			}
			i++
		})
		want := "changed"
		for field := range silent {
			if path == field || strings.HasPrefix(path, field+".") {
				want = "same"
			}
		}
		assert.Equal(t, want, meshpreview.Compare(was, is).State, path)
	}
}

// fill gives each field its first value, each list one item, and names the leaves as JSON does.
func fill(v reflect.Value, path string, leaf func(string, reflect.Value)) {
	if give(v, 0) {
		leaf(path, v)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			fill(v.Field(i), strings.TrimPrefix(strings.TrimSuffix(path+"."+name, "."), "."), leaf)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), path, leaf)
	default:
		panic(path + ": give it a value here")
	}
}

// give sets a leaf to its first value or its second one, and reports whether it is a leaf.
func give(v reflect.Value, n int) bool {
	switch v.Interface().(type) {
	case netip.Addr:
		v.Set(reflect.ValueOf(netip.MustParseAddr([]string{"192.0.2.1", "192.0.2.2"}[n])))
	case netip.AddrPort:
		v.Set(reflect.ValueOf(netip.MustParseAddrPort([]string{"192.0.2.1:1", "192.0.2.2:2"}[n])))
	case netip.Prefix:
		v.Set(reflect.ValueOf(netip.MustParsePrefix([]string{"192.0.2.0/24", "198.51.100.0/24"}[n])))
	case plan.PublicKey:
	default:
		switch v.Kind() {
		case reflect.String:
			v.SetString([]string{"x", "y"}[n])
		case reflect.Int, reflect.Int64:
			v.SetInt(int64(n + 1))
		case reflect.Bool:
			v.SetBool(n == 1)
		default:
			return false
		}
	}
	return true
}
