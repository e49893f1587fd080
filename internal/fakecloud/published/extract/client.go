package main

import (
	"fmt"
	"go/ast"
	"regexp"
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
