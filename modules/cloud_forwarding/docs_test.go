package cloudforwarding_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/must"
)

// The tests that the documentation names are there.
func TestTestsOfTheDocumentation(t *testing.T) {
	var source strings.Builder
	for _, pattern := range []string{
		"../cloud_*/*_test.go", "../../pkg/cloud/*_test.go", "../../pkg/cloud/*/*_test.go",
	} {
		files := must.Get(filepath.Glob(pattern))(t)
		for _, file := range files {
			source.Write(must.Get(os.ReadFile(file))(t))
		}
	}
	page := must.Get(os.ReadFile("../../docs/cloud-forwarding.md"))(t)
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w+)`").FindAllStringSubmatch(string(page), -1)
	assert.NotEmpty(t, named)
	for _, each := range named {
		assert.True(t, strings.Contains(source.String(), "\nfunc "+each[1]+"("),
			"docs/cloud-forwarding.md: there is no %s", each[1])
	}
}
