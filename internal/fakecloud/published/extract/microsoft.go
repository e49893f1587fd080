package main

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/wgmesh/router/internal/fakecloud/published"
)

// microsoftMethods are those that our modules call.
var microsoftMethods = map[string][]string{
	"armcompute": {"VirtualMachines.Get"},
	"armnetwork": {
		"Interfaces.Get", "Interfaces.CreateOrUpdate",
		"RouteTables.Get", "Routes.Get", "Routes.List", "Routes.CreateOrUpdate", "Routes.Delete",
	},
	"armresources": {"Tags.GetAtScope", "Tags.UpdateAtScope"},
}

// microsoft takes the methods from the clients that Microsoft generates. The
// status of an operation has no method there, since its address comes with an
// answer; this is the one that Azure's network has.
func microsoft(modules []module) (*published.Description, error) {
	d := &published.Description{
		Vendor: "azure", Base: "/subscriptions/", Schemas: map[string]*published.Schema{},
		Errors: &published.Schema{Ref: "armnetwork.ErrorResponse"},
		Methods: map[string]*published.Method{"armnetwork.Operations.Get": {
			HTTPMethod: "GET",
			Path: "/subscriptions/{subscriptionId}/providers/Microsoft.Network/locations/{location}/operations/" +
				"{operationId}",
			Parameters: map[string]*published.Schema{
				"api-version": {Type: "string", Location: "query", Required: true},
			},
			Response: &published.Schema{Ref: "armnetwork.AzureAsyncOperationResult"},
		}},
	}
	all := map[string]*published.Schema{}
	for _, m := range modules {
		name := major.ReplaceAllString(m.path, "")
		name = path.Base(name)
		if microsoftMethods[name] == nil {
			return nil, fmt.Errorf("%s: none of its methods is wanted", m.path)
		}
		source, err := m.source("models.go, models_serde.go, constants.go and the clients, without their texts")
		if err != nil {
			return nil, err
		}
		d.Sources = append(d.Sources, source)
		g, err := readGenerated(m.dir, name, microsoftMethods[name])
		if err != nil {
			return nil, err
		}
		g.schemas(all)
		for _, method := range microsoftMethods[name] {
			client, verb, _ := strings.Cut(method, ".")
			if d.Methods[name+"."+method], err = g.method(client+"Client", verb); err != nil {
				return nil, fmt.Errorf("%s: %w", method, err)
			}
		}
	}
	return d, needed(d, all, d.Errors)
}

// major is the end of a module's path that names its version.
var major = regexp.MustCompile(`/v\d+$`)
