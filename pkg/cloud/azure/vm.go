package azure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"

	"github.com/wgmesh/router/pkg/cloud"
)

const (
	computeVersion = "2024-07-01"
	networkVersion = "2025-05-01" // new: what a version does not know, its PUT would drop
)

// Instance names the VM.
func (v *VM) Instance() string { return v.id }

// interfaces are the network interfaces that the VM has, without their settings.
func (v *VM) interfaces(ctx context.Context) ([]cloud.Interface, error) {
	var vm struct {
		Properties struct {
			Profile struct {
				Interfaces []struct {
					ID         string `json:"id"`
					Properties struct {
						Primary bool `json:"primary"`
					} `json:"properties"`
				} `json:"networkInterfaces"`
			} `json:"networkProfile"`
		} `json:"properties"`
	}
	if err := v.rest.Get(ctx, v.id+": read the VM", v.url(v.id, computeVersion), &vm); err != nil {
		return nil, err
	}
	var have []cloud.Interface
	all := vm.Properties.Profile.Interfaces
	for _, n := range all {
		have = append(have, cloud.Interface{ID: n.ID, Primary: n.Properties.Primary || len(all) == 1})
	}
	return have, nil
}

// Observe reads the network interfaces that the VM has.
func (v *VM) Observe(ctx context.Context) ([]cloud.Interface, error) {
	have, err := v.interfaces(ctx)
	if err != nil {
		return nil, err
	}
	if have, err = cloud.Select(have, v.words, v.id); err != nil {
		return nil, err
	}
	for i := range have {
		n, err := v.read(ctx, have[i].ID)
		if err != nil {
			return nil, err
		}
		if !strings.EqualFold(n.about.VM.ID, v.id) {
			return nil, fmt.Errorf("%s: it is not attached to %s but to %q; run again when the VM has settled",
				have[i].ID, v.id, n.about.VM.ID)
		}
		have[i].Forwarding = n.about.Forwarding
	}
	return have, nil
}

// Rehearse does nothing: Azure cannot be asked whether a write would be allowed.
func (*VM) Rehearse(context.Context, string, bool) error { return nil }

// Set writes the interface back with the one field changed, waits for the
// operation, and reads until the interface has settled.
func (v *VM) Set(ctx context.Context, id string, forwarding bool) (changed bool, err error) {
	err = v.rest.Pace.Race(ctx, func(ctx context.Context) error {
		n, err := v.settled(ctx, id)
		if err != nil || n.about.Forwarding == forwarding {
			return err
		}
		body, err := n.with(forwarding)
		if err != nil {
			return err
		}
		do := id + ": write the network interface"
		a, err := v.rest.Send(ctx, cloud.Request{
			Do: do, Method: http.MethodPut, URL: v.url(id, networkVersion), Body: body,
			Header: map[string]string{"If-Match": n.etag},
		})
		changed = changed || err == nil || cloud.Unsure(err)
		if err != nil {
			return err
		}
		return wait(ctx, v.rest, do, a)
	})
	if err != nil {
		return changed, err
	}
	n, err := v.settled(ctx, id)
	if err == nil && n.about.Forwarding != forwarding {
		err = fmt.Errorf("%s: enableIPForwarding was set to %t and reads %t: find what else sets it",
			id, forwarding, n.about.Forwarding)
	}
	return changed, err
}

func (v *VM) settled(ctx context.Context, id string) (n nic, err error) {
	err = v.rest.Pace.Until(ctx, func(ctx context.Context) (bool, string, error) {
		n, err = v.read(ctx, id)
		busy := n.about.State != "Succeeded" && n.about.State != "Failed" && n.about.State != "Canceled"
		return !busy, fmt.Sprintf("%s: its provisioningState is %s", id, n.about.State), err
	})
	return n, err
}

func (v *VM) read(ctx context.Context, id string) (nic, error) {
	do := id + ": read the network interface"
	if err := checkNIC(do, id); err != nil {
		return nic{}, err
	}
	a, err := v.rest.Send(ctx, cloud.Request{Do: do, Method: http.MethodGet, URL: v.url(id, networkVersion)})
	if err != nil {
		return nic{}, err
	}
	return parseNIC(do, a)
}

func (v *VM) url(id, version string) string { return v.api + id + "?api-version=" + version }

// checkNIC refuses what an answer names a network interface and cannot be put into an address.
func checkNIC(do, id string) error {
	if strings.ContainsAny(id, "?#% ") || !strings.HasPrefix(id, "/subscriptions/") {
		return fmt.Errorf("%s: %q is not the id of a network interface", do, id)
	}
	return nil
}

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
