package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/must"
)

// Every module that is linked, for either system, has its licence in what is shipped.
func TestLicences(t *testing.T) {
	said := must.Get(exec.CommandContext(t.Context(), "python3", "../.ci/licences").Output())(t)
	text := string(said)
	assert.Contains(t, text, "Copyright 2009 The Go Authors")
	for _, architecture := range []string{"amd64", "arm64"} {
		list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f",
			"{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}", ".", "./cloud")
		list.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+architecture, "CGO_ENABLED=0")
		modules := must.Get(list.Output())(t)
		for _, module := range strings.Split(strings.TrimSpace(string(modules)), "\n") {
			assert.Contains(t, text, "\n"+module+", ")
		}
	}
}
