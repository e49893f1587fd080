package azure

import (
	"encoding/json"
	"maps"
	"net/http"
	"path/filepath"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/fakecloud"
)

func (c *Cloud) addNIC(id, owner string) {
	c.NICs[id] = map[string]any{
		"id": id, "name": filepath.Base(id), "location": "westeurope",
		"tags": map[string]any{"a": "<b>&"}, "futureTop": []any{1.5, nil},
		"properties": map[string]any{
			"provisioningState": "Succeeded", "enableIPForwarding": false,
			"futureField": map[string]any{"Deep": 12345678901234567.0},
			"ipConfigurations": []any{map[string]any{"name": "ipconfig1", "properties": map[string]any{
				"publicIPAddress": map[string]any{"id": "/x"}, "futureInner": true,
			}}},
			"virtualMachine": map[string]any{"id": owner},
		},
	}
}

// Forwarding reports whether an interface may forward.
func (c *Cloud) Forwarding(id string) bool {
	return Properties(c.NICs[id])["enableIPForwarding"].(bool)
}

func (c *Cloud) vm(w http.ResponseWriter) {
	var nics []any
	for _, id := range c.Attached {
		nics = append(nics, map[string]any{"id": id, "properties": map[string]any{"primary": id == NICA}})
	}
	fakecloud.Answer(w, map[string]any{
		"id": c.ID, "location": "westeurope",
		"properties": map[string]any{"networkProfile": map[string]any{"networkInterfaces": nics}},
	})
}

func (c *Cloud) nic(w http.ResponseWriter, id string) {
	if c.left > 0 { // it goes on, whether somebody asks for the operation or not
		c.work()
	}
	body := maps.Clone(c.NICs[id])
	body["etag"] = c.Tag()
	fakecloud.Answer(w, body)
}

func (c *Cloud) putNIC(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("If-Match") != c.Tag() {
		refuse(w, 412, "PreconditionFailed", "Precondition failed.")
		return
	}
	var body map[string]any
	assert.NoError(c.t, json.NewDecoder(r.Body).Decode(&body))
	delete(body, "etag")
	Properties(body)["provisioningState"] = "Updating"
	c.NICs[r.URL.Path] = body
	c.begin(w, "PUT "+filepath.Base(r.URL.Path), func() { Properties(body)["provisioningState"] = "Failed" })
	c.Lose.Take(w)
	fakecloud.Answer(w, body)
}

func (c *Cloud) tags(w http.ResponseWriter) {
	fakecloud.Answer(w, map[string]any{
		"id": TagsOfNICA, "name": "default", "type": "Microsoft.Resources/tags",
		"properties": map[string]any{"tags": c.Tags},
	})
}

func (c *Cloud) patchTags(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Operation  string
		Properties struct{ Tags map[string]string }
	}
	assert.NoError(c.t, json.NewDecoder(r.Body).Decode(&body))
	if body.Operation == "Replace" {
		clear(c.Tags)
	}
	for name, value := range body.Properties.Tags {
		assert.LessOrEqual(c.t, len(value), 256, "a tag's value")
		c.Tags[name] = value
		c.Writes = append(c.Writes, "tag "+name)
	}
	c.tags(w)
}
