package sysctl_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/sysctl"
)

func TestFreshHostBecomesRouter(t *testing.T) {
	root := stock().host(t)
	plan := converge(t, root, sysctl.Profile{
		IPv6: new(true), Interfaces: []string{"wg1", "wg20"}, ReservedPorts: ports(t, "51801,51820"),
		RmemDefault: 1 << 20, RmemMax: 8 << 20, WmemMax: 8 << 20,
	})

	assert.Equal(t, sysctl.Key("net/ipv4/ip_forward"), plan.Live[0].Key)
	for key, want := range map[string]string{
		"net.ipv4.ip_forward":                "1",
		"net.ipv6.conf.all.forwarding":       "1",
		"net.ipv4.conf.all.rp_filter":        "0",
		"net.ipv4.conf.default.rp_filter":    "0",
		"net.ipv4.conf.wg1.rp_filter":        "0",
		"net.ipv4.conf.eth0.rp_filter":       "2",
		"net.ipv4.conf.eth0.send_redirects":  "0",
		"net.ipv4.conf.all.accept_redirects": "0",
		"net.ipv4.ip_local_reserved_ports":   "51801,51820",
		"net.ipv4.tcp_mtu_probing":           "1",
		"net.ipv4.fib_multipath_hash_policy": "1",
		"net.core.rmem_default":              "1048576",
		"net.core.wmem_max":                  "8388608",
		"net.ipv4.conf.lo.send_redirects":    "1",
		"net.ipv6.fib_multipath_hash_policy": "1",
	} {
		assert.Equal(t, want, live(t, root, key), key)
	}
	assert.NoFileExists(t, filepath.Join(root, "proc/sys/net/ipv4/conf/wg20/rp_filter"), "wg20 does not exist yet")
	must.Golden(t, "testdata/99-zz-wgmesh.conf", dropin(t, root))
	assert.Empty(t, plan.Warnings(), "GCP's file sorts before ours")
	assert.Empty(t, plan.FileOnly)
}

// The role router makes a host forward IPv6 before there is a mesh, which then knows better.
func TestIPv6StaysAsTheDropInHasIt(t *testing.T) {
	root := stock().host(t)
	forwards := func() bool { return strings.Contains(dropin(t, root), "net.ipv6.conf.all.forwarding = 1\n") }
	converge(t, root, sysctl.Profile{})
	assert.False(t, forwards())
	converge(t, root, sysctl.Profile{IPv6: new(true)})
	require.True(t, forwards(), dropin(t, root))
	converge(t, root, sysctl.Profile{Mesh: "routers"})
	assert.True(t, forwards())
	converge(t, root, sysctl.Profile{IPv6: new(false)})
	assert.False(t, forwards())
	assert.True(t, observe(t, root, sysctl.Profile{}).Empty())
}

func TestRepairsOneValue(t *testing.T) {
	root := stock().host(t)
	p := sysctl.Profile{Interfaces: []string{"wg1"}, ReservedPorts: ports(t, "51801")}
	converge(t, root, p)
	require.NoError(t, os.WriteFile(filepath.Join(root, "proc/sys/net/ipv4/conf/wg1/rp_filter"), []byte("1\n"), 0o644))

	plan := observe(t, root, p)
	assert.Equal(t, []sysctl.Change{{Key: "net/ipv4/conf/wg1/rp_filter", Old: "1", New: "0"}}, plan.Live)
	assert.Nil(t, plan.File)
}

func TestReservedPorts(t *testing.T) {
	const key = "proc/sys/net/ipv4/ip_local_reserved_ports"
	root := stock().with(tree{
		key:                            "8080,51801", // by hand
		"etc/sysctl.d/50-kubelet.conf": "net.ipv4.ip_local_reserved_ports=30000-30002\n",
	}).host(t)
	for _, step := range []struct{ name, want, live, file, record string }{
		{
			"merged with others' ports", "51801,51803,51806", "8080,51801,51803,51806",
			"30000-30002,51801,51803,51806", "51803,51806",
		},
		{"only ours are given up", "51806", "8080,51801,51806", "30000-30002,51806", "51806"},
		{"all given up", "", "8080,51801", "30000-30002", ""},
	} {
		t.Run(step.name, func(t *testing.T) {
			plan := converge(t, root, sysctl.Profile{ReservedPorts: ports(t, step.want)})
			assert.Equal(t, step.live, plan.ReservedPorts)
			assert.Equal(t, step.live, live(t, root, "net.ipv4.ip_local_reserved_ports"))
			assert.Contains(t, dropin(t, root), "\nnet.ipv4.ip_local_reserved_ports = "+step.file+"\n")
			if step.record == "" {
				assert.NotContains(t, dropin(t, root), "# reserved by wgmesh:")
			} else {
				assert.Contains(t, dropin(t, root), "\n# reserved by wgmesh: "+step.record+"\n")
			}
		})
	}
}

// The image role knows no tunnels; run on a peered router it must keep them.
func TestOmittedListsKeepWhatTheDropinHas(t *testing.T) {
	root := stock().host(t)
	converge(t, root, sysctl.Profile{Interfaces: []string{"wg1"}, ReservedPorts: ports(t, "51801")})
	plan := observe(t, root, sysctl.Profile{})
	assert.True(t, plan.Empty(), "%v %s", plan.Live, plan.File)

	plan = observe(t, root, sysctl.Profile{Interfaces: []string{}, ReservedPorts: ports(t, "")})
	assert.NotNil(t, plan.File)
	assert.Empty(t, plan.ReservedPorts)
}

func TestBuffersAreNeverLowered(t *testing.T) {
	root := stock().with(tree{
		"proc/sys/net/core/rmem_max":  "16777216",
		"etc/sysctl.d/50-mysql.conf":  "net.core.wmem_max = 33554432\n",
		"proc/sys/net/core/wmem_max":  "33554432",
		"etc/sysctl.d/10-a.conf.save": "net.core.rmem_max = 99999999\n",
	}).host(t)
	converge(t, root, sysctl.Profile{RmemDefault: 1 << 20, RmemMax: 8 << 20, WmemMax: 8 << 20})
	assert.Equal(t, "16777216", live(t, root, "net.core.rmem_max"))
	assert.Equal(t, "33554432", live(t, root, "net.core.wmem_max"))
	assert.Equal(t, "1048576", live(t, root, "net.core.rmem_default"))
	assert.Contains(t, dropin(t, root), "-net.core.rmem_max = 16777216\n-net.core.wmem_max = 33554432\n")

	root = stock().host(t)
	converge(t, root, sysctl.Profile{})
	assert.Equal(t, "212992", live(t, root, "net.core.rmem_max"), "0 leaves it alone")
	assert.NotContains(t, dropin(t, root), "net.core")
}

// A container has no net.core, or one it may not set; the file is for the day
// the host is no container.
func TestKeysThatCannotBeSetHere(t *testing.T) {
	root := stock().with(tree{"proc/sys/net/core/rmem_default": "-"}).host(t, "proc/sys/net/core/rmem_max")
	plan := converge(t, root, sysctl.Profile{RmemDefault: 1 << 20, RmemMax: 8 << 20, WmemMax: 8 << 20})
	assert.Equal(t, []string{"net.core.rmem_default", "net.core.rmem_max"}, plan.FileOnly)
	assert.Equal(t, "212992", live(t, root, "net.core.rmem_max"))
	assert.Contains(t, dropin(t, root), "-net.core.rmem_default = 1048576\n-net.core.rmem_max = 8388608\n")
	require.Len(t, plan.Warnings(), 1)
	assert.Contains(t, plan.Warnings()[0], "net.core.rmem_default, net.core.rmem_max: this kernel or container")
}

// What the next boot makes of a router is told from the drop-in and the files after it.
func TestAtBoot(t *testing.T) {
	const drop = "etc/sysctl.d/99-zz-wgmesh.conf"
	root := stock().host(t)
	host := sysctl.Host{Root: root}
	converge(t, root, sysctl.Profile{IPv6: new(true), Interfaces: []string{"wg1"}, RmemMax: 8 << 20})
	kept, defeated := host.AtBoot(true)
	assert.True(t, kept)
	assert.Empty(t, defeated)
	text := dropin(t, root)
	write := func(path, text string) {
		t.Helper()
		require.NoError(t, os.WriteFile(filepath.Join(root, path), []byte(text), 0o644))
	}
	for line, ipv4 := range map[string]bool{
		"net.ipv4.ip_forward = 1\n": false, "net.ipv6.conf.all.forwarding = 1\n": true,
		"net.ipv4.conf.all.rp_filter = 0\n": false,
	} {
		require.Contains(t, text, line)
		write(drop, strings.Replace(text, line, "", 1))
		kept, _ = host.AtBoot(true)
		assert.False(t, kept, line)
		kept, _ = host.AtBoot(false)
		assert.Equal(t, ipv4, kept, line)
	}
	write("etc/sysctl.d/zz.conf", "net.ipv4.ip_forward=0\nnet.core.rmem_max=4096\n")
	for _, cut := range []string{text, ""} {
		write(drop, cut)
		kept, defeated = host.AtBoot(true)
		assert.Equal(t, cut != "", kept)
		require.NotEmpty(t, defeated)
		assert.Equal(t, "/etc/sysctl.d/zz.conf", defeated[len(defeated)-1].By)
	}
	require.NoError(t, os.Remove(filepath.Join(root, drop)))
	kept, _ = host.AtBoot(false)
	assert.False(t, kept)
}

// Where the mesh has IPv6, who switches it off at the next boot is named, wherever that stands: we set no such thing.
func TestAtBootIPv6IsOff(t *testing.T) {
	for path, text := range map[string]string{
		"etc/sysctl.d/70-hard.conf": "net.ipv6.conf.all.disable_ipv6=1",
		"etc/sysctl.conf":           "net/ipv6/conf/default/disable_ipv6 = 1",
	} {
		root := stock().host(t)
		converge(t, root, sysctl.Profile{IPv6: new(true), Interfaces: []string{"wg1"}})
		require.NoError(t, os.WriteFile(filepath.Join(root, path), []byte(text), 0o644))
		host := sysctl.Host{Root: root}
		_, defeated := host.AtBoot(false)
		assert.Empty(t, defeated)
		_, defeated = host.AtBoot(true)
		require.Len(t, defeated, 1, path)
		assert.Equal(t, "/"+path, defeated[0].By)
		assert.Equal(t, "1", defeated[0].Found)
		require.NoError(t, os.WriteFile(filepath.Join(root, "etc/sysctl.conf"),
			[]byte("net.ipv6.conf.all.disable_ipv6=0\nnet.ipv6.conf.default.disable_ipv6=0"), 0o644))
		_, defeated = host.AtBoot(true)
		assert.Empty(t, defeated, "what is read last counts")
	}
}

func TestDefeats(t *testing.T) {
	all := sysctl.Profile{
		IPv6: new(true), Interfaces: []string{"wg1"}, ReservedPorts: ports(t, "51801"), RmemMax: 8 << 20,
	}
	for name, tt := range map[string]struct {
		files tree
		want  []string // key by whom
	}{
		"sorts before": {files: tree{"etc/sysctl.d/99-gce.conf": "net.ipv4.ip_forward=0"}},
		"sorts later": {
			files: tree{"etc/sysctl.d/99-zzz-gce.conf": "net.ipv4.ip_forward=0\nnet.ipv4.conf.all.rp_filter=1"},
			want: []string{
				"net.ipv4.conf.all.rp_filter /etc/sysctl.d/99-zzz-gce.conf",
				"net.ipv4.ip_forward /etc/sysctl.d/99-zzz-gce.conf",
			},
		},
		"another name of the key": {
			files: tree{"usr/lib/sysctl.d/zz.conf": "net/ipv4/conf/all/forwarding = 0"},
			want:  []string{"net.ipv4.ip_forward /usr/lib/sysctl.d/zz.conf"},
		},
		"one interface": {
			files: tree{
				"etc/sysctl.d/zz.conf": "net.ipv4.conf.eth0.forwarding=0\nnet.ipv6.conf.eth0.forwarding=0\n" +
					"net.ipv6.conf.default.forwarding=1\nnet.ipv4.conf.eth0.bc_forwarding=0",
			},
			want: []string{
				"net.ipv4.conf.eth0.forwarding /etc/sysctl.d/zz.conf",
				"net.ipv6.conf.eth0.forwarding /etc/sysctl.d/zz.conf",
			},
		},
		"hidden by /etc": {
			files: tree{"usr/lib/sysctl.d/zz.conf": "net.ipv4.ip_forward=0", "etc/sysctl.d/zz.conf": "#"},
		},
		"a pattern never wins": {
			files: tree{"etc/sysctl.d/zz.conf": "net.ipv4.conf.*.rp_filter = 1\n-net.ipv4.conf.all.rp_filter"},
		},
		"the same value": {files: tree{"etc/sysctl.d/zz.conf": "-net.ipv4.ip_forward =  1"}},
		"mended in the same file": {
			files: tree{"etc/sysctl.d/zz.conf": "net.ipv4.ip_forward=0\nnet.ipv4.ip_forward=1"},
		},
		"a larger buffer": {files: tree{"etc/sysctl.d/zz.conf": "net.core.rmem_max=99999999"}},
		"more ports": {
			files: tree{"etc/sysctl.d/zz.conf": "net.ipv4.ip_local_reserved_ports=8080,51800-51821"},
		},
		"other ports": {
			files: tree{"etc/sysctl.d/zz.conf": "net.ipv4.ip_local_reserved_ports=8080"},
			want:  []string{"net.ipv4.ip_local_reserved_ports /etc/sysctl.d/zz.conf"},
		},
		"procps reads it last": {
			files: tree{"etc/sysctl.conf": "net.ipv4.ip_forward=0"},
			want:  []string{"net.ipv4.ip_forward /etc/sysctl.conf"},
		},
		"ufw, off": {files: tree{
			"etc/ufw/ufw.conf": "ENABLED=no", "etc/ufw/sysctl.conf": "net/ipv4/conf/all/rp_filter=1",
		}},
		"ufw, on": {
			files: tree{"etc/ufw/ufw.conf": "ENABLED=yes", "etc/ufw/sysctl.conf": "net/ipv4/conf/all/rp_filter=1"},
			want:  []string{"net.ipv4.conf.all.rp_filter /etc/ufw/sysctl.conf"},
		},
		"ifupdown takes advertisements of a host": {
			files: tree{
				"proc/net/ipv6_route": advertised,
				"etc/network/interfaces.d/50-ci": "auto eth0\niface eth0 inet dhcp\n\taccept_ra 0\n" +
					"iface eth0 inet6 dhcp\n",
			},
			want: []string{acceptEth0 + " /etc/network/interfaces.d/50-ci"},
		},
		"ifupdown, said": {
			files: tree{
				"proc/net/ipv6_route":    advertised,
				"etc/network/interfaces": "iface eth0 inet6 static\n  accept_ra 1\n",
			},
			want: []string{acceptEth0 + " /etc/network/interfaces"},
		},
		"ifupdown takes those of a router": {files: tree{
			"proc/net/ipv6_route": advertised,
			"etc/network/interfaces": "iface eth0 inet6 dhcp\n  accept_ra 2\n" +
				"iface eth0 inet6 auto\niface eth1 inet6 dhcp\n",
		}},
		"an interface, strict": {
			files: tree{"proc/sys/net/ipv4/conf/eth0/rp_filter": "1"},
			want:  []string{"net.ipv4.conf.eth0.rp_filter eth0"},
		},
		"an interface, ours to set": {files: tree{"proc/sys/net/ipv4/conf/wg1/rp_filter": "1"}},
	} {
		t.Run(name, func(t *testing.T) {
			plan := converge(t, stock().with(tt.files).host(t), all)
			var got []string
			for _, d := range plan.Defeated {
				got = append(got, d.Key+" "+d.By)
			}
			assert.Equal(t, tt.want, got)
			assert.Len(t, plan.Warnings(), len(tt.want))
		})
	}
}

// What cannot be read may set anything.
func TestIfupdownUnread(t *testing.T) {
	for _, path := range []string{"etc/network/interfaces/x", "etc/network/interfaces.d"} {
		host := sysctl.Host{Root: stock().with(tree{path: ""}).host(t)}
		_, err := host.Observe(t.Context(), sysctl.Want{Path: sysctl.Path})
		require.ErrorContains(t, err, "etc/network/interfaces")
	}
}

// What the kernel learns from router advertisements on eth0: a way out, and a network. The flags of
// the route at the end, which eth1 has, are those that systemd-networkd's have.
const advertised = `
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 ` +
	`00000400 00000001 00000000 00450003     eth0
20010db8000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 ` +
	`00000100 00000001 00000000 004c0001     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 ` +
	`00000400 00000001 00000000 00400003     eth1`

const acceptEth0 = "net.ipv6.conf.eth0.accept_ra"

// A kernel that forwards takes router advertisements where accept_ra is 2, so that has to be set first.
func TestAdvertisementsAreStillTaken(t *testing.T) {
	root := stock().with(tree{
		"proc/net/ipv6_route": advertised, "proc/sys/net/ipv6/conf/eth1/accept_ra": "1",
	}).host(t)
	assert.NotContains(t, fmt.Sprint(observe(t, root, sysctl.Profile{}).Live), "accept_ra", "it forwards no IPv6")
	plan := converge(t, root, sysctl.Profile{IPv6: new(true)})
	assert.Equal(t, sysctl.Change{Key: "net/ipv6/conf/eth0/accept_ra", Old: "1", New: "2"}, plan.Live[0])
	assert.Contains(t, dropin(t, root), "\n-"+acceptEth0+" = 2\nnet.ipv4.ip_forward = 1\n", "at boot, too")
	assert.Equal(t, "1", live(t, root, "net.ipv6.conf.eth1.accept_ra"), "not the kernel's route")
	assert.Empty(t, plan.Warnings())

	kept := func(ipv6 bool) bool {
		converge(t, root, sysctl.Profile{IPv6: &ipv6})
		return strings.Contains(dropin(t, root), "\n-"+acceptEth0+" = 2\n")
	}
	require.NoError(t, os.Remove(filepath.Join(root, "proc/net/ipv6_route")))
	assert.True(t, kept(true), "the router of the network is away")
	assert.False(t, kept(false))
	assert.True(t, kept(true), "the value is ours from before")
	own := filepath.Join(root, "proc/sys/net/ipv6/conf/eth0/accept_ra")
	require.NoError(t, os.WriteFile(own, []byte("0\n"), 0o644))
	assert.False(t, kept(true), "a program of the host takes them now")
	require.NoError(t, os.Remove(own))
	assert.True(t, kept(true), "an interface that comes later, or a host of this image")
}

// Without a way out among them, they are still where its addresses come from.
func TestAdvertisedNetworkAlone(t *testing.T) {
	root := stock().with(tree{"proc/net/ipv6_route": strings.Split(advertised, "\n")[2]}).host(t)
	converge(t, root, sysctl.Profile{IPv6: new(true)})
	assert.Equal(t, "2", live(t, root, acceptEth0))
}

func TestRefuses(t *testing.T) {
	err := sysctl.Want{
		Profile: sysctl.Profile{Interfaces: []string{"wg1/../x", "default", "muchtoolongforaname"}, RmemMax: -1},
		Path:    sysctl.Path,
	}.Validate()
	require.ErrorContains(t, err, `interface "wg1/../x"`)
	require.ErrorContains(t, err, `interface "default": always part of the profile`)
	require.ErrorContains(t, err, `interface "muchtoolongforaname"`)
	require.ErrorContains(t, err, "net.core.rmem_max: expected 0")

	require.ErrorContains(t, sysctl.Want{Path: "/etc/sysctl.d/wgmesh"}.Validate(), "ends in .conf")
}

func TestFailureHalfWayReportsWhatWasDone(t *testing.T) {
	root := stock().host(t)
	plan := observe(t, root, sysctl.Profile{})
	require.NoError(t, os.Remove(filepath.Join(root, "proc/sys/net/ipv4/tcp_mtu_probing")))
	require.NoError(t, os.RemoveAll(filepath.Join(root, "proc/sys/net/ipv4/conf/eth0")))

	done, err := sysctl.Host{Root: root}.Apply(context.Background(), plan)
	require.ErrorContains(t, err, "set sysctl net.ipv4.tcp_mtu_probing=1")
	assert.Equal(t, []string{"wrote " + sysctl.Path, "set net.ipv4.ip_forward=1"}, done[:2],
		"an interface that went away is no failure")
}

func FuzzDropin(f *testing.F) {
	f.Add("# reserved by wgmesh: 51801\nnet.ipv4.conf.wg1.rp_filter = 0\n")
	f.Add("-net/ipv4/conf/eth0.1/rp_filter=0\n;x\n=\n-\nnet.ipv4.conf.a b.rp_filter=1")
	root := stock().host(f)
	f.Fuzz(func(t *testing.T, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(root, sysctl.Path), []byte(text), 0o644))
		plan, err := planned(root, sysctl.Profile{})
		if err != nil {
			return
		}
		require.NotContains(t, string(plan.File), "..")
	})
}
