package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// Snapshot is a file of schemas/, which the program snapshot wrote.
type Snapshot struct {
	Address   string           `json:"address"` // of the provider in the registry
	Version   string           `json:"version"` // of the provider
	Source    string           `json:"source"`  // the package that it was read from
	Provider  Block            `json:"provider"`
	Resources map[string]Block `json:"resources"`
}

// Block is the inside of a resource, or of a block in one. Nesting is list, set
// or single; MaxItems 0 is any number.
type Block struct {
	Attributes map[string]Attribute `json:"attributes"`
	Blocks     map[string]Block     `json:"blocks"`
	Nesting    string               `json:"nesting"`
	MinItems   int64                `json:"min_items"`
	MaxItems   int64                `json:"max_items"`
}

// Attribute is one argument, or, if Computed, what only the provider says. The
// provider may fill in an optional one that is left out.
type Attribute struct {
	Type     Type `json:"type"`
	Required bool `json:"required"`
	Optional bool `json:"optional"`
	Computed bool `json:"computed"`
}

// Type is a type in the words of `terraform providers schema -json`.
type Type struct{ tftypes.Type }

// UnmarshalJSON implements json.Unmarshaler.
func (t *Type) UnmarshalJSON(data []byte) error {
	var name string
	if json.Unmarshal(data, &name) == nil {
		known := map[string]tftypes.Type{"string": tftypes.String, "number": tftypes.Number, "bool": tftypes.Bool}
		if t.Type = known[name]; t.Type == nil {
			return fmt.Errorf("type %q: expected string, number or bool", name)
		}
		return nil
	}
	var parts []json.RawMessage
	if err := json.Unmarshal(data, &parts); err != nil || len(parts) != 2 {
		return fmt.Errorf("type %s: expected a name, or a list of a name and a type", data)
	}
	if err := json.Unmarshal(parts[0], &name); err != nil {
		return err
	}
	if name == "object" {
		var fields map[string]Type
		if err := json.Unmarshal(parts[1], &fields); err != nil {
			return err
		}
		object := tftypes.Object{AttributeTypes: map[string]tftypes.Type{}}
		for field, kind := range fields {
			object.AttributeTypes[field] = kind.Type
		}
		t.Type = object
		return nil
	}
	var element Type
	if err := json.Unmarshal(parts[1], &element); err != nil {
		return err
	}
	switch name {
	case "list":
		t.Type = tftypes.List{ElementType: element.Type}
	case "set":
		t.Type = tftypes.Set{ElementType: element.Type}
	case "map":
		t.Type = tftypes.Map{ElementType: element.Type}
	default:
		return fmt.Errorf("type %q: expected list, set, map or object", name)
	}
	return nil
}

// Parse reads a snapshot. A field that is not known is an error.
func Parse(data []byte) (Snapshot, error) {
	var snapshot Snapshot
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	return snapshot, decoder.Decode(&snapshot)
}

func (s Snapshot) response() *tfprotov5.GetProviderSchemaResponse {
	response := &tfprotov5.GetProviderSchemaResponse{
		ServerCapabilities: &tfprotov5.ServerCapabilities{GetProviderSchemaOptional: true},
		Provider:           &tfprotov5.Schema{Block: s.Provider.proto()},
		ResourceSchemas:    map[string]*tfprotov5.Schema{},
	}
	for name, block := range s.Resources {
		response.ResourceSchemas[name] = &tfprotov5.Schema{Block: block.proto()}
	}
	return response
}

func (b Block) proto() *tfprotov5.SchemaBlock {
	block := &tfprotov5.SchemaBlock{}
	for _, name := range slices.Sorted(maps.Keys(b.Attributes)) {
		a := b.Attributes[name]
		block.Attributes = append(block.Attributes, &tfprotov5.SchemaAttribute{
			Name: name, Type: a.Type.Type, Required: a.Required, Optional: a.Optional, Computed: !a.Required,
		})
	}
	nestings := map[string]tfprotov5.SchemaNestedBlockNestingMode{
		"list": tfprotov5.SchemaNestedBlockNestingModeList, "set": tfprotov5.SchemaNestedBlockNestingModeSet,
		"single": tfprotov5.SchemaNestedBlockNestingModeSingle,
	}
	for _, name := range slices.Sorted(maps.Keys(b.Blocks)) {
		inner := b.Blocks[name]
		block.BlockTypes = append(block.BlockTypes, &tfprotov5.SchemaNestedBlock{
			TypeName: name, Block: inner.proto(), Nesting: nestings[inner.Nesting],
			MinItems: inner.MinItems, MaxItems: inner.MaxItems,
		})
	}
	return block
}
