package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wgmesh/router/internal/fakecloud/published"
)

// googleMethods are those that our modules call, and those by which Google's own
// clients do the same.
var googleMethods = []string{
	"instances.get", "instances.update", "instances.testIamPermissions", "instances.getGuestAttributes",
	"zoneOperations.get", "zoneOperations.wait", "globalOperations.get", "globalOperations.wait",
	"routes.insert", "routes.delete", "routes.get", "routes.list",
}

func google(m module) (*published.Description, error) {
	raw, err := os.ReadFile(filepath.Join(m.dir, "compute/v1/compute-api.json"))
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
