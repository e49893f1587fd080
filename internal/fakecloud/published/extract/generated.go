package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/wgmesh/router/internal/fakecloud/published"
)

// generated is one of Microsoft's generated packages: what models.go says of
// the types and models_serde.go of their names in JSON.
type generated struct {
	name      string
	structs   map[string]*ast.StructType
	enums     map[string][]string
	json      map[string]map[string]string // name in JSON, by type and field
	functions map[string]*ast.FuncDecl     // by receiver and name
}

func readGenerated(dir, name string, methods []string) (*generated, error) {
	g := &generated{
		name,
		map[string]*ast.StructType{},
		map[string][]string{},
		map[string]map[string]string{},
		map[string]*ast.FuncDecl{},
	}
	files := map[string]bool{
		"models.go": true, "models_serde.go": true, "constants.go": true,
		"responses.go": true, "response_types.go": true,
	}
	for _, m := range methods {
		client, _, _ := strings.Cut(m, ".")
		files[strings.ToLower(client)+"_client.go"] = true
	}
	set := token.NewFileSet()
	for file := range files {
		parsed, err := parser.ParseFile(set, filepath.Join(dir, file), nil,
			parser.ParseComments|parser.SkipObjectResolution)
		if os.IsNotExist(err) && strings.HasPrefix(file, "response") {
			continue // one of both
		}
		if err != nil {
			return nil, err
		}
		for _, d := range parsed.Decls {
			g.declaration(d)
		}
	}
	return g, nil
}

func (g *generated) declaration(d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		receiver := ""
		if d.Recv != nil {
			receiver = name(d.Recv.List[0].Type)
		}
		g.functions[receiver+"."+d.Name.Name] = d
		if d.Name.Name == "UnmarshalJSON" {
			g.json[receiver] = jsonNames(d)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if s, ok := spec.Type.(*ast.StructType); ok {
					g.structs[spec.Name.Name] = s
				}
			case *ast.ValueSpec:
				if spec.Type != nil && len(spec.Values) == 1 {
					if value, ok := text(spec.Values[0]); ok {
						of := name(spec.Type)
						g.enums[of] = append(g.enums[of], value)
					}
				}
			}
		}
	}
}

// jsonNames are the names in
//
//	case "addressPrefix":
//		err = unpopulate(val, "AddressPrefix", &r.AddressPrefix)
func jsonNames(d *ast.FuncDecl) map[string]string {
	out := map[string]string{}
	ast.Inspect(d, func(n ast.Node) bool {
		if c, ok := n.(*ast.CaseClause); ok && len(c.List) == 1 {
			key, _ := text(c.List[0])
			calls(c, func(call *ast.CallExpr) {
				if strings.HasPrefix(name(call.Fun), "unpopulate") && len(call.Args) == 3 {
					field, _ := text(call.Args[1])
					out[field] = key
				}
			})
		}
		return true
	})
	return out
}

// schemas adds a schema for every type that can have one. Who wants another one,
// such as one of the types that are several in one, hears of it in needed.
func (g *generated) schemas(all map[string]*published.Schema) {
	for of, s := range g.structs {
		if out, ok := g.object(of, s); ok {
			all[g.name+"."+of] = out
		}
	}
}

func (g *generated) object(of string, s *ast.StructType) (*published.Schema, bool) {
	out := &published.Schema{Type: "object", Properties: map[string]*published.Schema{}}
	for _, field := range s.Fields.List {
		property, ok := g.schema(field.Type)
		if !ok || len(field.Names) != 1 || g.json[of][field.Names[0].Name] == "" {
			return nil, false
		}
		says := field.Doc.Text()
		property.ReadOnly = strings.HasPrefix(says, "READ-ONLY;") || strings.HasPrefix(says, "REQUIRED; READ-ONLY;")
		property.Required = strings.HasPrefix(says, "REQUIRED;")
		out.Properties[g.json[of][field.Names[0].Name]] = property
	}
	return out, true
}

func (g *generated) schema(t ast.Expr) (*published.Schema, bool) {
	switch t := t.(type) {
	case *ast.StarExpr:
		return g.schema(t.X)
	case *ast.ArrayType:
		if name(t.Elt) == "byte" {
			return &published.Schema{Type: "string", Format: "byte"}, true
		}
		items, ok := g.schema(t.Elt)
		return &published.Schema{Type: "array", Items: items}, ok
	case *ast.MapType:
		values, ok := g.schema(t.Value)
		return &published.Schema{Type: "object", AdditionalProperties: values}, ok
	}
	n := name(t)
	if basic, ok := basics[n]; ok {
		return &basic, true
	}
	switch {
	case g.structs[n] != nil:
		return &published.Schema{Ref: g.name + "." + n}, true
	case g.enums[n] != nil:
		return &published.Schema{Type: "string", Enum: g.enums[n]}, true
	case strings.HasSuffix(n, "Classification"):
		return &published.Schema{Type: "any"}, true
	}
	return nil, false
}

var basics = map[string]published.Schema{
	"string": {Type: "string"}, "bool": {Type: "boolean"}, "any": {Type: "any"},
	"int32": {Type: "integer", Format: "int32"}, "int64": {Type: "integer", Format: "int64"},
	"float32": {Type: "number", Format: "float"}, "float64": {Type: "number", Format: "double"},
	"Time": {Type: "string", Format: "date-time"},
}

// name is the last word of an expression.
func name(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.StarExpr:
		return name(e.X)
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.IndexExpr: // a generic function
		return name(e.X)
	}
	return ""
}

// text is a string constant.
func text(e ast.Expr) (string, bool) {
	if literal, ok := e.(*ast.BasicLit); ok && literal.Kind == token.STRING {
		value, err := strconv.Unquote(literal.Value)
		return value, err == nil
	}
	return "", false
}

func calls(n ast.Node, visit func(*ast.CallExpr)) {
	ast.Inspect(n, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			visit(call)
		}
		return true
	})
}
