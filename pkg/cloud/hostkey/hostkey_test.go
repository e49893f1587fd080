package hostkey_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/cloud/hostkey"
)

// key makes the key of a seed, in a file, and loads it.
func key(t *testing.T, seed byte) hostkey.Key {
	t.Helper()
	block := must.Get(ssh.MarshalPrivateKey(ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune(seed)), 32))),
		"root@router"))(t)
	return must.Get(hostkey.Load(file(t, string(pem.EncodeToMemory(block)))))(t)
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ssh_host_ed25519_key")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// golden is also in test/discovery/test_inventory.py: Python checks what Go signs.
const golden = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop wgmesh:i-0a:" +
	"dCr4HKqyObXkQ2S6I+My4aw7bTpxsyV8iiiJ9JQp5jv01dPdMzIwOAAeNFvrjcuWGptIYMyNlDiK2n0KjVYZCg=="

func TestLine(t *testing.T) {
	k := key(t, 0)
	line := k.Line("azure-1", "i-0a")
	assert.Equal(t, golden, line)
	assert.LessOrEqual(t, len(k.Line("azure-1", "0f47b100-583c-48e3-a4c0-000000000004")), 256, "a tag's value")

	public, comment, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	require.NoError(t, err)
	proof := must.Get(base64.StdEncoding.DecodeString(strings.Split(comment, ":")[2]))(t)
	plain := public.(ssh.CryptoPublicKey).CryptoPublicKey().(ed25519.PublicKey)
	assert.True(t, ed25519.Verify(plain, []byte("wgmesh host key of azure-1"), proof))
	assert.False(t, ed25519.Verify(plain, []byte("wgmesh host key of azure-2"), proof))
	assert.Equal(t, "[redacted] [redacted]", fmt.Sprintf("%v %#v", k, k))
}

func TestLoadRefuses(t *testing.T) {
	locked, err := ssh.MarshalPrivateKeyWithPassphrase(ed25519.NewKeyFromSeed(make([]byte, 32)), "", []byte("x"))
	require.NoError(t, err)
	rsaKey := must.Get(rsa.GenerateKey(rand.Reader, 2048))(t)
	other := must.Get(ssh.MarshalPrivateKey(rsaKey, ""))(t)
	for name, tt := range map[string]struct{ text, want string }{
		"nothing":     {"", "is not a private key of OpenSSH; make one by ssh-keygen -A"},
		"public half": {golden, "is not a private key of OpenSSH"},
		"canary": {
			"-----BEGIN OPENSSH PRIVATE KEY-----\nQ0FOQVJZ\n-----END OPENSSH PRIVATE KEY-----\n",
			"is not a private key of OpenSSH",
		},
		"passphrase": {string(pem.EncodeToMemory(locked)), "has a passphrase; a host key has none"},
		"RSA": {
			string(pem.EncodeToMemory(other)),
			"is not an Ed25519 key; expected one such as /etc/ssh/ssh_host_ed25519_key",
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := file(t, tt.text)
			_, err := hostkey.Load(path)
			require.ErrorContains(t, err, path+": "+tt.want)
			assert.NotContains(t, err.Error(), "CANARY")
			assert.NotContains(t, err.Error(), "Q0FO")
		})
	}
	assert.ErrorIs(t, must.Err(hostkey.Load("/nonexistent")), hostkey.ErrNoKey)
}

type place struct {
	line   string
	writes int
	read   error
	write  error
}

func (*place) Machine() string                        { return "i-0a" }
func (*place) Place() string                          { return "tag mesh_host_key of i-0a" }
func (p *place) Read(context.Context) (string, error) { return p.line, p.read }
func (p *place) Write(_ context.Context, line string) error {
	if p.write == nil {
		p.line = line
		p.writes++
	}
	return p.write
}

func TestPublish(t *testing.T) {
	mine, other := key(t, 1), key(t, 2)
	plain := func(k hostkey.Key) string { return strings.Join(strings.Fields(k.Line("x", "y"))[:2], " ") }
	want := mine.Line("aws-1", "i-0a")
	for name, tt := range map[string]struct {
		have    string
		replace bool
		after   string
		said    string // "" for a refusal
	}{
		"nothing":       {"", false, want, "is published as tag"},
		"there":         {want, false, want, "is there already as tag"},
		"there, a line": {want + "\n", false, want + "\n", "is there already as tag"},
		"key made again": {
			other.Line("aws-1", "i-0a"), false, want,
			"takes the place of " + other.Fingerprint() + ", this machine's key before, as",
		},
		"renamed": {mine.Line("old", "i-0a"), false, want, "is published under the router's new name as"},
		"machine before": {
			other.Line("aws-1", "i-0b"), false, want,
			"takes the place of " + other.Fingerprint() + ", the key of the machine before this one, as",
		},
		"given": {
			plain(mine) + " root@aws-1", false, plain(mine) + " root@aws-1",
			"was given to the cloud by somebody and stays as it is, as",
		},
		"another given":   {plain(other), false, plain(other), ""},
		"another by name": {plain(other) + " i-0a", false, plain(other) + " i-0a", ""},
		"text":            {"to do", false, "to do", ""},
		"another, replaced": {
			plain(other), true, want, "takes the place of " + other.Fingerprint() + ", as --replace says, as",
		},
		"text, replaced":      {"to do", true, want, "takes the place of no SSH public key, as --replace says, as"},
		"there, and replaced": {want, true, want, "is there already as"},
	} {
		t.Run(name, func(t *testing.T) {
			p := &place{line: tt.have}
			said, err := hostkey.Publish(t.Context(), p, mine, "aws-1", tt.replace)
			assert.Equal(t, tt.after, p.line)
			if tt.said == "" {
				assert.ErrorAs(t, err, new(hostkey.Refused))
				assert.ErrorContains(t, err, "tag mesh_host_key of i-0a holds ")
				assert.ErrorContains(t, err,
					", which this machine did not publish; this machine's key is "+
						mine.Fingerprint()+": take the other one away")
				return
			}
			require.NoError(t, err)
			assert.Contains(t, said, "aws-1: "+mine.Fingerprint()+" "+tt.said)
			must.Get(hostkey.Publish(t.Context(), p, mine, "aws-1", false))(t)
			assert.LessOrEqual(t, p.writes, 1, "a second run changes nothing")
		})
	}
	lost := errors.New("lost")
	assert.ErrorIs(t, must.Err(hostkey.Publish(t.Context(), &place{read: lost}, mine, "aws-1", true)), lost)
	assert.ErrorIs(t, must.Err(hostkey.Publish(t.Context(), &place{write: lost}, mine, "aws-1", true)), lost)
}
