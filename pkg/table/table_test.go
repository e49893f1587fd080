package table_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/pkg/table"
)

func TestLines(t *testing.T) {
	for name, tt := range map[string]struct {
		rows   [][]string
		width  int
		narrow []int
		want   []string
	}{
		"nothing":        {nil, 80, nil, []string{}},
		"aligned":        {[][]string{{"a", "bb", "c"}, {"aaa", "b", ""}}, 80, nil, []string{"a   bb c", "aaa b"}},
		"rows end early": {[][]string{{"a"}, {"bb", "c"}, {}}, 80, nil, []string{"a", "bb c", ""}},
		"characters":     {[][]string{{"ü", "x"}, {"uu", "x"}}, 80, nil, []string{"ü  x", "uu x"}},
		"the widest name": {
			[][]string{{"12345678", "1234567890", "x"}}, 17, []int{0, 1}, []string{"123456~ 123456~ x"},
		},
		"of equal the first": {[][]string{{"1234567", "1234567"}}, 14, []int{1, 0}, []string{"1234567 12345~"}},
		"no names":           {[][]string{{"1234567", "1234567"}}, 10, nil, []string{"1234567 1234567"}},
		"names stay names":   {[][]string{{"1234567", "1234567"}}, 3, []int{0, 1, 9}, []string{"12345~ 12345~"}},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tt.want, table.Lines(tt.rows, tt.width, tt.narrow...))
		})
	}
}
