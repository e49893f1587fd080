package azure

import (
	"encoding/json"
	"errors"
	"maps"

	"github.com/wgmesh/router/pkg/cloud"
)

// A resource is one of Azure's as it was read: in full, undecoded.
type resource struct {
	whole, properties map[string]json.RawMessage
	etag              string
}

// parse fills it in, and about with those properties that matter.
func (r *resource) parse(do string, a cloud.Answer, about any) error {
	if err := a.Decode(do, &r.whole); err != nil {
		return err
	}
	for _, part := range []struct {
		name string
		out  any
	}{{"properties", &r.properties}, {"properties", about}, {"etag", &r.etag}} {
		if err := (cloud.Answer{Body: r.whole[part.name]}).Decode(do+": "+part.name, part.out); err != nil {
			return err
		}
	}
	if r.etag == "" || r.properties == nil {
		return &cloud.Error{Do: do, Err: errors.New("no etag or no properties in the answer")}
	}
	return nil
}

// set is the body that sets some properties and keeps all other fields.
func (r resource) set(change map[string]any) ([]byte, error) {
	body := map[string]any{}
	for name, value := range r.whole {
		body[name] = value
	}
	properties := map[string]any{}
	for name, value := range r.properties {
		properties[name] = value
	}
	maps.Copy(properties, change)
	body["properties"] = properties
	return json.Marshal(body)
}

// A nic is a network interface and the few fields of it that matter.
type nic struct {
	resource
	about struct {
		Forwarding bool   `json:"enableIPForwarding"`
		State      string `json:"provisioningState"`
		VM         struct {
			ID string `json:"id"`
		} `json:"virtualMachine"`
	}
}

func parseNIC(do string, a cloud.Answer) (n nic, err error) {
	err = n.parse(do, a, &n.about)
	return n, err
}

func (n nic) with(forwarding bool) ([]byte, error) {
	return n.set(map[string]any{"enableIPForwarding": forwarding})
}
