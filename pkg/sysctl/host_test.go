package sysctl_test

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"strings"
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
	for name, tt := range map[string]struct{ text, key, dotted string }{
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
	} {
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
	for name, tt := range map[string]struct {
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
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tt.delta, sysctl.Changes(tt.want, tt.have))
		})
	}
}

func TestParsePorts(t *testing.T) {
	for name, tt := range map[string]struct{ text, want, err string }{
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
	} {
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

func takeAway(t *testing.T, root string) sysctl.Delta {
	t.Helper()
	h, want := sysctl.Host{Root: root}, sysctl.Want{Path: sysctl.Path, Absent: true}
	have := must.Get(h.Observe(t.Context(), want))(t)
	d := must.Get(h.Diff(want, have))(t)
	if !d.Empty() {
		must.Get(h.Apply(t.Context(), d))(t)
	}
	return d
}

// texts is what the files of a host say.
func texts(t *testing.T, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for path, file := range must.Tree(t, root) {
		if !strings.HasPrefix(file, "d") {
			out[path] = strings.TrimSpace(string(must.Get(os.ReadFile(path))(t)))
		}
	}
	return out
}

var router = sysctl.Profile{
	Mesh: "routers", IPv6: new(true), Interfaces: []string{"wg1", "wg20"}, RmemDefault: 1 << 20,
	RmemMax: 8 << 20, WmemMax: 8 << 20,
}

// The host is as it was, file by file, also when the profile changed meanwhile.
func TestAbsentPutsTheFormerValuesBack(t *testing.T) {
	root := stock().with(tree{"proc/net/ipv6_route": advertised}).host(t)
	before := texts(t, root)
	p := router
	p.ReservedPorts = ports(t, "51801,51820")
	converge(t, root, sysctl.Profile{RmemDefault: 1 << 20})
	converge(t, root, p)
	assert.NotEqual(t, before, texts(t, root))

	assert.False(t, takeAway(t, root).Empty())
	assert.Equal(t, before, texts(t, root))
	assert.True(t, takeAway(t, root).Empty(), "a second run changes nothing")
}

// A mesh without IPv6 left a host forwarding it until the next boot, since the image had begun with that.
func TestANarrowerProfileGivesBack(t *testing.T) {
	const key = "net.ipv6.conf.all.forwarding"
	narrow := router
	narrow.IPv6 = new(false)
	for name, c := range map[string]struct {
		others tree
		set    string // by hand, meanwhile
		want   string
	}{
		"alone":                 {want: "0"},
		"another file has it":   {others: tree{"etc/sysctl.d/50-mine.conf": key + " = 1\n"}, want: "1"},
		"another file has none": {others: tree{"etc/sysctl.d/50-mine.conf": key + " = 0\n"}, want: "0"},
		"it was so before":      {others: tree{"proc/sys/net/ipv6/conf/all/forwarding": "1"}, want: "1"},
		"set by hand":           {set: "2", want: "2"},
	} {
		t.Run(name, func(t *testing.T) {
			root := stock().with(c.others).host(t)
			converge(t, root, router)
			if c.set != "" {
				path := filepath.Join(root, "proc/sys/net/ipv6/conf/all/forwarding")
				require.NoError(t, os.WriteFile(path, []byte(c.set+"\n"), 0o644))
			}
			converge(t, root, narrow)
			assert.Equal(t, c.want, live(t, root, key))
			assert.NotContains(t, dropin(t, root), "\n"+key)
		})
	}
}

// Whoever is cut off between the two still knows what is ours.
func TestGivesBackBeforeTheDropInForgets(t *testing.T) {
	root := stock().host(t)
	converge(t, root, router)
	narrow := router
	narrow.IPv6 = new(false)
	delta := observe(t, root, narrow)
	require.NoError(t, os.Remove(filepath.Join(root, "proc/sys/net/ipv6/ip_nonlocal_bind")))
	_, err := sysctl.Host{Root: root}.Apply(t.Context(), delta)
	require.Error(t, err)
	assert.Contains(t, dropin(t, root), "\nnet.ipv6.conf.all.forwarding = 1\n")
	converge(t, root, narrow)
	assert.Equal(t, "0", live(t, root, "net.ipv6.fib_multipath_hash_policy"))
}

// An image that forwards IPv6 and a mesh that does not: the drop-in names no parameter of IPv6 any more.
func TestAbsentAfterANarrowerProfile(t *testing.T) {
	root := stock().with(tree{"proc/net/ipv6_route": advertised}).host(t)
	before := texts(t, root)
	converge(t, root, router)
	narrow := router
	narrow.IPv6, narrow.Interfaces = new(false), []string{"wg20"}
	converge(t, root, narrow)
	require.Equal(t, "0", live(t, root, "net.ipv6.conf.all.forwarding"))

	takeAway(t, root)
	assert.Equal(t, before, texts(t, root))
}

// A value that somebody has changed since is not ours any more.
func TestAbsentLeavesWhatSomebodyChanged(t *testing.T) {
	root := stock().host(t)
	converge(t, root, router)
	require.NoError(t, os.WriteFile(filepath.Join(root, "proc/sys/net/core/rmem_max"), []byte("9999999\n"), 0o644))
	takeAway(t, root)
	assert.Equal(t, "9999999", live(t, root, "net.core.rmem_max"))
	assert.Equal(t, "0", live(t, root, "net.ipv4.ip_forward"))
}

// A file of that name which somebody else made is neither overwritten nor removed.
func TestForeignDropIn(t *testing.T) {
	root := stock().with(tree{sysctl.Path[1:]: "net.ipv4.ip_forward = 0\n"}).host(t)
	for _, absent := range []bool{false, true} {
		want := sysctl.Want{Profile: router, Path: sysctl.Path, Absent: absent}
		_, err := sysctl.Host{Root: root}.Observe(t.Context(), want)
		require.EqualError(t, err, sysctl.Path+" was not made by wgmesh.router: move it away")
	}
}

// A drop-in of a version that kept no record: what other files say counts, the rest is said.
func TestAbsentWithoutARecord(t *testing.T) {
	root := stock().with(tree{"etc/sysctl.d/50-mine.conf": "net.ipv4.tcp_mtu_probing = 2\n"}).host(t)
	converge(t, root, router)
	path := filepath.Join(root, sysctl.Path)
	var kept strings.Builder
	for line := range strings.Lines(dropin(t, root)) {
		if !strings.HasPrefix(line, "# before:") {
			kept.WriteString(line)
		}
	}
	require.NoError(t, os.WriteFile(path, []byte(kept.String()), 0o644))
	assert.True(t, observe(t, root, router).Empty(), "nothing is recorded of what is ours already")

	d := takeAway(t, root)
	require.Len(t, d.Warnings(), 1)
	assert.Contains(t, d.Warnings()[0], "net.ipv4.fib_multipath_hash_policy")
	assert.Equal(t, "2", live(t, root, "net.ipv4.tcp_mtu_probing"))
	assert.Equal(t, "1", live(t, root, "net.ipv4.fib_multipath_hash_policy"))
	assert.Equal(t, "0", live(t, root, "net.ipv4.ip_forward"), "a file of the image's says so")
	assert.NoFileExists(t, path)
}
