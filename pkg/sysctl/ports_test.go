package sysctl_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/sysctl"
)

func TestParsePorts(t *testing.T) {
	tests := map[string]struct{ text, want, err string }{
		"empty":                  {text: "\n", want: ""},
		"one":                    {text: "51801", want: "51801"},
		"neighbours are a range": {text: "51801,51802", want: "51801-51802"},
		"kernel's form":          {text: "51801-51806,51810", want: "51801-51806,51810"},
		"overlap, any order":     {text: "51810, 51803-51806,51801-51804", want: "51801-51806,51810"},
		"the ends":               {text: "1,65535", want: "1,65535"},
		"across words":           {text: "63-65,127-128", want: "63-65,127-128"},
		"zero":                   {text: "0", err: `port range "0": expected a port from 1 to 65535, got "0"`},
		"too large":              {text: "65536", err: `got "65536"`},
		"backwards":              {text: "20-10", err: "expected the lower port first"},
		"words":                  {text: "ssh", err: `got "ssh"`},
		"open range":             {text: "10-", err: `got ""`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p, err := sysctl.ParsePorts(tt.text)
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tt.want, p.String())
		})
	}
}

func TestPortsAlgebra(t *testing.T) {
	parse := func(text string) sysctl.Ports {
		return must.Get(sysctl.ParsePorts(text))(t)
	}
	p, q := parse("10-20"), parse("15-25")
	assert.Equal(t, "10-25", p.Union(q).String())
	assert.Equal(t, "10-14", p.Minus(q).String())
	assert.Equal(t, "10-20", p.String(), "operands stay as they are")
	assert.True(t, p.Contains(parse("11,19")))
	assert.False(t, p.Contains(q))
}

func FuzzParsePorts(f *testing.F) {
	for _, s := range []string{"", "51801-51806,51810", "1-65535", "0", "5-1", "1,,2", " 7\t8\n", "-", "99999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := sysctl.ParsePorts(text)
		if err != nil {
			return
		}
		require.Equal(t, p, must.Get(sysctl.ParsePorts(p.String()))(t))
	})
}
