package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/wgmesh/router/internal/fakecloud/published"
)

var httpWords = map[string]string{
	"MethodGet": "GET", "MethodPut": "PUT", "MethodDelete": "DELETE",
	"MethodPost": "POST", "MethodPatch": "PATCH",
}

var httpStatuses = map[string]int{"StatusOK": 200, "StatusCreated": 201, "StatusAccepted": 202, "StatusNoContent": 204}

var variable = regexp.MustCompile(`\{(\w+)\}`)

// method reads the function that makes the request, such as
// getCreateRequest, and the one that sends it.
func (g *generated) method(client, verb string) (*published.Method, error) {
	lower := strings.ToLower(verb[:1]) + verb[1:]
	prepare := g.functions[client+"."+lower+"CreateRequest"]
	if prepare == nil {
		return nil, fmt.Errorf("no %sCreateRequest", lower)
	}
	m := &published.Method{Parameters: map[string]*published.Schema{}}
	ast.Inspect(prepare, func(n ast.Node) bool {
		if a, ok := n.(*ast.AssignStmt); ok && name(a.Lhs[0]) == "urlPath" && m.Path == "" {
			m.Path, _ = text(a.Rhs[0])
		}
		return true
	})
	for _, found := range variable.FindAllStringSubmatch(m.Path, -1) {
		m.Parameters[found[1]] = &published.Schema{Type: "string", Location: "path", Required: true}
	}
	calls(prepare, func(call *ast.CallExpr) {
		switch name(call.Fun) {
		case "NewRequest":
			m.HTTPMethod = httpWords[name(call.Args[1])]
		case "Set": // of reqQP; an optional one has no constant
			key, _ := text(call.Args[0])
			p := &published.Schema{Type: "string", Location: "query"}
			if value, constant := text(call.Args[1]); constant {
				p.Required, p.Enum = true, []string{value}
			}
			m.Parameters[key] = p
		case "MarshalAsJSON":
			for _, argument := range prepare.Type.Params.List {
				if argument.Names[0].Name == name(call.Args[1]) {
					m.Request = &published.Schema{Ref: g.name + "." + name(argument.Type)}
				}
			}
		}
	})
	g.answers(m, client, prepare.Name.Name)
	if result := g.structs[client+verb+"Response"]; result != nil && len(result.Fields.List) > 0 {
		m.Response = &published.Schema{Ref: g.name + "." + name(result.Fields.List[0].Type)}
	}
	// whose pages are 200, by the pager
	if m.Path == "" || m.HTTPMethod == "" || len(m.Statuses) == 0 && verb != "List" {
		return nil, fmt.Errorf("its code is not as expected: path %q, method %q, statuses %v",
			m.Path, m.HTTPMethod, m.Statuses)
	}
	return m, nil
}

// answers finds the statuses of success where the request is sent.
func (g *generated) answers(m *published.Method, client, prepare string) {
	for _, f := range g.functions {
		if f.Recv == nil || name(f.Recv.List[0].Type) != client {
			continue
		}
		sends := false
		calls(f, func(call *ast.CallExpr) { sends = sends || name(call.Fun) == prepare })
		if !sends {
			continue
		}
		calls(f, func(call *ast.CallExpr) {
			if name(call.Fun) == "HasStatusCode" {
				for _, a := range call.Args[1:] {
					m.Statuses = append(m.Statuses, httpStatuses[name(a)])
				}
			}
		})
	}
}

// googleMethods are those that our modules call, and those by which Google's own
// clients do the same.
var googleMethods = []string{
	"instances.get", "instances.update", "instances.testIamPermissions", "instances.getGuestAttributes",
	"zoneOperations.get", "zoneOperations.wait", "globalOperations.get", "globalOperations.wait",
	"routes.insert", "routes.delete", "routes.get", "routes.list",
}

func google(m module) (*published.Description, error) {
	raw, err := os.ReadFile(filepath.Join(m.Dir, "compute/v1/compute-api.json"))
	if err != nil {
		return nil, err
	}
	var document struct {
		Revision    string                       `json:"revision"`
		ServicePath string                       `json:"servicePath"`
		Parameters  map[string]*published.Schema `json:"parameters"`
		Schemas     map[string]*published.Schema `json:"schemas"`
		Resources   map[string]struct {
			Methods map[string]*published.Method `json:"methods"`
		} `json:"resources"`
	}
	if err := json.Unmarshal(raw, &document); err != nil {
		return nil, err
	}
	source, err := m.source("compute/v1/compute-api.json, revision " + document.Revision + ", without its texts")
	if err != nil {
		return nil, err
	}
	d := &published.Description{
		Vendor: "gcp", Sources: []published.Source{source}, Base: "/" + document.ServicePath,
		Parameters: document.Parameters,
		Methods:    map[string]*published.Method{}, Schemas: map[string]*published.Schema{},
	}
	for _, name := range googleMethods {
		resource, verb, _ := strings.Cut(name, ".")
		method := document.Resources[resource].Methods[verb]
		if method == nil {
			return nil, fmt.Errorf("no method %s", name)
		}
		method.Path = d.Base + method.Path
		d.Methods["compute."+name] = method
	}
	if err := needed(d, document.Schemas); err != nil {
		return nil, err
	}
	for _, s := range d.Schemas { // what methods need that are not here is noise
		reach(s, func(s *published.Schema) {
			if s.Annotations != nil {
				s.Annotations.Required = slices.DeleteFunc(s.Annotations.Required, func(id string) bool {
					return d.Methods[id] == nil
				})
				if len(s.Annotations.Required) == 0 {
					s.Annotations = nil
				}
			}
		})
	}
	return d, nil
}

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
		name := major.ReplaceAllString(m.Path, "")
		name = path.Base(name)
		if microsoftMethods[name] == nil {
			return nil, fmt.Errorf("%s: none of its methods is wanted", m.Path)
		}
		source, err := m.source("models.go, models_serde.go, constants.go and the clients, without their texts")
		if err != nil {
			return nil, err
		}
		d.Sources = append(d.Sources, source)
		g, err := readGenerated(m.Dir, name, microsoftMethods[name])
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
