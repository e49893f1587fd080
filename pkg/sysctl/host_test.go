package sysctl_test

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/sysctl"
)

// A tree is a fake host: path to content. Files below proc/sys that are named
// in readOnly cannot be set.
type tree map[string]string

// stock is a fresh Debian host with one interface beside the tunnel wg1.
func stock() tree {
	t := tree{
		"proc/sys/net/ipv4/ip_forward":                  "0",
		"proc/sys/net/ipv4/ip_local_reserved_ports":     "",
		"proc/sys/net/ipv4/fib_multipath_hash_policy":   "0",
		"proc/sys/net/ipv4/tcp_mtu_probing":             "0",
		"proc/sys/net/ipv4/ip_nonlocal_bind":            "0",
		"proc/sys/net/ipv6/ip_nonlocal_bind":            "0",
		"proc/sys/net/ipv6/conf/all/forwarding":         "0",
		"proc/sys/net/ipv6/conf/eth0/accept_ra":         "1",
		"proc/sys/net/ipv6/fib_multipath_hash_policy":   "0",
		"proc/sys/net/core/rmem_default":                "212992",
		"proc/sys/net/core/rmem_max":                    "212992",
		"proc/sys/net/core/wmem_max":                    "212992",
		"etc/sysctl.d/10-network-security.conf":         "net.ipv4.conf.default.rp_filter=2\n",
		"usr/lib/sysctl.d/60-gce-network-security.conf": "net.ipv4.ip_forward=0\nnet.ipv4.conf.all.rp_filter = 1\n",
	}
	for _, i := range []string{"all", "default", "lo", "eth0", "wg1"} {
		t["proc/sys/net/ipv4/conf/"+i+"/rp_filter"] = "2"
		t["proc/sys/net/ipv4/conf/"+i+"/send_redirects"] = "1"
		t["proc/sys/net/ipv4/conf/"+i+"/accept_redirects"] = "1"
	}
	return t
}

// with returns a copy with other files; the content "-" takes a file away.
func (t tree) with(files tree) tree {
	out := maps.Clone(t)
	for p, s := range files {
		if out[p] = s; s == "-" {
			delete(out, p)
		}
	}
	return out
}

func (t tree) host(tb testing.TB, readOnly ...string) string {
	tb.Helper()
	root := tb.TempDir()
	for p, text := range t {
		path := filepath.Join(root, p)
		must.Write(tb, path, text+"\n", 0o644)
	}
	require.NoError(tb, os.MkdirAll(filepath.Join(root, "etc/sysctl.d"), 0o755))
	for _, p := range readOnly {
		require.NoError(tb, os.Chmod(filepath.Join(root, p), 0o444))
	}
	return root
}

func observe(tb testing.TB, root string, p sysctl.Profile) sysctl.Delta {
	tb.Helper()
	return must.Get(planned(root, p))(tb)
}

func planned(root string, p sysctl.Profile) (sysctl.Delta, error) {
	host, want := sysctl.Host{Root: root}, sysctl.Want{Profile: p, Path: sysctl.Path}
	have, err := host.Observe(context.Background(), want)
	if err != nil {
		return sysctl.Delta{}, err
	}
	return host.Diff(want, have)
}

// converge plans and applies, and holds the law: planning writes nothing, and
// after applying nothing is left to do.
func converge(tb testing.TB, root string, p sysctl.Profile) sysctl.Delta {
	tb.Helper()
	untouched := must.Tree(tb, root)
	plan := observe(tb, root, p)
	require.Equal(tb, untouched, must.Tree(tb, root), "planning must not write")

	done := must.Get(sysctl.Host{Root: root}.Apply(context.Background(), plan))(tb)
	require.Equal(tb, !plan.Empty(), len(done) > 0)

	again := observe(tb, root, p)
	require.True(tb, again.Empty(), "left over: %v %s", again.Live, again.File)
	_, planned := plan.Views()
	before, after := again.Views()
	require.Equal(tb, before, after)
	require.Equal(tb, planned, after)
	return plan
}

func live(tb testing.TB, root, key string) string {
	tb.Helper()
	data := must.Get(os.ReadFile(filepath.Join(root, "proc/sys", string(sysctl.ParseKey(key)))))(tb)
	return string(data[:len(data)-1])
}

func dropin(tb testing.TB, root string) string {
	tb.Helper()
	return string(must.Get(os.ReadFile(filepath.Join(root, sysctl.Path)))(tb))
}

func ports(tb testing.TB, text string) *sysctl.Ports {
	tb.Helper()
	p := must.Get(sysctl.ParsePorts(text))(tb)
	return &p
}

func TestParseKey(t *testing.T) {
	tests := map[string]struct{ text, key, dotted string }{
		"dots": {"net.ipv4.ip_forward", "net/ipv4/ip_forward", "net.ipv4.ip_forward"},
		"slashes": {
			"net/ipv4/conf/eth0.100/rp_filter",
			"net/ipv4/conf/eth0.100/rp_filter", "net.ipv4.conf.eth0/100.rp_filter",
		},
		"dots with a slash": {
			"net.ipv4.conf.eth0/100.rp_filter",
			"net/ipv4/conf/eth0.100/rp_filter", "net.ipv4.conf.eth0/100.rp_filter",
		},
		"a slash in front":    {"/net/ipv4/ip_forward", "net/ipv4/ip_forward", "net.ipv4.ip_forward"},
		"no separator at all": {"kernel", "kernel", "kernel"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			k := sysctl.ParseKey(tt.text)
			assert.Equal(t, sysctl.Key(tt.key), k)
			assert.Equal(t, tt.dotted, k.String())
		})
	}
}

func TestDiff(t *testing.T) {
	const fwd, rp = sysctl.Key("net/ipv4/ip_forward"), sysctl.Key("net/ipv4/conf/all/rp_filter")
	const eth, lo = sysctl.Key("net/ipv6/conf/eth0/accept_ra"), sysctl.Key("net/ipv6/conf/eth1/accept_ra")
	tests := map[string]struct {
		want, have sysctl.Settings
		delta      []sysctl.Change
	}{
		"already right": {want: sysctl.Settings{fwd: "1"}, have: sysctl.Settings{fwd: "1"}},
		"one value differs": {
			want: sysctl.Settings{fwd: "1"}, have: sysctl.Settings{fwd: "0"},
			delta: []sysctl.Change{{fwd, "0", "1"}},
		},
		"foreign keys stay": {want: sysctl.Settings{fwd: "1"}, have: sysctl.Settings{fwd: "1", rp: "2"}},
		"forwarding is first": {
			want: sysctl.Settings{rp: "0", fwd: "1"}, delta: []sysctl.Change{{fwd, "", "1"}, {rp, "", "0"}},
		},
		"what forwarding would take away is before it, or after": {
			want:  sysctl.Settings{fwd: "0", lo: "1", eth: "2"},
			delta: []sysctl.Change{{eth, "", "2"}, {fwd, "", "0"}, {lo, "", "1"}},
		},
		"empty is not missing": {want: sysctl.Settings{rp: ""}, delta: []sysctl.Change{{rp, "", ""}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tt.delta, sysctl.Changes(tt.want, tt.have))
		})
	}
}

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
