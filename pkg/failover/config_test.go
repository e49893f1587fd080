package failover_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/failover"
)

const file = `{
  "router": "aws-2", "cloud": "aws", "mesh": "example", "prefixes": ["10.0.0.0/16", "2001:db8::/48"],
  "tables": ["rtb-0c"], "after": 300,
  "peers": [{"name": "office-1", "interface": "wg11", "address": "172.31.11.1"}],
  "partners": [
    {"name": "aws-1", "interface": "wg15", "address": "172.31.15.1", "tables": ["rtb-0a"], "before": ["aws-3"]},
    {"name": "aws-3", "interface": "wg21", "address": "172.31.21.1", "tables": [], "before": []}
  ]
}
`

func TestParse(t *testing.T) {
	c := must.Get(failover.Parse(strings.NewReader(file)))(t)
	assert.Equal(t, "aws-2", c.Router)
	assert.Equal(t, []int{300, 30, 10}, []int{c.After, c.BackAfter, c.StartAfter})
	assert.Equal(t, "wg15", c.Partners[0].Interface)
	assert.Equal(t, "172.31.11.1", c.Peers[0].Address.String())
	assert.Equal(t, "/run/bird/bird.ctl", c.Socket)
}

func TestParseRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ old, new, want string }{
		"another word":      {`"after"`, `"afetr"`, `unknown field "afetr"`},
		"an inner word":     {`"before": []`, `"befor": []`, `unknown field "befor"`},
		"not JSON":          {`{`, `[`, "expected the configuration as the role routes writes it"},
		"something follows": {"]\n}\n", "]\n}\n{}", "something follows the configuration"},
		"no name":           {`"aws-2"`, `""`, "router: it is empty"},
		"azure": {
			`"cloud": "aws"`, `"cloud": "azure"`,
			`cloud: "azure": expected aws; on Azure the load balancer's probe`,
		},
		"no mark":     {`"example"`, `""`, "mesh: it is empty"},
		"no prefixes": {`["10.0.0.0/16", "2001:db8::/48"]`, `[]`, "prefixes: there is none"},
		"bits beyond": {
			"10.0.0.0/16", "10.0.0.1/16",
			"prefixes: 10.0.0.1/16: expected a network without bits beyond its length",
		},
		"no address": {
			`"172.31.15.1"`, `""`, "aws-1: expected the interface and the address of its BFD session",
		},
		"no peers": {
			`[{"name": "office-1", "interface": "wg11", "address": "172.31.11.1"}]`, `[]`,
			"peers: there is none",
		},
		"a table of two": {"rtb-0a", "rtb-0c", "tables: rtb-0c is given to aws-2 and to aws-1"},
		"a session of two": {
			`"wg15", "address": "172.31.15.1"`,
			`"wg11", "address": "172.31.11.1"`, "aws-1: its session 172.31.11.1 on wg11 is that of office-1",
		},
		"a name of two": {`"office-1"`, `"aws-1"`, `routers: the name "aws-1" is empty or given twice`},
		"itself before itself": {
			`"before": []`, `"before": ["aws-3"]`, "aws-3: before: aws-3 is none of the other partners",
		},
		"a stranger before it":   {`["aws-3"]`, `["aws-9"]`, "aws-1: before: aws-9 is none of the other partners"},
		"after is a minute":      {`300`, `60001`, "after: 60001: expected 0 to 60000"},
		"back at once":           {`"after": 300`, `"back_after": 0`, "back_after: 0: expected 1 to 86400"},
		"no time to start":       {`"after": 300`, `"start_after": 0`, "start_after: 0: expected 1 to 3600"},
		"a table without a name": {`["rtb-0a"]`, `[""]`, "aws-1: tables: one is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, file, tt.old)
			_, err := failover.Parse(strings.NewReader(strings.Replace(file, tt.old, tt.new, 1)))
			assert.ErrorContains(t, err, tt.want)
		})
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "failover.json")
	_, err := failover.Load(path)
	assert.ErrorContains(t, err, path)
	require.NoError(t, os.WriteFile(path, []byte(`{"x": 1}`), 0o600))
	_, err = failover.Load(path)
	assert.ErrorContains(t, err, path+": ")
	assert.ErrorContains(t, err, `unknown field "x"`)
}

func FuzzParse(f *testing.F) {
	f.Add(file)
	f.Add(`{"peers": [{"address": "fe80::1%eth0"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := failover.Parse(strings.NewReader(text))
		if err == nil {
			assert.NotEmpty(t, c.Peers)
			assert.NotEmpty(t, c.Prefixes)
		}
	})
}
