package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/pem"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/cloud"
	"github.com/wgmesh/router/pkg/cloud/hostkey"

	"github.com/wgmesh/router/internal/fakecloud"
	"github.com/wgmesh/router/internal/fakecloud/aws"
	"github.com/wgmesh/router/internal/fakecloud/azure"
	"github.com/wgmesh/router/internal/fakecloud/gcp"
)

// A machine is one that joins by itself: its join.yml and its host key.
type machine struct{ config, identity string }

func newMachine(t *testing.T, more string) machine {
	t.Helper()
	dir := t.TempDir()
	m := machine{config: dir + "/join.yml", identity: dir + "/ssh_host_ed25519_key"}
	m.makeKey(t, 1)
	must.Write(t, m.config, "router: azure-1\ninventory: /none\nidentity_file: "+m.identity+"\n"+more, 0o600)
	return m
}

func (m machine) makeKey(t *testing.T, seed byte) {
	t.Helper()
	block := must.Get(ssh.MarshalPrivateKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)),
		"root@azure-1"))(t)
	require.NoError(t, os.WriteFile(m.identity, pem.EncodeToMemory(block), 0o600))
}

// line is what the machine is to publish.
func (m machine) line(t *testing.T, id string) string {
	t.Helper()
	return must.Get(hostkey.Load(m.identity))(t).Line("azure-1", id)
}

// publish runs the command on a machine of the cloud.
func publish(t *testing.T, at place, args ...string) (status int, said string) {
	t.Helper()
	p := publisher{
		dmi: fstest.MapFS{}, allow: fakecloud.Loopback,
		pace:  cloud.Pace{First: time.Millisecond, Most: 10 * time.Millisecond},
		limit: 10 * time.Second, api: at.api, metadata: at.metadata,
	}
	var out, errOut bytes.Buffer
	status = p.command(t.Context(), args, &out, &errOut)
	if status != usage {
		assert.LessOrEqual(t, strings.Count(out.String()+errOut.String(), "\n"), 1, "one line")
		assert.Equal(t, status == 0, errOut.Len() == 0, errOut.String())
	}
	return status, out.String() + errOut.String()
}

// A place is where a cloud keeps the key, in its stand-in, and how its API is made to
// refuse it.
type place struct {
	api, metadata string
	values        map[string]string
	key           string
	writes        *[]string
	refuse, fail  func()
	mend          func()
}

func inAWS(t *testing.T) place {
	c := aws.Start(t)
	fault := func(action string, f aws.Fault) func() {
		f.Forever = true
		return func() { c.Faults[action] = []aws.Fault{f} }
	}
	return place{
		c.EC2.URL, c.IMDS.URL, c.Tags, "mesh_host_key", &c.Writes,
		fault("CreateTags", aws.Fault{Code: "UnauthorizedOperation", Message: "You are not authorized.", Status: 403}),
		fault("DescribeTags", aws.Fault{Code: "InternalError", Message: "It went wrong.", Status: 500}),
		func() { clear(c.Faults) },
	}
}

func inAzure(t *testing.T) place {
	c := azure.Start(t)
	c.Attached = []string{azure.NICB, azure.NICA} // the primary one is not the first
	fault := func(method string, status int, code, message string) func() {
		return func() {
			for range 1000 {
				c.Fault(method+" "+azure.TagsOfNICA, status, code, message)
			}
		}
	}
	return place{
		c.URL, c.URL, c.Tags, "mesh_host_key", &c.Writes,
		fault("PATCH", 403, "AuthorizationFailed", "The client 'x' does not have authorization to perform action "+
			"'Microsoft.Resources/tags/write' over scope '/subscriptions/s'."),
		fault("GET", 500, "InternalServerError", "It went wrong."),
		func() { clear(c.Faults) },
	}
}

func inGCP(t *testing.T) place {
	c := gcp.Start(t)
	fault := func(method string, status int) func() {
		return func() {
			for range 1000 {
				c.Fault(method+" /computeMetadata/v1/instance/guest-attributes/wgmesh/mesh_host_key", status, "",
					"It went wrong.")
			}
		}
	}
	return place{
		c.URL, c.URL, c.Guest, "wgmesh/mesh_host_key", &c.Writes, fault("PUT", 403), fault("GET", 500), func() {
			clear(c.Faults)
		},
	}
}

func TestPublishHostKey(t *testing.T) {
	for name, c := range map[string]struct {
		at          func(*testing.T) place
		id, where   string
		explanation string
	}{
		"aws": {
			inAWS, "i-router", "tag mesh_host_key of i-router",
			"tag mesh_host_key of i-router: ec2:CreateTags: UnauthorizedOperation: " +
				"You are not authorized (request req-0815); the permission ec2:CreateTags is missing: allow it",
		},
		"azure": {
			inAzure, "0f47b100-583c", "tag mesh_host_key of the network interface router-a",
			"the permission Microsoft.Resources/tags/write is missing: allow it in the role of the identity",
		},
		"gcp": {
			inGCP, "4711", "guest attribute wgmesh/mesh_host_key of 4711",
			"HTTP 403; set enable-guest-attributes=TRUE in the metadata of the instance or of the project",
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, at := newMachine(t, ""), c.at(t)
			others := maps.Clone(at.values)
			run := func(args ...string) (int, string) {
				return publish(t, at, append([]string{"--config", m.config, "--cloud", name}, args...)...)
			}

			at.refuse()
			code, said := run()
			assert.Equal(t, tryAgain, code)
			assert.Contains(t, said, c.explanation)
			at.mend()

			code, said = run()
			assert.Zero(t, code, said)
			assert.Equal(t, m.line(t, c.id), at.values[at.key])
			assert.Regexp(t, `^wgmesh-cloud publish-host-key: azure-1: SHA256:\S+ is published as `+c.where+`\n$`, said)

			code, said = run()
			assert.Zero(t, code, said)
			assert.Contains(t, said, "is there already as "+c.where)
			assert.Len(t, *at.writes, 1, "a second run changes nothing")

			before := m.line(t, c.id)
			m.makeKey(t, 2)
			code, said = run()
			assert.Zero(t, code, said)
			assert.Equal(t, m.line(t, c.id), at.values[at.key])
			assert.Contains(t, said, "this machine's key before")

			at.values[at.key] = strings.Join(strings.Fields(before)[:2], " ") + " given"
			code, said = run()
			assert.Equal(t, badConfig, code)
			assert.Contains(t, said, c.where+" holds SHA256:")
			assert.Contains(t, said, "which this machine did not publish; this machine's key is SHA256:")
			assert.Len(t, *at.writes, 2)
			code, said = run("--replace")
			assert.Zero(t, code, said)
			assert.Equal(t, m.line(t, c.id), at.values[at.key])

			at.fail()
			code, said = run()
			assert.Equal(t, tryAgain, code, said)
			assert.NotContains(t, said, "PRIVATE")

			delete(at.values, at.key)
			assert.Equal(t, others, at.values, "other tags stay")
		})
	}
}

func TestPublishHostKeyRefuses(t *testing.T) {
	m := newMachine(t, "")
	bad := newMachine(t, "modee: x\n")
	none := newMachine(t, "")
	require.NoError(t, os.Remove(none.identity))
	wrong := newMachine(t, "")
	require.NoError(t, os.WriteFile(wrong.identity, []byte("CANARY"), 0o600))
	controller := filepath.Join(t.TempDir(), "join.yml")
	must.Write(t, controller,
		"mode: controller\ncontroller: {url: 'https://awx.example/api/v2/job_templates/7/callback/', "+
			"host_config_key_file: /k}\n", 0o600)
	for name, tt := range map[string]struct {
		args   []string
		status int
		said   string
	}{
		"help":       {[]string{"--help"}, 0, "in place of a key that this machine did not publish"},
		"a word":     {[]string{"now"}, usage, `"now" is one argument too many`},
		"a wish":     {[]string{"--force"}, usage, "-force"},
		"no file":    {[]string{"--config", "/nonexistent"}, badConfig, "/nonexistent: no such file"},
		"a bad file": {[]string{"--config", bad.config}, badConfig, bad.config + ":4: modee: is not known"},
		"another cloud": {
			[]string{"--config", m.config, "--cloud", "ibm"},
			usage,
			`--cloud: "ibm" is none of aws, azure, gcp`,
		},
		"no cloud": {
			[]string{"--config", m.config},
			0,
			"azure-1: no cloud of ours runs this machine: bring " + m.identity +
				".pub to the inventory as mesh_host_key",
		},
		"no key": {
			[]string{"--config", none.config, "--cloud", "gcp"},
			tryAgain,
			none.identity + ": no such file; the first boot makes it",
		},
		"what is no key": {
			[]string{"--config", wrong.config, "--cloud", "gcp"},
			badConfig,
			"identity_file: " + wrong.identity + ": is not a private key of OpenSSH",
		},
		"for a controller": {
			[]string{"--config", controller, "--cloud", "gcp"},
			0,
			"mode: controller: nobody asks for this router's host key",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := publisher{
				dmi: fstest.MapFS{}, allow: fakecloud.Loopback,
				metadata: "http://127.0.0.1:1",
				pace:     cloud.Pace{First: time.Millisecond, Most: time.Millisecond}, limit: time.Second,
			}
			var out, errOut bytes.Buffer
			assert.Equal(t, tt.status, p.command(t.Context(), tt.args, &out, &errOut))
			assert.Contains(t, out.String()+errOut.String(), tt.said)
			assert.NotContains(t, out.String()+errOut.String(), "CANARY")
		})
	}
}
