package mesh_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/pkg/mesh"
	"github.com/wgmesh/router/pkg/plan"
)

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
	p, err := m.Plan("office-1")
	require.NoError(t, err)
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
