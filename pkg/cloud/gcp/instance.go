package gcp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/wgmesh/router/pkg/cloud"
)

// Instance names the instance.
func (i *Instance) Instance() string { return i.project + "/" + i.zone + "/" + i.name }

func (i *Instance) zoneURL() string {
	return i.api + "/compute/v1/projects/" + i.project + "/zones/" + i.zone
}

func (i *Instance) url() string { return i.zoneURL() + "/instances/" + i.name }

// Observe reads the instance, which counts as one interface.
func (i *Instance) Observe(ctx context.Context) ([]cloud.Interface, error) {
	v, err := i.read(ctx)
	if err != nil {
		return nil, err
	}
	return []cloud.Interface{{ID: i.name, Primary: true, Forwarding: v.forwarding}}, nil
}

// mayWrite refuses before the API does, in clearer words.
func (i *Instance) mayWrite(what string) error {
	if i.scopes == nil || slices.Contains(i.scopes, scope+"compute") ||
		slices.Contains(i.scopes, scope+"cloud-platform") {
		return nil
	}
	return fmt.Errorf("%s: the instance's access scopes do not let it change %s; %s", i.Instance(), what, scopeHint)
}

// Rehearse asks whether the instance may be updated.
func (i *Instance) Rehearse(ctx context.Context, _ string, _ bool) error {
	if err := i.mayWrite("instances"); err != nil {
		return err
	}
	const update = "compute.instances.update"
	do := i.Instance() + ": test permissions"
	a, err := i.rest.Send(ctx, cloud.Request{
		Do: do, Method: http.MethodPost, URL: i.url() + "/testIamPermissions",
		Body: []byte(`{"permissions":["` + update + `"]}`),
	})
	if err != nil {
		return err
	}
	var out struct {
		Permissions []string `json:"permissions"`
	}
	if err := a.Decode(do, &out); err != nil {
		return err
	}
	if !slices.Contains(out.Permissions, update) {
		return fmt.Errorf("%s: the permission %s is missing: allow it in a role of the account", i.Instance(), update)
	}
	return nil
}

// Set updates the instance, waits for the operation and reads it back.
func (i *Instance) Set(ctx context.Context, _ string, forwarding bool) (changed bool, err error) {
	if err := i.mayWrite("instances"); err != nil {
		return false, err
	}
	err = i.rest.Pace.Race(ctx, func(ctx context.Context) error {
		v, err := i.read(ctx)
		if err != nil || v.forwarding == forwarding {
			return err
		}
		body, err := v.with(forwarding)
		if err != nil {
			return err
		}
		id := newRequestID() // the same one when the request is sent again
		do := i.Instance() + ": update the instance"
		a, err := i.rest.Send(ctx, cloud.Request{
			Do: do, Method: http.MethodPut,
			URL: i.url() + "?mostDisruptiveAllowedAction=REFRESH&requestId=" + id, Body: body,
		})
		changed = changed || err == nil || cloud.Unsure(err)
		if err != nil {
			return named(err, id)
		}
		return named(i.wait(ctx, do, a), id)
	})
	if err != nil {
		return changed, err
	}
	v, err := i.read(ctx)
	if err == nil && v.forwarding != forwarding {
		err = fmt.Errorf("%s: canIpForward was set to %t and reads %t: find what else sets it",
			i.Instance(), forwarding, v.forwarding)
	}
	return changed, err
}

// named gives an error the id of our request where the provider gave none.
func named(err error, id string) error {
	if e, ok := errors.AsType[*cloud.Error](err); ok && e.RequestID == "" {
		e.RequestID = id
	}
	return err
}

func (i *Instance) wait(ctx context.Context, do string, a cloud.Answer) error {
	return wait(ctx, i.rest, i.zoneURL(), do, a)
}

// wait waits for an operation of a zone, or a global one. One call of the API
// takes up to two minutes and may return before the end.
func wait(ctx context.Context, rest *cloud.REST, where, do string, a cloud.Answer) error {
	return rest.Pace.Until(ctx, func(ctx context.Context) (bool, string, error) {
		o, err := parseOperation(do, a)
		if err != nil || o.Status == "DONE" {
			return err == nil, "", err
		}
		a, err = rest.Send(ctx, cloud.Request{
			Do: do, Method: http.MethodPost, URL: where + "/operations/" + o.Name + "/wait",
		})
		return false, do + ": the operation " + o.Name + " is " + o.Status, err
	})
}

func (i *Instance) read(ctx context.Context) (view, error) {
	do := i.Instance() + ": read the instance"
	a, err := i.rest.Send(ctx, cloud.Request{Do: do, Method: http.MethodGet, URL: i.url()})
	if err != nil {
		return view{}, err
	}
	return parseView(do, a)
}
