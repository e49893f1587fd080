package published_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/fakecloud/published"
	"github.com/wgmesh/router/internal/must"
)

const (
	instance = "/compute/v1/projects/example.com:mesh/zones/europe-west3-a/instances/gcp-1"
	routes   = "/compute/v1/projects/mesh/global/routes"
	network  = "/subscriptions/1/resourceGroups/mesh/providers/Microsoft.Network"
	nic      = network + "/networkInterfaces/a?api-version=2025-05-01"
	route    = network + "/routeTables/t/routes/r?api-version=2025-05-01"
)

// Every schema that is named is there, every pattern can be compiled, and where
// it all comes from is said.
func TestExtractsAreWhole(t *testing.T) {
	for _, d := range []*published.Description{published.Azure(), published.GCP()} {
		var look func(at string, s *published.Schema)
		look = func(at string, s *published.Schema) {
			if s == nil {
				return
			}
			if s.Ref != "" {
				assert.Contains(t, d.Schemas, s.Ref, at)
			} else {
				assert.NotEmpty(t, s.Type, at)
			}
			assert.Equal(t, s.Type == "array", s.Items != nil, at)
			_, err := regexp.Compile(s.Pattern)
			assert.NoError(t, err, at)
			look(at+"[]", s.Items)
			look(at+"{}", s.AdditionalProperties)
			for name, p := range s.Properties {
				look(at+"."+name, p)
			}
		}
		look("errors", d.Errors)
		for id, m := range d.Methods {
			look(id, m.Request)
			look(id, m.Response)
			for name, p := range m.Parameters {
				look(id+" "+name, p)
			}
		}
		for name, s := range d.Schemas {
			look(name, s)
		}
		for _, s := range d.Sources {
			assert.Contains(t, s.Licence, "Copyright", s.Module)
			assert.NotEmpty(t, s.Version)
		}
		assert.NotEmpty(t, d.Sources)
	}
}

// called is the API that a case is of by its name, and its call or, where it has none, the usual one.
func called(name, call string) (*published.Description, *http.Request) {
	api, usual := published.GCP(), "PUT "+instance
	if strings.HasPrefix(name, "azure") {
		api, usual = published.Azure(), "PUT "+nic
	}
	method, target, _ := strings.Cut(cmp.Or(call, usual), " ")
	return api, httptest.NewRequest(method, target, nil)
}

// first holds the first of what is wrong against a part of it; "" when nothing is to be.
func first(t *testing.T, want string, wrong []string) {
	t.Helper()
	if want == "" {
		assert.Empty(t, wrong)
	} else if assert.NotEmpty(t, wrong) {
		assert.Contains(t, wrong[0], want)
	}
}

func TestRequests(t *testing.T) {
	for name, tt := range map[string]struct {
		call         string // "" for the usual one, of an instance or an interface
		body, served string
		wrong        string // "" when it is as published
	}{
		"gcp, an update": {
			call: "PUT " + instance + "?mostDisruptiveAllowedAction=REFRESH",
			body: `{"canIpForward": true, "fingerprint": "YQ=="}`,
		},
		"gcp, misspelt": {body: `{"canIPForward": true}`, wrong: "body.canIPForward: unknown field"},
		"gcp, misspelt inside": {
			body: `{"disks": [{"diskSizeGB": "1"}]}`, wrong: "body.disks[0].diskSizeGB: unknown field",
		},
		"gcp, a wrong type": {
			body: `{"canIpForward": "true"}`, wrong: `body.canIpForward: expected boolean, got "true"`,
		},
		"gcp, an array": {
			body: `{"networkInterfaces": {}}`, wrong: `body.networkInterfaces: expected array, got {}`,
		},
		"gcp, null": {body: `{"canIpForward": null}`, wrong: `body.canIpForward: expected boolean, got null`},
		"gcp, a wrong number": {
			body:  `{"networkInterfaces": [{"queueCount": 1.5}]}`,
			wrong: `body.networkInterfaces[0].queueCount: expected integer int32, got 1.5`,
		},
		"gcp, no base64": {
			body: `{"fingerprint": "fp0"}`, wrong: `body.fingerprint: expected string byte, got "fp0"`,
		},
		"gcp, no such action": {
			call: "PUT " + instance + "?mostDisruptiveAllowedAction=REBOOT", body: `{}`,
			wrong: "query parameter mostDisruptiveAllowedAction: expected one of INVALID, NO_EFFECT, REFRESH, RESTART",
		},
		"gcp, no such parameter": {
			call: "PUT " + instance + "?mostDisruptiveAction=REFRESH",
			body: `{}`, wrong: "unknown query parameter mostDisruptiveAction",
		},
		"gcp, twice": {
			call: "PUT " + instance + "?minimalAction=REFRESH&minimalAction=REFRESH", body: `{}`,
			wrong: "query parameter minimalAction: given 2 times",
		},
		"gcp, every method's": {call: "GET " + instance + "?alt=json&prettyPrint=false"},
		"gcp, a strange name": {
			call: "GET " + strings.ReplaceAll(instance, "gcp-1", "GCP_1"), wrong: `instance: expected [a-z]`,
		},
		"gcp, no method":       {call: "PATCH " + instance, body: `{}`, wrong: "no method has this path"},
		"gcp, a body too much": {call: "GET " + instance, body: `{}`, wrong: "compute.instances.get takes no body"},
		"gcp, no JSON":         {body: `{`, wrong: "the body is not JSON"},
		"gcp, as it was served": {
			body:   `{"kind": "compute#instance", "futureField": [1e2], "disks": [{"futureInner": {}}]}`,
			served: `{"kind": "compute#instance", "futureField": [1e2], "disks": [{"futureInner": {}}]}`,
		},
		"gcp, never served": {
			body:   `{"futureField": 1}`,
			served: `{"futureField": 2}`, wrong: "body.futureField: unknown field",
		},
		"gcp, a route": {
			call: "POST " + routes,
			body: `{"name": "a", "destRange": "10.0.0.0/8", "network": "global/networks/n", "priority": 900, ` +
				`"nextHopInstance": "x"}`,
		},
		"gcp, half a route": {
			call: "POST " + routes, body: `{"name": "a", "priority": 900}`,
			wrong: "body.destRange: it is required",
		},
		"azure, an interface": {body: `{"location": "westeurope", "properties": {"enableIPForwarding": true}}`},
		"azure, misspelt": {
			body:  `{"properties": {"enableIpForwarding": true}}`,
			wrong: "body.properties.enableIpForwarding: unknown field",
		},
		"azure, a wrong type": {
			body:  `{"properties": {"enableIPForwarding": 1}}`,
			wrong: "body.properties.enableIPForwarding: expected boolean, got 1",
		},
		"azure, tags":        {body: `{"tags": {"a": "b"}}`},
		"azure, a wrong tag": {body: `{"tags": {"a": true}}`, wrong: "body.tags.a: expected string, got true"},
		"azure, no version": {
			call: "PUT " + strings.Split(nic, "?")[0], body: `{}`,
			wrong: "query parameter api-version is missing",
		},
		"azure, another one": {
			call:  "GET " + strings.ReplaceAll(nic, "2025", "2011"),
			wrong: `query parameter api-version: expected one of 2025-05-01, got "2011-05-01"`,
		},
		"azure, other capitals": {call: "GET " + strings.ReplaceAll(nic, "resourceGroups", "resourcegroups")},
		"azure, read-only": {
			body: `{"name": "b"}`, served: `{"name": "a"}`, wrong: "body.name: it is read-only",
		},
		"azure, as served": {
			body:   `{"name": "a", "properties": {"macAddress": "0"}}`,
			served: `{"name": "a", "properties": {"macAddress": "0"}}`,
		},
		"azure, a route": {
			call: "PUT " + route,
			body: `{"properties": {"addressPrefix": "10.0.0.0/8", "nextHopType": "VirtualAppliance", ` +
				`"nextHopIpAddress": "10.0.0.4"}}`,
		},
		"azure, half a route": {
			call: "PUT " + route, body: `{"properties": {"addressPrefix": "10.0.0.0/8"}}`,
			wrong: "body.properties.nextHopType: it is required",
		},
		"azure, a wrong hop": {
			call: "PUT " + route, body: `{"properties": {"nextHopType": "Router"}}`,
			wrong: "body.properties.nextHopType: expected one of Internet, None",
		},
	} {
		t.Run(name, func(t *testing.T) {
			api, call := called(name, tt.call)
			var served any
			if tt.served != "" {
				d := json.NewDecoder(strings.NewReader(tt.served))
				d.UseNumber()
				require.NoError(t, d.Decode(&served))
			}
			wrong := api.Request(call, []byte(tt.body), served)
			first(t, tt.wrong, wrong)
		})
	}
}

func TestAnswers(t *testing.T) {
	for name, tt := range map[string]struct {
		call   string
		status int
		body   string
		wrong  string
	}{
		"gcp, an operation": {
			status: 200,
			body:   `{"name": "o", "status": "DONE", "error": {"errors": [{"code": "X"}]}}`,
		},
		"gcp, no operation": {
			status: 200, body: `{"canIpForward": true}`, wrong: "answer.canIpForward: unknown field",
		},
		"gcp, no status": {
			status: 200,
			body:   `{"status": "Succeeded"}`, wrong: "answer.status: expected one of DONE, PENDING, RUNNING",
		},
		"gcp, created": {
			status: 201, body: `{}`,
			wrong: "compute.instances.update does not answer with the status 201",
		},
		"gcp, of tomorrow": {call: "GET " + instance, status: 200, body: `{"futureField": 1}`},
		"azure, an interface": {
			status: 201, body: `{"properties": {"provisioningState": "Updating", "futureField": 1}}`,
		},
		"azure, nothing": {status: 201, wrong: "the answer is not JSON: EOF"},
		"azure, accepted": {
			status: 202,
			wrong:  "armnetwork.Interfaces.CreateOrUpdate does not answer with the status 202",
		},
		"azure, deleted": {call: "DELETE " + route, status: 204},
		"azure, deleted, words": {
			call: "DELETE " + route, status: 200, body: `{}`,
			wrong: "armnetwork.Routes.Delete answers without a body",
		},
		"azure, an error": {status: 412, body: `{"error": {"code": "PreconditionFailed", "message": "m"}}`},
		"azure, no error": {
			status: 412, body: `{"code": "PreconditionFailed"}`, wrong: "answer.code: unknown field",
		},
	} {
		t.Run(name, func(t *testing.T) {
			api, call := called(name, tt.call)
			wrong := api.Answer(call, tt.status, []byte(tt.body))
			first(t, tt.wrong, wrong)
		})
	}
}

// said is a test that a guard would fail.
type said []string

func (s *said) Errorf(format string, args ...any) { *s = append(*s, fmt.Sprintf(format, args...)) }

// Behind a guard a wrong request is answered as the vendor does, never reaches
// the stand-in, and fails the test; so does a wrong answer.
func TestGuard(t *testing.T) {
	for name, tt := range map[string]struct {
		api          *published.Description
		good, bad    string
		body, answer string
		says         string
		failures     []string
	}{
		"gcp": {
			api: published.GCP(), good: instance, bad: `{"canIPForward": true}`,
			body: `{"canIpForward": true, "kind": "compute#instance"}`, answer: `{"kind": "compute#instance"}`,
			says: `{"error":{"code":400,"errors":[{"domain":"global",` +
				`"message":"Invalid JSON payload received. body.canIPForward: unknown field","reason":"badRequest"}],`,
			failures: []string{"gcp refuses PUT " + instance + ": body.canIPForward: unknown field"},
		},
		"azure": {
			api: published.Azure(), good: nic, bad: `{"properties": {"enableIPForwarding": "yes"}}`,
			body: `{"name": "a"}`, answer: `{"name": "a"}`,
			says: `{"error":{"code":"InvalidRequestFormat","message":"Cannot parse the request: ` +
				`body.properties.enableIPForwarding: expected boolean, got \"yes\""}}`,
			failures: []string{"azure refuses PUT " + nic +
				`: body.properties.enableIPForwarding: expected boolean, got "yes"`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var failures said
			asked := 0
			s := httptest.NewServer(tt.api.Guard(&failures, func(w http.ResponseWriter, _ *http.Request) {
				asked++
				fmt.Fprint(w, tt.answer)
			}))
			defer s.Close()
			call := func(method, target, body string) (int, string) {
				r := must.Get(http.NewRequestWithContext(t.Context(), method, s.URL+target, strings.NewReader(body)))(t)
				answer := must.Get(http.DefaultClient.Do(r))(t)
				defer answer.Body.Close()
				return answer.StatusCode, string(must.Get(io.ReadAll(answer.Body))(t))
			}
			status, text := call(http.MethodPut, tt.good, tt.bad)
			assert.Equal(t, 400, status)
			assert.True(t, strings.HasPrefix(text, tt.says), text)
			assert.Zero(t, asked)
			assert.Equal(t, tt.failures, []string(failures))

			status, text = call(http.MethodGet, tt.good, "")
			assert.Equal(t, 200, status)
			assert.Equal(t, tt.answer, text)
			assert.Len(t, failures, 1)
			status, _ = call(http.MethodPut, tt.good, tt.body)
			assert.Equal(t, 200, status, "what was served may come back")
			assert.Equal(t, 2, asked)

			call(http.MethodGet, "/elsewhere", "")
			assert.Equal(t, 3, asked, "what is none of the API's is not checked")
			tt.answer = `{"nonsense": 1}`
			before := len(failures)
			call(http.MethodGet, tt.good, "")
			require.Len(t, failures, before+1)
			assert.Contains(t, failures[before], "answer.nonsense: unknown field")
		})
	}
}
