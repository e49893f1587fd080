package mesh_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/mesh"
	"github.com/wgmesh/router/pkg/model"
	"github.com/wgmesh/router/pkg/plan"
)

// The nearest gateway counts, for each family by itself.
func TestGateway(t *testing.T) {
	for change, want := range map[string]string{
		"":                                   "10.0.1.1 2001:db8:10:1::1", // derived from the zone
		"routers: {both-a: {zone: null}}":    "10.0.0.1 2001:db8:10::1",
		"sites: {both: {gateway: 10.0.0.3}}": "10.0.0.3 2001:db8:10:1::1",
		`sites: {both: {gateway: [10.0.0.3, "2001:db8:10::3"], zones: {a: {gateway: 10.0.0.2}}}}`: "" +
			"10.0.0.2 2001:db8:10::3",
		`{routers: {both-a: {gateway: [10.0.0.4, "2001:db8:10::4"]}},
			sites: {both: {zones: {a: {gateway: 10.0.0.2}}}}}`: "10.0.0.4 2001:db8:10::4",
		"{routers: {both-a: {zone: null}}, sites: {both: {zones: {a: {gateway: 10.0.0.2}}}}}": "" +
			"10.0.0.1 2001:db8:10::1",
		"{routers: {both-a: {gateway: none}}, sites: {both: {gateway: 10.0.0.3}}}": "connected connected",
		"sites: {both: {zones: {a: {gateway: [none, 10.0.0.2]}}}}":                 "10.0.0.2 connected",
		"sites: {both: {gateway: none}}":                                           "connected connected",
		`routers: {both-a: {gateway: "fe80::1%ens5"}}`:                             "10.0.1.1 fe80::1%ens5",
	} {
		t.Run(change, func(t *testing.T) {
			m := load(t, "dual-stack", "sites: {both: {zones: {a: {gateway: null}}}}", change)
			p := must.Get(m.Plan("both-a"))(t)
			require.Len(t, p.Bird.Static, 5)
			via4, via6, _ := strings.Cut(want, " ")
			for _, s := range p.Bird.Static {
				have, want := s.Via.String(), via6
				if s.Interface != "" {
					have += "%" + s.Interface
				}
				if s.Connected {
					assert.False(t, s.Via.IsValid() || s.OnLink || s.Derived)
					have = "connected"
				}
				if s.Network.Addr().Is4() {
					want = via4
				}
				assert.Equal(t, want, have, s.Network)
			}
		})
	}
}

// A cloud's IPv6 addresses are all in the site's network, so a router's endpoint is too. The other
// sites' routers reach it outside of the tunnels, the own site's as all of the site.
func TestEndpointInOwnNetwork(t *testing.T) {
	m := load(t, "dual-stack")
	router(&m, "six-1", func(r *mesh.Router) { r.Endpoint = "2001:db8:20:10::4" })
	end := netip.MustParsePrefix("2001:db8:20:10::4/128")
	ways := func(p plan.Plan) map[netip.Prefix]netip.Addr {
		out := map[netip.Prefix]netip.Addr{}
		for _, s := range p.Bird.Static {
			if s.Outside {
				out[s.Network] = s.Source
			}
		}
		return out
	}
	for name, in := range m.Routers {
		p := must.Get(m.Plan(name))(t)
		own, _ := netip.ParseAddr(in.Endpoint)
		switch {
		case in.Site == "six":
			assert.NotContains(t, ways(p), end, name)
		case own.Is6():
			assert.Equal(t, map[netip.Prefix]netip.Addr{end: own}, ways(p), name)
		default:
			assert.Equal(t, map[netip.Prefix]netip.Addr{end: {}}, ways(p), name)
		}
		for _, o := range p.Bird.Originate {
			assert.NotEqual(t, end, o.Network, "it is announced to nobody")
		}
	}
	// What the router itself sends to ends outside of all sites carries the address that they know.
	p := must.Get(m.Plan("six-1"))(t)
	assert.Contains(t, ways(p), netip.MustParsePrefix(m.Routers["both-b"].Endpoint+"/128"))
	for to, own := range ways(p) {
		assert.True(t, to.Addr().Is6())
		assert.Equal(t, end.Addr(), own)
	}
}

// Whether nobody gave the gateway is told, so that a host may know a better one.
func TestGatewayDerived(t *testing.T) {
	for _, given := range []mesh.List{nil, {"10.0.1.1"}, {"none"}} {
		m := load(t, "dual-stack")
		router(&m, "both-a", func(r *mesh.Router) { r.Gateway = given })
		p := must.Get(m.Plan("both-a"))(t)
		for _, s := range p.Bird.Static {
			if s.Network.Addr().Is4() {
				assert.Equal(t, given == nil, s.Derived, s.Network)
			}
		}
	}
}

// Any valid mesh works when nothing is broken. pkg/model, which is held against real BIRDs, has
// what is left of one when something is.
func TestReach(t *testing.T) {
	for name, m := range meshes(t) {
		t.Run(name, func(t *testing.T) {
			assert.Empty(t, model.New(must.Get(m.Plans())(t)).After().Case().Cut)
		})
	}
}

func peer(of plan.Plan, name string) plan.Peer {
	for _, tunnel := range of.Tunnels {
		if tunnel.Peers[0].Name == name {
			return tunnel.Peers[0]
		}
	}
	return plan.Peer{}
}

// Two sites that nobody can call have no tunnel, so those with tunnels to both carry what they have for each other.
func TestWhoNeedsTransit(t *testing.T) {
	for name, tt := range map[string]struct {
		silent []string
		change string
		want   map[string][]plan.AS // of aws-1, by what the packets are for
	}{
		"all have tunnels": {nil, "", map[string][]plan.AS{"office": {}, "azure": {}, "gcp": {}}},
		"two have none": {
			[]string{"office-1", "office-2", "gcp-1"},
			"",
			map[string][]plan.AS{"office": {65040}, "azure": {}, "gcp": {65010}},
		},
		"one of their routers has": {
			[]string{"office-1", "gcp-1"}, "", map[string][]plan.AS{"office": {}, "azure": {}, "gcp": {}},
		},
		"nor has aws": {
			[]string{"office-1", "office-2", "gcp-1", "aws-1", "aws-2"},
			"",
			map[string][]plan.AS{"office": {}, "azure": {}, "gcp": {}},
		},
		"no transit": {
			[]string{"office-1", "office-2", "gcp-1"},
			"sites: {aws: {transit: false}}",
			map[string][]plan.AS{"office": nil, "azure": nil, "gcp": nil},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := load(t, "field-case", tt.change)
			for _, r := range tt.silent {
				router(&m, r, func(r *mesh.Router) { r.Endpoint = "" })
			}
			needs := map[string][]plan.AS{}
			for _, p := range plans(t, m)["aws-1"].Status.Prefixes {
				needs[p.Site] = p.Transit
			}
			assert.Equal(t, tt.want, needs)
		})
	}
}

// linked gives both ends of the tunnel between aws-1 and gcp-1 what was there before the mesh.
func linked(aws, gcp string) string {
	return fmt.Sprintf("routers: {aws-1: {links: {gcp-1: {%s}}}, gcp-1: {links: {aws-1: {%s}}}}", aws, gcp)
}

func TestLinksThatWereThere(t *testing.T) {
	before := plans(t, load(t, "field-case"))
	after := plans(t, load(t, "field-case", linked("interface: wg-gcp, listen_port: 41001, addresses: 172.31.20.9/24",
		"interface: wg-aws, listen_port: 41002, endpoint_port: 41003, addresses: 172.31.20.7/24")))
	tunnel := func(p plan.Plan, peer string) plan.Tunnel {
		for _, each := range p.Tunnels {
			if each.Peers[0].Name == peer {
				return each
			}
		}
		require.Fail(t, "no tunnel to "+peer)
		return plan.Tunnel{}
	}
	mine, theirs := tunnel(after["aws-1"], "gcp-1"), tunnel(after["gcp-1"], "aws-1")
	assert.Equal(t, "wg-gcp", mine.Name)
	assert.Equal(t, 41001, mine.ListenPort)
	assert.Equal(t, "172.31.20.9/24", mine.Addresses[0].String())
	assert.Equal(t, uint16(41003), mine.Peers[0].Endpoint.Port(), "where address translation has it")
	assert.Contains(t, mine.Peers[0].AllowedIPs, mine.Addresses[0].Masked())
	assert.Equal(t, "wg-aws", theirs.Name)
	assert.Equal(t, 41002, theirs.ListenPort)
	assert.Equal(t, uint16(41001), theirs.Peers[0].Endpoint.Port())
	assert.Contains(t, after["aws-1"].Sysctl.ReservedPorts, 41001)
	assert.Contains(t, after["aws-1"].Sysctl.Interfaces, "wg-gcp")
	for _, n := range after["aws-1"].Bird.Neighbors {
		if n.Router == "gcp-1" {
			assert.Equal(t, "wg-gcp 172.31.20.9 172.31.20.7",
				n.Interface+" "+n.LocalAddress.String()+" "+n.Address.String())
		}
	}
	assert.Equal(t, before["azure-1"], after["azure-1"], "a router without links is as before")
	assert.Equal(t, tunnel(before["aws-1"], "azure-1"), tunnel(after["aws-1"], "azure-1"), "and so is any other tunnel")
}

func TestRefusesLinks(t *testing.T) {
	const ours = "router aws-1: links.gcp-1: "
	refused := func(one, other, want string) {
		t.Run(one, func(t *testing.T) {
			require.ErrorContains(t, load(t, "field-case", linked(one, other)).Validate(), want)
		})
	}
	refused("addresses: 10.2.0.9/24", "addresses: 10.2.0.8/24",
		ours+"address 10.2.0.9/24 is in network 10.2.0.0/16 of site aws")
	refused("addresses: 172.31.20.9/24", "addresses: 172.31.21.9/24",
		"router gcp-1 has 172.31.21.9/24 in links.aws-1: expected another one of network 172.31.20.0/24")
	for one, want := range map[string]string{
		"addresses: [172.31.20.9/31, 172.31.21.9/31]": "" +
			ours + "address 172.31.21.9/31 is the second of its family",
		"addresses: 172.31.20.9":        ours + `address "172.31.20.9": expected an address and the length`,
		"addresses: 172.31.20.9/32":     ours + "address 172.31.20.9/32 has no room for the other end",
		"addresses: 172.31.20.9/4":      ours + "address 172.31.20.9/4 is in a network larger than /8",
		"addresses: 172.31.20.9/24":     ours + "address 172.31.20.9/24: router gcp-1 has none in links.aws-1",
		"interface: tun0":               ours + `interface "tun0": expected up to 15 letters`,
		"interface: wg-to-google-cloud": ours + `interface "wg-to-google-cloud"`,
		"interface: wg8":                "router aws-1: the tunnels to office-2, gcp-1 are all interface wg8",
		"listen_port: 70000":            ours + "port 70000: expected 1 to 65535",
		"listen_port: 51808":            "router aws-1: the tunnels to office-2, gcp-1 all listen on port 51808",
		"listen_port: 3784": "tunnel 20 between aws-1 and gcp-1: UDP 3784 of aws-1 is BIRD's, for BFD: " +
			"set listen_port in links, or another port_base",
	} {
		refused(one, "", want)
	}
	err := load(t, "field-case", "port_base: 3764").Validate()
	require.ErrorContains(t, err, "tunnel 20 between aws-1 and gcp-1: UDP 3784 of aws-1, gcp-1 is BIRD's")
	assert.NotContains(t, err.Error(), "\n", "and no other tunnel")
	m := load(t, "field-case", "port_base: 3764", linked("listen_port: 4784", "listen_port: 3800, endpoint_port: 3784"))
	require.NoError(t, m.Validate(), "the port of an address translation is another")
	err = load(t, "field-case", "routers: {aws-1: {links: {gcp-9: {}}}}").Validate()
	require.ErrorContains(t, err, `router aws-1: links: "gcp-9" is no other router`)
}

// Public keys that ssh-keygen made for this test; nobody has their private halves.
const (
	azureKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG1v0hHyHmLkaOlnvoQ6l0Zr3GQOYhTOKE1vQ0AX4Pgn"
	awsKey   = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBTXkzX1AJxjzyZ8jwJJk8kGAgGWC0DPTTBJ3n1YVrBW"
)

func hostKeys(m *mesh.Mesh, keys map[string]string) {
	for name, key := range keys {
		router(m, name, func(r *mesh.Router) { r.HostKey = key })
	}
}

// A router lets in those whose key is known, and only the key itself goes into
// the files that sshd reads.
func TestGateHasThePeersWithAKey(t *testing.T) {
	m := load(t, "field-case")
	hostKeys(&m,
		map[string]string{
			"azure-1": azureKey + " root@azure-1", "aws-1": "  " + awsKey + "  ",
			"office-1": awsKey[:len(awsKey)-1] + "A",
		})
	p := must.Get(m.Plan("office-1"))(t)
	assert.Equal(t,
		[]plan.GatePeer{{Name: "azure-1", HostKey: azureKey}, {Name: "aws-1", HostKey: awsKey}}, p.Gate.Peers)
}

// Whoever publishes a key chooses its comment, and some of its letters. What looks like a private key in
// them is refused for the whole mesh.
func TestPublicKeyMaySayPrivate(t *testing.T) {
	m := load(t, "field-case")
	hostKeys(&m, map[string]string{
		"azure-1": azureKey + " wgmesh:PRIVATE:KEY", "aws-1": awsKey[:len(awsKey)-8] + "PRIVATE0",
	})
	require.NoError(t, m.Validate())
}

func TestRefusesHostKeys(t *testing.T) {
	for name, test := range map[string]struct {
		keys map[string]string
		want string
	}{
		"one for two routers": {
			map[string]string{"azure-1": azureKey, "aws-1": azureKey + " again"},
			"routers azure-1, aws-1: all have the same host_key",
		},
		"a private key": {
			map[string]string{"aws-1": "-----BEGIN OPENSSH PRIVATE KEY-----"},
			"router aws-1: host_key is a private key: take it out",
		},
		"a second line": {
			map[string]string{"aws-1": awsKey + "\nssh-rsa AAAA"},
			"router aws-1: host_key is not an SSH public key",
		},
		"options": {
			map[string]string{"aws-1": `command="sh" ` + awsKey},
			"router aws-1: host_key is not an SSH public key",
		},
		"another type inside": {
			map[string]string{"aws-1": "ssh-rsa" + awsKey[len("ssh-ed25519"):]},
			"router aws-1: host_key is not an SSH public key",
		},
		"half a key": {
			map[string]string{"aws-1": "ssh-ed25519 AAAA"}, "router aws-1: host_key is not an SSH public key",
		},
		"a certificate": {
			map[string]string{"aws-1": "ssh-ed25519-cert-v01@openssh.com AAAA"},
			"router aws-1: host_key is not an SSH public key",
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := load(t, "field-case")
			hostKeys(&m, test.keys)
			assert.ErrorContains(t, m.Validate(), test.want)
		})
	}
}
