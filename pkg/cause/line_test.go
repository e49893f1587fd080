package cause_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/pkg/cause"
)

func TestLine(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "",
		" two \r\n\twords ":       "two words",
		"\x1b[2Jclears\x07":       "[2Jclears",
		"turns \u202eround\u200b": "turns round",
		"no \xff utf-8":           "no utf-8",
		"Größe":                   "Größe",
		strings.Repeat("ü", 21):   strings.Repeat("ü", 17) + "...",
	} {
		assert.Equal(t, want, cause.Line(text, 20), "%q", text)
	}
}
