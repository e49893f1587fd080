package meshpreview_test

import (
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
	meshpreview "github.com/wgmesh/router/modules/mesh_preview"
	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/plan"
)

const small = `
routers: {a: {id: 1, site: here, endpoint: 192.0.2.1}, b: {id: 2, site: there}}
sites: {here: {as: 65001, networks: 10.0.0.0/16}, there: {as: "65002", networks: [10.1.0.0/16]}}
`

// run runs the module on options in YAML and returns its result.
func run(t *testing.T, options string) map[string]any {
	t.Helper()
	var tree map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(options), &tree))
	return nettest.Result(t, ansible.New(meshpreview.Plan, ansible.Unlocked()), tree)
}

// previewed returns the preview of the field case after a change of its text, against
// the case as it is.
func previewed(t *testing.T, more string, change ...string) map[string]any {
	t.Helper()
	raw := must.Get(os.ReadFile("../../pkg/mesh/testdata/field-case/mesh.yaml"))(t)
	text := string(raw)
	for i := 0; i < len(change); i += 2 {
		require.Contains(t, text, change[i])
		text = strings.Replace(text, change[i], change[i+1], 1)
	}
	var against map[string]any
	require.NoError(t, yaml.Unmarshal(raw, &against))
	old := must.Get(yaml.Marshal(map[string]any{"against": against}))(t)
	return run(t, text+"faults: two\n"+more+string(old))
}

func lines(t *testing.T, result map[string]any) string {
	t.Helper()
	require.NotContains(t, result, "failed", result["msg"])
	return strings.Join(texts(result["preview"].(map[string]any)["lines"]), "\n")
}

func texts(list any) (out []string) {
	for _, line := range list.([]any) {
		out = append(out, line.(string))
	}
	return out
}

func TestPreview(t *testing.T) {
	t.Run("nothing changes", func(t *testing.T) {
		have := lines(t, previewed(t, ""))
		assert.Equal(t, `7 routers, 21 tunnels, 10 prefixes

What routers change: nothing

Sessions that start anew: none

Traffic that moves or is cut: none

What is lost: nothing that was there

What one fault cuts (37 faults looked at):
  without router gcp-1: nobody reaches gcp, which has no other router

What two faults cut beyond that (666 pairs looked at; 406 faults and pairs are of routers and tunnels alone):
  without router office-1 and router office-2: nobody reaches office, which has no other router
  without router azure-1 and router azure-2: nobody reaches azure, which has no other router
  without router aws-1 and router aws-2: nobody reaches aws, which has no other router`, have)
	})
	t.Run("lines for others", func(t *testing.T) {
		assert.Equal(t, []any{
			"without router gcp-1: nobody reaches gcp, which has no other router",
			"without router office-1 and router office-2: nobody reaches office, which has no other router",
			"without router azure-1 and router azure-2: nobody reaches azure, which has no other router",
			"without router aws-1 and router aws-2: nobody reaches aws, which has no other router",
		}, previewed(t, "")["preview"].(map[string]any)["cut"])
		one := run(t, small+"faults: one\n")["preview"].(map[string]any)
		assert.Len(t, one["cut"], 4, "and none of two")
	})
	t.Run("a site without routers", func(t *testing.T) {
		more := strings.Replace(small, "sites: {", "sites: {nowhere: {as: 65003, networks: 10.9.0.0/16}, ", 1)
		have := lines(t, run(t, more))
		assert.Contains(t, have, "What has no router:\n  always: nobody reaches nowhere, which has no router\n")
	})
	t.Run("a router goes", func(t *testing.T) {
		have := lines(t, previewed(t, "", "  aws-2: {", "  aws-2: {state: absent, "))
		assert.Contains(t, have, "6 routers, 15 tunnels")
		assert.Contains(t, have, "aws-2 is removed: 6 tunnels")
		assert.Contains(t, have, "    - wg21 to gcp-1\n")
		assert.Contains(t, have, "to 10.2.2.0/24: azure-1 > aws-2 -> azure-1 > aws-1")
		assert.Contains(t, have, "What is lost:\n  without router aws-1: nobody reaches aws, which has no other router")
	})
	t.Run("a zone goes, another comes, a network is parted", func(t *testing.T) {
		const zones = "zones: {a: [10.2.1.0/24], c: [10.2.2.0/24]}"
		have := lines(t, previewed(t, "", zones, "zones: {a: [10.2.1.0/24], c: [10.2.3.0/24]}"))
		assert.Contains(t, have, "to 10.2.2.0/24: azure-1 > aws-2 -> azure-1 > aws-1")
		assert.Contains(t, have, "to 10.2.3.0/24: azure-1 > aws-1 -> azure-1 > aws-2")
		assert.NotContains(t, have, "CUT", "it arrives as a part of the site")
		have = lines(t, previewed(t, "", zones, "zones: {a: [10.2.1.0/24], c: [10.2.2.0/24, 10.2.3.0/24]}"))
		assert.Contains(t, have, "to 10.2.3.0/24: azure-1 > aws-1 -> azure-1 > aws-2")
		have = lines(t, previewed(t, "", "networks: [10.2.0.0/16]", "networks: [10.2.0.0/17, 10.2.128.0/17]"))
		assert.Contains(t, have, "Traffic that moves or is cut: none")
		have = lines(t, previewed(t, "", "networks: [10.2.0.0/16]", "networks: [10.2.0.0/17]"))
		assert.Contains(t, have, "to 10.2.0.0/16: azure-1 > aws-1 -> CUT", "the other half")
	})
	t.Run("a pool moves, and sessions with it", func(t *testing.T) {
		have := lines(t, previewed(t, "", "link_pool: 172.31.0.0/16", "link_pool: 198.18.0.0/16"))
		assert.Contains(t, have,
			"~ wg2 to azure-1: addresses -172.31.2.1/24 +198.18.2.1/24, allowed_ips -172.31.2.0/24 +198.18.2.0/24")
		assert.Contains(t, have, "Sessions that start anew:\n  office-1 with ")
		assert.Contains(t, have, "Traffic that moves or is cut: none")
	})
	t.Run("ports change, and sessions start anew", func(t *testing.T) {
		result := previewed(t, "", "office-1: {id: 1,", "office-1: {id: 1, endpoint_port_base: 40000,")
		have := lines(t, result)
		assert.Contains(t, have, "~ wg2 to azure-1: listen_port 51802 -> 40002")
		for _, peer := range []string{"office-2", "azure-1", "azure-2", "aws-1", "aws-2", "gcp-1"} {
			assert.Contains(t, have, "\n  office-1 with "+peer+"\n")
			assert.Contains(t, have, "\n  "+peer+" with office-1\n")
		}
		assert.NotContains(t, have, "azure-1 with azure-2")
	})
	t.Run("an endpoint goes, and a tunnel keeps the one that it has", func(t *testing.T) {
		have := lines(t, previewed(t, "", "zone: b, endpoint: 198.51.100.71}", "zone: b}"))
		assert.Contains(t, have, "~ wg16 to gcp-1: endpoint 198.51.100.71:51816 -> none\n")
		assert.Contains(t, have, "Sessions that start anew: none")
	})
	t.Run("what the inventory has no more is removed, and not lost", func(t *testing.T) {
		result := previewed(t, "", "networks: [10.3.0.0/16], zones: {b: [10.3.1.0/24]}}",
			"networks: [10.9.0.0/16], zones: {b: [10.9.1.0/24]}}")["preview"].(map[string]any)
		assert.Empty(t, result["lost"])
		assert.Equal(t, []any{"network 10.3.0.0/16", "network 10.3.1.0/24"}, result["removed"])
		have := strings.Join(texts(result["lines"]), "\n")
		assert.Contains(t, have, "to 10.3.0.0/16: office-1 > gcp-1 -> removed")
		assert.Contains(t, have, "What the inventory has no more:\n  network 10.3.0.0/16\n")
		assert.NotContains(t, have, "CUT")
		result = previewed(t, "", "  gcp: {as: 65040, cloud: gcp, onlink: true, "+
			"networks: [10.3.0.0/16], zones: {b: [10.3.1.0/24]}}\n",
			"", "  gcp-1: {id: 7, site: gcp, zone: b, endpoint: 198.51.100.71}\n", "")["preview"].(map[string]any)
		assert.Empty(t, result["lost"])
		assert.Equal(t, []any{"network 10.3.0.0/16", "network 10.3.1.0/24", "site gcp"}, result["removed"])
	})
	t.Run("a site may carry nobody", func(t *testing.T) {
		result := previewed(t, "show: [gcp-1]\n", "zones: {hq: [10.0.1.0/24]}",
			"transit: false, zones: {hq: [10.0.1.0/24]}")
		changes := result["preview"].(map[string]any)["routers"].([]any)
		require.Len(t, changes, 1, "only what is to be shown")
		assert.Equal(t, "gcp-1", changes[0].(map[string]any)["router"])
		assert.Equal(t, []any{}, changes[0].(map[string]any)["resets"], "BIRD only reloads filters")
		assert.Contains(t, lines(t, result), "What is lost: nothing that was there", "another site carries")
	})
	t.Run("what a router is told besides its tunnels", func(t *testing.T) {
		const hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
		old := strings.Replace(small, "b: {id: 2,", "b: {host_key: "+hostKey+", id: 2,", 1) +
			"settings: {a: {mesh_tunnel_input: accept, mesh_metrics_file: \"\"}, b: {mesh_unreachable: \"true\"}}\n"
		result := run(t, strings.Replace(small, "b: {id: 2,", "c: {id: 2,", 1)+"faults: one\nagainst:\n"+
			strings.ReplaceAll(old, "\n", "\n  ")+"\nsettings: {a: {mesh_tunnel_input: mesh, mesh_metrics_file: /x, "+
			"mesh_new: x}, c: {mesh_unreachable: \"false\"}}\n")
		have := lines(t, result)
		assert.Contains(t, have, "\n  a is changed: 1 tunnel, 2 lines in bird.conf, gate, preshared_keys, 2 settings\n")
		assert.Contains(t, have, "\n    ~ mesh_metrics_file nothing -> /x\n    ~ mesh_tunnel_input accept -> mesh\n")
		assert.Contains(t, have, "  c is renamed, it was b: 1 setting\n    ~ mesh_unreachable true -> false\n")
		a := result["preview"].(map[string]any)["routers"].([]any)[0].(map[string]any)
		assert.Contains(t, a["plan"], `- preshared_keys {"number":1,"peer":"b","role":"initiator"}`)
		assert.Equal(t, []any{"mesh_metrics_file nothing -> /x", "mesh_tunnel_input accept -> mesh"}, a["settings"])
	})
	t.Run("a router comes to each of two sites that had one", func(t *testing.T) {
		more := strings.Replace(small, "routers: {",
			"routers: {c: {id: 3, site: here, endpoint: 192.0.2.3}, d: {id: 4, site: there}, ", 1)
		result := run(t, more+"faults: one\nagainst:\n"+strings.ReplaceAll(small, "\n", "\n  ")+"\n")
		have := lines(t, result)
		assert.Contains(t, have, "c is new: 3 tunnels\n")
		assert.Contains(t, have, "What is lost: nothing that was there", "what was a tunnel is an underlay now")
	})
	t.Run("what comes beside that is there takes nothing away", func(t *testing.T) {
		against := "faults: one\nagainst:\n" + strings.ReplaceAll(small, "\n", "\n  ") + "\n"
		for _, more := range []string{
			"routers: {c: {id: 3, site: there}, ", // reaches a alone
			"routers: {c: {id: 3, site: there, endpoint: 192.0.2.3}, ",
			"routers: {c: {id: 3, site: here}, ", // never reaches b
		} {
			result := run(t, against+strings.Replace(small, "routers: {", more, 1))["preview"].(map[string]any)
			assert.Empty(t, result["lost"], more)
		}
		result := previewed(t, "", "  gcp-1: {",
			"  azure-3: {id: 8, site: azure, zone: \"1\"}\n  gcp-1: {")["preview"].(map[string]any)
		assert.Empty(t, result["lost"])
	})
	t.Run("another id is nothing lost", func(t *testing.T) {
		result := run(t, "faults: one\nagainst:\n"+strings.ReplaceAll(small, "\n", "\n  ")+"\n"+
			strings.Replace(small, "a: {id: 1,", "a: {id: 9,", 1))["preview"].(map[string]any)
		assert.Empty(t, result["lost"])
	})
	t.Run("one router in the place of two is a loss, whatever it is called", func(t *testing.T) {
		result := previewed(t, "", "  aws-1: {", "  aws-1: {state: absent, ",
			"  aws-2: {id: 6", "  aws-x: {id: 9")["preview"].(map[string]any)
		assert.Equal(t, []any{"without router aws-x: nobody reaches aws, which has no other router"}, result["lost"])
	})
	t.Run("a way that hangs on a new site is a loss", func(t *testing.T) {
		result := run(t, "faults: one\nagainst:\n"+strings.ReplaceAll(small, "\n", "\n  ")+"\n"+strings.NewReplacer(
			", endpoint: 192.0.2.1", "",
			"routers: {", "routers: {c: {id: 3, site: new, endpoint: 192.0.2.3}, "+
				"d: {id: 4, site: new, endpoint: 192.0.2.4}, ",
			"sites: {", "sites: {new: {as: 65003, networks: [10.3.0.0/16]}, ",
		).Replace(small))["preview"].(map[string]any)
		assert.Equal(t, []any{
			"without site new: there does not reach here: no route",
			"without site new: here does not reach there: no route",
		}, result["lost"])
	})
	t.Run("a site with another name and number is what it was", func(t *testing.T) {
		rename := []string{
			"  aws:", "  amazon:", "as: 65030", "as: 65099", "aws-1: {id: 5, site: aws", "aws-1: {id: 5, site: amazon",
		}
		result := previewed(t, "", append(rename,
			"aws-2: {id: 6, site: aws", "aws-2: {id: 6, site: amazon")...)["preview"].(map[string]any)
		assert.Empty(t, result["lost"])
		assert.Empty(t, result["removed"])
		result = previewed(t, "", append(rename,
			"aws-2: {id: 6, site: aws", "aws-2: {state: absent, id: 6, site: amazon")...)["preview"].(map[string]any)
		assert.Equal(t, []any{"without router aws-1: nobody reaches amazon, which has no other router"}, result["lost"])
		assert.Empty(t, result["removed"])
	})
	t.Run("a name counts before a number", func(t *testing.T) {
		result := previewed(t, "", "as: 65030", "as: 65031", "as: 65040", "as: 65030",
			"  aws-2: {", "  aws-2: {state: absent, ")["preview"].(map[string]any)
		assert.Equal(t, []any{"without router aws-1: nobody reaches aws, which has no other router"}, result["lost"])
		assert.Empty(t, result["removed"])
		result = previewed(t, "", "as: 65030", "as: 65031", "as: 65040", "as: 65030",
			"  gcp-1: {", "  gcp-1: {state: absent, ")["preview"].(map[string]any)
		assert.Contains(t, result["lost"], "always: gcp reaches nobody, it has no router any more")
	})
	t.Run("what is cut in health is lost", func(t *testing.T) {
		result := previewed(t, "show: [office-1]\n", "  gcp-1: {",
			"  gcp-1: {state: absent, ")["preview"].(map[string]any)
		want := []any{
			"always: gcp reaches nobody, it has no router any more",
			"always: no way any more to 10.3.0.0/16 from office-1, office-2, azure-1, azure-2, aws-1, aws-2",
			"always: no way any more to 10.3.1.0/24 from office-1, office-2, azure-1, azure-2, aws-1, aws-2",
		}
		assert.Equal(t, want, result["lost"], "of all routers, whichever are shown")
		assert.Equal(t, want, result["cut"].([]any)[:3])
		result = previewed(t, "", "networks: [10.2.0.0/16]", "networks: [10.2.0.0/17]")["preview"].(map[string]any)
		want = []any{"always: no way any more to 10.2.0.0/16 from office-1, office-2, azure-1, azure-2, gcp-1"}
		assert.Equal(t, want, result["lost"])
		have := strings.Join(texts(result["lines"]), "\n")
		assert.Contains(t, have, "Traffic that moves or is cut (5 CUT):\n  to 10.2.0.0/16: ")
	})
	t.Run("a new name is a new session, and nothing lost", func(t *testing.T) {
		result := previewed(t, "", "  gcp-1: {", "  gcp-x: {")
		have := lines(t, result)
		assert.Contains(t, have, "  office-1 with gcp-x\n")
		assert.NotContains(t, have, "gcp-1 is removed")
		assert.Contains(t, have, "  gcp-x is renamed, it was gcp-1\n")
		changes := result["preview"].(map[string]any)["routers"].([]any)
		assert.Equal(t, "gcp-1", changes[len(changes)-1].(map[string]any)["former"])
		assert.Empty(t, changes[0].(map[string]any)["former"])
		assert.Contains(t, have, "What is lost: nothing that was there")
		have = lines(t, previewed(t, "", "link_pool", "interface_prefix: vpn\nlink_pool"))
		assert.Contains(t, have, "What is lost: nothing that was there")
	})
	t.Run("a site or zone with another name is what it was", func(t *testing.T) {
		result := previewed(t, "", "  gcp:", "  google:", "site: gcp", "site: google")
		assert.Contains(t, lines(t, result), "What is lost: nothing that was there")
		result = previewed(t, "", "zones: {b:", "zones: {z:", "zone: b", "zone: z")
		assert.Contains(t, lines(t, result), "What is lost: nothing that was there")
		result = previewed(t, "", "  aws:", "  amazon:", "aws-1: {id: 5, site: aws", "aws-1: {id: 5, site: amazon",
			"aws-2: {id: 6, site: aws", "aws-2: {state: absent, id: 6, site: amazon")
		assert.Contains(t, result["preview"].(map[string]any)["lost"],
			"without router aws-1: nobody reaches amazon, which has no other router")
	})
	t.Run("a new site with one router is no loss", func(t *testing.T) {
		result := run(t, "faults: one\nagainst:\n"+strings.ReplaceAll(small, "\n", "\n  ")+"\n"+strings.NewReplacer(
			"routers: {", "routers: {c: {id: 3, site: new}, ",
			"sites: {", "sites: {new: {as: 65003, networks: [10.3.0.0/16]}, ").Replace(small))
		assert.Empty(t, result["preview"].(map[string]any)["lost"])
	})
	t.Run("mistakes are one line", func(t *testing.T) {
		for more, want := range map[string]string{
			"faults: three\n": "faults: expected one of one, two, auto",
			"faults: two\nagainst: {sites: {a: {as: 65001, networks: [10.0.0.0/16]}}, " +
				"routers: {x: {id: 1, site: b}}}\n": "against: ",
			"faults: one\nagainst: {rooters: {}}\n": "against: rooters: unknown option",
		} {
			msg, _ := run(t, small+more)["msg"].(string)
			assert.Contains(t, msg, want)
			assert.NotContains(t, msg, "\n")
		}
	})
}

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
