package status_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/wgmesh/router/pkg/birdc"
	"github.com/wgmesh/router/pkg/status"
)

// What is final, what is required and what a summary gets of it: the first problem's peer and
// cause, or else this router's own.
func TestCauses(t *testing.T) {
	type scene struct {
		*status.Request
		*status.Observation
		first *status.TunnelState
	}
	down := func(s scene, last string) {
		for i := range s.Observation.Tunnels {
			tunnel := &s.Observation.Tunnels[i]
			tunnel.Session.Up, tunnel.Session.State, tunnel.Session.LastError = "down", "Down", last
			tunnel.BFD = nil
		}
	}
	for name, tt := range map[string]struct {
		breakIt   func(s scene)
		untouched bool // gcp-1's tunnel is healthy
		want      string
	}{
		"BIRD does not run": {
			func(s scene) { s.BirdErr = fmt.Errorf("x: %w", birdc.ErrNotRunning) }, false,
			"final: BIRD does not run",
		},
		"BIRD is masked": {
			func(s scene) {
				s.BirdErr, s.BirdMasked = fmt.Errorf("x: %w", birdc.ErrNotRunning), "/etc/systemd/system/bird.service"
			}, false,
			"final: BIRD does not run: /etc/systemd/system/bird.service keeps it from starting",
		},
		"BIRD is silent": {
			func(s scene) { s.BirdErr = fmt.Errorf("x: %w", birdc.ErrSilent) }, false,
			"final: BIRD does not answer within 3s",
		},
		"another program has the port": {
			func(s scene) {
				s.PortHolder = "nginx, pid 812"
				down(s, "Error: No listening socket")
			}, false,
			"final: TCP 179 is held by nginx, pid 812, and BIRD has to listen there",
		},
		"another program had the port": {
			func(s scene) { down(s, "Error: No listening socket") }, false,
			"final: azure-2: no BGP session",
		},
		"no interface": {
			func(s scene) { s.first.DeviceErr = netlink.LinkNotFoundError{} }, true,
			"final: azure-2: no interface for it at the other end",
		},
		"a peer that waits": {
			func(s scene) {
				s.Pending = map[string]string{"azure-2": "its public key is of low order"}
				s.first.Device.Peer = nil
			}, true,
			"final: azure-2: its tunnels wait: its public key is of low order",
		},
		"a peer whose new key waits, while the old one works": {
			func(s scene) { s.Pending = map[string]string{"azure-2": "a live peer keeps its key"} }, true,
			"required works, final: ",
		},
		"no session": {
			func(s scene) { s.first.Session.State = "Active" }, true,
			"azure-2: no BGP session",
		},
		"no answer to ping, and BGP and BFD work": {
			func(s scene) { s.first.PingErr, s.Targets[0].Err = status.ErrNoAnswer, status.ErrNoAnswer }, true,
			"required works, azure-2: no answer to ping, though BGP and BFD work",
		},
		"no answer to ping, and BFD is down": {
			func(s scene) { s.first.PingErr, s.first.BFD.State = status.ErrNoAnswer, "Down" }, true,
			"azure-2: nothing comes through its tunnels",
		},
		"the tunnel answers and the site does not": {
			func(s scene) { s.Targets[0].Err = status.ErrNoAnswer }, true,
			"azure-2: no answer from its own address in its site",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, o := night()
			r.Prefixes = r.Prefixes[:1]
			o.At = now.Add(time.Second)
			tt.breakIt(scene{&r, &o, &o.Tunnels[0]})
			rep := status.Judge(r, o)
			got, own := "", []string{}
			if rep.RequiredHealthy() {
				got = "required works, "
			}
			if !slices.ContainsFunc(rep.Problems, func(p status.Problem) bool { return !p.Final }) {
				got += "final: "
			}
			if len(rep.Problems) > 0 && rep.Problems[0].Peer == "" {
				own = append(own, rep.Problems[0].Cause.Found)
				got += own[0]
			} else if len(rep.Problems) > 0 {
				got += rep.Problems[0].Peer + ": " + rep.Problems[0].Cause.Found
			}
			assert.Equal(t, tt.want, got, "%v", rep.Texts())
			assert.Equal(t, own, rep.Sick())
			assert.Equal(t, tt.untouched, rep.Tunnels[1])
		})
	}
}

// What follows from a cause that is final is final, too, and marked as following.
func TestWhatFollowsIsFinal(t *testing.T) {
	r, o := night()
	o.Tunnels[0].DeviceErr = netlink.LinkNotFoundError{}
	delete(o.Routes, r.Prefixes[0].Network)
	o.Targets[0].Err = status.ErrNoAnswer
	rep := status.Judge(r, o)
	for _, p := range rep.Problems {
		assert.True(t, p.Final, p.Text())
	}
	assert.Equal(t, []bool{false, true, false}, []bool{
		rep.Problems[0].Follows, rep.Problems[1].Follows, rep.Problems[2].Follows,
	})

	// gcp-1 could bring a prefix of which nobody knows whose it is.
	delete(o.Routes, r.Prefixes[1].Network)
	for _, p := range status.Judge(r, o).Problems {
		assert.Equal(t, !strings.HasPrefix(p.Text(), "prefix 10.3.0.0/16 of gcp: "), p.Final, p.Text())
	}
}

// A network without a way is its site's routers' own cause, unless a missing session explains it.
func TestWhoBringsANetwork(t *testing.T) {
	type seen struct {
		owners      []string
		cause, here string
	}
	missing := "prefix 10.1.0.0/16 of azure: no tunnel has a route to it"
	brought := func(owners ...string) seen {
		return seen{owners, "others have no route to 10.1.0.0/16 of its site", missing}
	}
	cut := seen{[]string{}, missing, missing}
	for name, tt := range map[string]struct {
		breakIt func(r *status.Request, o *status.Observation)
		want    seen
	}{
		"both have a session": {func(*status.Request, *status.Observation) {}, brought("azure-1", "azure-2")},
		"one has none": {
			func(_ *status.Request, o *status.Observation) { o.Tunnels[1].Session.State = "Active" },
			brought("azure-2"),
		},
		"one has no handshake": {
			func(_ *status.Request, o *status.Observation) { o.Tunnels[1].Device.Peer.Handshake = time.Time{} },
			brought("azure-2"),
		},
		"none has": {
			func(_ *status.Request, o *status.Observation) { o.Tunnels[0].BFD, o.Tunnels[1].BFD = nil, nil }, cut,
		},
		"they came a moment ago": {
			func(_ *status.Request, o *status.Observation) {
				o.Tunnels[0].Session.Since, o.Tunnels[1].Session.Since = "02:59:58.700", "02:59:59.900"
			}, cut,
		},
		"one came a while ago": {
			func(_ *status.Request, o *status.Observation) {
				o.Tunnels[0].Session.Since, o.Tunnels[1].Session.Since = "02:58:59.900", "02:59:59.900"
			}, brought("azure-2"),
		},
		"BIRD is ill": {
			func(_ *status.Request, o *status.Observation) { o.BirdErr = birdc.ErrSilent }, cut,
		},
		"no tunnel to that site": {
			func(r *status.Request, _ *status.Observation) { r.Tunnels[0].AS, r.Tunnels[1].AS = 65030, 65030 }, cut,
		},
		"nobody knows whose it is": {func(r *status.Request, _ *status.Observation) { r.Prefixes[0].AS = 0 }, cut},
		"another one as well": {
			func(r *status.Request, o *status.Observation) {
				r.Prefixes[1].AS, r.Prefixes[1].Site = 65020, "azure"
				delete(o.Routes, r.Prefixes[1].Network)
			},
			seen{
				[]string{"azure-1", "azure-2"},
				"others have no route to 10.1.0.0/16, 10.3.0.0/16 of its site",
				missing,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, o := night()
			r.Tunnels[1].Peer, r.Tunnels[1].AS, o.Tunnels[1].Session.NeighborAS = "azure-1", 65020, 65020
			delete(o.Routes, r.Prefixes[0].Network)
			tt.breakIt(&r, &o)
			for i := range o.Tunnels {
				o.Tunnels[i].Session.NeighborAS = r.Tunnels[i].AS
			}
			rep := status.Judge(r, o)
			troubles := rep.Troubles()
			i := slices.IndexFunc(troubles, func(x status.Trouble) bool { return x.Network == "10.1.0.0/16" })
			require.GreaterOrEqual(t, i, 0, "%v", rep.Texts())
			x := troubles[i]
			assert.Equal(t, tt.want, seen{x.Owners, x.Found, x.Here.Found})
			assert.Equal(t, []any{true, "", false}, []any{x.Follows, x.Peer, x.Cut})
			if name != "BIRD is ill" {
				assert.Empty(t, rep.Sick())
			}
		})
	}
}

// What keeps a handshake or a session away is cut, and what pings alone say is not.
func TestWhatIsCut(t *testing.T) {
	for name, tt := range map[string]struct {
		breakIt func(s *status.TunnelState)
		want    bool
	}{
		"no handshake":      {func(s *status.TunnelState) { s.Device.Peer.Handshake = time.Time{} }, true},
		"no BGP":            {func(s *status.TunnelState) { s.Session.State = "Active" }, true},
		"no BFD":            {func(s *status.TunnelState) { s.BFD = nil }, true},
		"no answer to ping": {func(s *status.TunnelState) { s.PingErr = status.ErrNoAnswer }, false},
		"nothing comes through": {func(s *status.TunnelState) {
			s.PingErr, s.Session.State = status.ErrNoAnswer, "Active"
		}, true},
		"large packets vanish": {func(s *status.TunnelState) { s.WholeErr = status.ErrNoAnswer }, false},
	} {
		t.Run(name, func(t *testing.T) {
			r, o := night()
			tt.breakIt(&o.Tunnels[0])
			assert.Equal(t, tt.want, status.Judge(r, o).Troubles()[0].Cut)
		})
	}
}

// capture reads what a real BIRD 2.0.12 answered.
func capture(tb testing.TB, name string) string {
	tb.Helper()
	text, err := os.ReadFile("testdata/bird-2.0.12-" + name + ".txt")
	require.NoError(tb, err)
	return string(text)
}

func TestParseProtocols(t *testing.T) {
	assert.Equal(t, map[string]status.Session{
		"azure_2": {
			Name: "azure_2", Up: "up", State: "Established", Since: "11:21:44.295",
			NeighborAS: 65020, Imported: 3,
		},
		"gcp_1": {
			Name: "gcp_1", Up: "start", State: "Connect", Since: "11:21:43.391",
			NeighborAS: 65040, LastError: "Socket: No route to host",
		},
		"aws_1": {Name: "aws_1", Up: "down", State: "Down", Since: "11:21:43.391", NeighborAS: 65030},
		"wrongas": {
			Name: "wrongas", Up: "start", State: "Active", Since: "11:21:44.278",
			NeighborAS: 65030, LastError: "Socket: Connection reset by peer",
		},
	}, status.ParseProtocols(capture(t, "protocols")))

	limit := status.ParseProtocols(capture(t, "limit"))
	assert.True(t, limit["azure_2"].LimitHit)
	assert.False(t, limit["gcp_1"].LimitHit)
	assert.Equal(t, "Error: BFD session down", limit["wrongas"].LastError)
}

func TestParseOff(t *testing.T) {
	text := capture(t, "protocols")
	assert.Empty(t, status.ParseOff(text), "aws_1 is a session")
	text = strings.Replace(text, "master4    up  ", "master4    down", 1)
	assert.Equal(t, []string{"kernel1"}, status.ParseOff(text))
}

// A peer's shutdown message (RFC 9003) is words of another router.
func TestParseProtocolsBoundsForeignText(t *testing.T) {
	long := make([]byte, 500)
	for i := range long {
		long[i] = 'x'
	}
	s := status.ParseProtocols(
		"p BGP --- start 1 Idle\n  Last error:  Received: \x1b[31mred\x07\u0085 " + string(long) + "\n")
	assert.Contains(t, s["p"].LastError, "Received: [31mred xxx")
	assert.Len(t, s["p"].LastError, 120)
}

func FuzzParseProtocols(f *testing.F) {
	f.Add(capture(f, "protocols"))
	f.Add(capture(f, "limit"))
	f.Add("a BGP\n \n:\nb BGP --- up\n  Routes: -1 imported\n  Neighbor AS: 99999999999999999999\n")
	f.Fuzz(func(t *testing.T, text string) {
		for name, s := range status.ParseProtocols(text) {
			require.Equal(t, name, s.Name)
			require.NotEmpty(t, name)
			require.NotContains(t, s.LastError, "\n")
			require.NotContains(t, s.LastError, "\x1b")
		}
	})
}

func TestParseVersion(t *testing.T) {
	assert.Equal(t, "2.0.12", status.ParseVersion("BIRD 2.0.12\nRouter ID is 0.0.0.3\nDaemon is up and running"))
	assert.Equal(t, "3.1.8", status.ParseVersion("BIRD 3.1.8\nRouter ID is 0.0.0.3"))
	assert.Empty(t, status.ParseVersion("Router ID is 0.0.0.3"))
}
