package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/fakecloud/published"
)

// A fakePlace is what the stand-ins have in common: the value at this machine's place,
// who was written to, and what the cloud says instead of an answer.
type fakePlace struct {
	*httptest.Server
	t *testing.T

	mu     sync.Mutex
	value  string
	writes int
	refuse map[string]func(w http.ResponseWriter) // by read or write
}

// refused answers a read or a write, when it is to be refused.
func (f *fakePlace) refused(w http.ResponseWriter, what string) bool {
	if f.refuse[what] == nil {
		return false
	}
	f.refuse[what](w)
	return true
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// newGoogle stands in for the metadata service of a VM of Google's, built from the pages
// "About VM metadata" and "Set and query guest attributes": a machine may write its own,
// a value that is not there is 404, and 403 is said where the VM may have none.
func newGoogle(t *testing.T) *fakePlace {
	f := &fakePlace{t: t, refuse: map[string]func(http.ResponseWriter){}}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		w.Header().Set("Metadata-Flavor", "Google")
		if r.Header.Get("Metadata-Flavor") != "Google" || r.Header.Get("X-Forwarded-For") != "" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		switch r.Method + " " + strings.TrimPrefix(r.URL.Path, "/computeMetadata/v1/instance/") {
		case "GET id":
			fmt.Fprint(w, "4711")
		case "GET guest-attributes/wgmesh/mesh_host_key":
			if f.refused(w, "read") {
				return
			}
			if f.value == "" {
				w.WriteHeader(http.StatusNotFound)
			}
			fmt.Fprint(w, f.value)
		case "PUT guest-attributes/wgmesh/mesh_host_key":
			if f.refused(w, "write") {
				return
			}
			body, _ := io.ReadAll(r.Body)
			f.value = string(body)
			f.writes++
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(f.Close)
	return f
}

// newAzure stands in for Azure's metadata service and its resource manager, whose
// requests and answers are checked with Microsoft's description (package published).
func newAzure(t *testing.T) *fakePlace {
	const (
		group  = "/subscriptions/s/resourceGroups/wan/providers/"
		vm     = group + "Microsoft.Compute/virtualMachines/azure-1"
		second = group + "Microsoft.Network/networkInterfaces/azure-1-b"
		first  = group + "Microsoft.Network/networkInterfaces/azure-1"
		place  = first + "/providers/Microsoft.Resources/tags/default"
	)
	f := &fakePlace{t: t, refuse: map[string]func(http.ResponseWriter){}}
	others := map[string]string{"cost": "net"}
	shown := func(w http.ResponseWriter) {
		all := map[string]string{}
		for k, v := range others {
			all[k] = v
		}
		if f.value != "" {
			all["mesh_host_key"] = f.value
		}
		answer(w, 200, map[string]any{"id": place, "name": "default", "type": "Microsoft.Resources/tags", "properties": map[string]any{"tags": all}})
	}
	f.Server = httptest.NewServer(published.Azure().Guard(t, func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if strings.HasPrefix(r.URL.Path, "/metadata/") {
			switch {
			case r.Header.Get("Metadata") != "true":
				w.WriteHeader(400)
			case r.URL.Path == "/metadata/instance":
				answer(w, 200, map[string]any{"compute": map[string]any{"resourceId": vm, "vmId": "0f47b100-583c", "azEnvironment": "AzurePublicCloud"}})
			default:
				answer(w, 200, map[string]any{"access_token": "token-1"})
			}
			return
		}
		if r.Header.Get("Authorization") != "Bearer token-1" {
			answer(w, 401, map[string]any{"error": map[string]any{"code": "AuthenticationFailed", "message": "no"}})
			return
		}
		switch r.Method + " " + r.URL.Path {
		case "GET " + vm:
			answer(w, 200, map[string]any{"id": vm, "location": "westeurope", "properties": map[string]any{"networkProfile": map[string]any{"networkInterfaces": []any{
				map[string]any{"id": second, "properties": map[string]any{"primary": false}}, map[string]any{"id": first, "properties": map[string]any{"primary": true}},
			}}}})
		case "GET " + place:
			if !f.refused(w, "read") {
				shown(w)
			}
		case "PATCH " + place:
			if f.refused(w, "write") {
				return
			}
			var body struct {
				Operation  string
				Properties struct{ Tags map[string]string }
			}
			assert.NoError(t, json.NewDecoder(r.Body).Decode(&body))
			if body.Operation == "Replace" {
				others = nil
			}
			assert.Len(t, body.Properties.Tags, 1)
			f.value = body.Properties.Tags["mesh_host_key"]
			assert.LessOrEqual(t, len(f.value), 256, "a tag's value")
			f.writes++
			shown(w)
		default:
			answer(w, 404, map[string]any{"error": map[string]any{"code": "ResourceNotFound", "message": r.URL.Path}})
		}
	}))
	t.Cleanup(f.Close)
	t.Cleanup(func() { assert.Equal(t, map[string]string{"cost": "net"}, others, "other tags stay") })
	return f
}

// newAmazon stands in for the metadata service of EC2, version 2, and for DescribeTags
// and CreateTags of the EC2 API reference.
func newAmazon(t *testing.T) *fakePlace {
	f := &fakePlace{t: t, refuse: map[string]func(http.ResponseWriter){}}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if strings.HasPrefix(r.URL.Path, "/latest/") {
			amazonMetadata(w, r)
			return
		}
		assert.NoError(t, r.ParseForm())
		if !strings.Contains(r.Header.Get("Authorization"), "/eu-central-1/ec2/aws4_request") || r.Header.Get("X-Amz-Security-Token") != "session" {
			amazonRefusal(401, "AuthFailure", "no")(w)
			return
		}
		const head = ` xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId>`
		switch r.Form.Get("Action") {
		case "DescribeTags":
			if f.refused(w, "read") {
				return
			}
			assert.Equal(t, "resource-id i-0a key mesh_host_key", strings.Join([]string{
				r.Form.Get("Filter.1.Name"), r.Form.Get("Filter.1.Value.1"), r.Form.Get("Filter.2.Name"), r.Form.Get("Filter.2.Value.1"),
			}, " "))
			fmt.Fprint(w, `<DescribeTagsResponse`+head+`<tagSet>`)
			if f.value != "" {
				fmt.Fprintf(w, `<item><resourceId>i-0a</resourceId><resourceType>instance</resourceType><key>mesh_host_key</key><value>%s</value></item>`, f.value)
			}
			fmt.Fprint(w, `</tagSet></DescribeTagsResponse>`)
		case "CreateTags":
			if f.refused(w, "write") {
				return
			}
			assert.Equal(t, "i-0a", r.Form.Get("ResourceId.1"), "its own")
			assert.Equal(t, "mesh_host_key", r.Form.Get("Tag.1.Key"))
			assert.Empty(t, r.Form.Get("ResourceId.2")+r.Form.Get("Tag.2.Key"), "and no other")
			f.value = r.Form.Get("Tag.1.Value")
			assert.Regexp(t, `^[\w +=.:/@-]{1,256}$`, f.value, "what a tag may hold")
			f.writes++
			fmt.Fprint(w, `<CreateTagsResponse`+head+`<return>true</return></CreateTagsResponse>`)
		default:
			amazonRefusal(400, "InvalidAction", r.Form.Get("Action"))(w)
		}
	}))
	t.Cleanup(f.Close)
	for name, value := range map[string]string{ // none of this machine's own settings
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_PROFILE": "", "AWS_REGION": "", "AWS_ACCESS_KEY_ID": "",
		"AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "", "AWS_CA_BUNDLE": "", "AWS_EC2_METADATA_SERVICE_ENDPOINT": f.URL,
	} {
		t.Setenv(name, value)
	}
	return f
}

func amazonMetadata(w http.ResponseWriter, r *http.Request) {
	switch path := strings.TrimPrefix(r.URL.Path, "/latest/"); {
	case path == "api/token" && r.Method == http.MethodPut:
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", strconv.Itoa(300))
		fmt.Fprint(w, "imds-token")
	case r.Header.Get("X-Aws-Ec2-Metadata-Token") != "imds-token":
		w.WriteHeader(http.StatusUnauthorized)
	case path == "meta-data/instance-id":
		fmt.Fprint(w, "i-0a")
	case path == "meta-data/placement/region":
		fmt.Fprint(w, "eu-central-1")
	case path == "meta-data/iam/security-credentials/":
		fmt.Fprint(w, "router-role")
	case path == "meta-data/iam/security-credentials/router-role":
		fmt.Fprintf(w, `{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":"ASIAEXAMPLE","SecretAccessKey":"secret","Token":"session","Expiration":%q}`,
			time.Now().Add(6*time.Hour).UTC().Format(time.RFC3339))
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func amazonRefusal(status int, code, message string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors><RequestID>req-1</RequestID></Response>`, code, message)
	}
}
