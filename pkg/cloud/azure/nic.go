package azure

import (
	"encoding/json"
	"errors"
	"maps"

	"github.com/wgmesh/router/pkg/cloud"
)

// A nic is a network interface as it was read: in full, undecoded, and the few
// fields that matter.
type nic struct {
	whole, properties map[string]json.RawMessage
	etag              string
	about             struct {
		Forwarding bool   `json:"enableIPForwarding"`
		State      string `json:"provisioningState"`
		VM         struct {
			ID string `json:"id"`
		} `json:"virtualMachine"`
	}
}

func parseNIC(do string, a cloud.Answer) (n nic, err error) {
	if err := a.Decode(do, &n.whole); err != nil {
		return n, err
	}
	part := func(name string, out any) {
		if err == nil {
			err = cloud.Answer{Body: n.whole[name]}.Decode(do+": "+name, out)
		}
	}
	part("properties", &n.properties)
	part("properties", &n.about)
	part("etag", &n.etag)
	if err == nil && (n.etag == "" || n.properties == nil) {
		err = &cloud.Error{Do: do, Err: errors.New("no etag or no properties in the answer")}
	}
	return n, err
}

// with is the body that sets the one field and keeps all others.
func (n nic) with(forwarding bool) ([]byte, error) {
	value, err := json.Marshal(forwarding)
	if err != nil {
		return nil, err
	}
	properties, whole := maps.Clone(n.properties), maps.Clone(n.whole)
	properties["enableIPForwarding"] = value
	if whole["properties"], err = json.Marshal(properties); err != nil {
		return nil, err
	}
	return json.Marshal(whole)
}
