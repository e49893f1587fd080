package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"encoding/pem"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"github.com/wgmesh/router/internal/fakecloud"
	fakeaws "github.com/wgmesh/router/internal/fakecloud/aws"
	fakeazure "github.com/wgmesh/router/internal/fakecloud/azure"
	fakegcp "github.com/wgmesh/router/internal/fakecloud/gcp"
	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/cloud"
	"github.com/wgmesh/router/pkg/cloud/aws"
	"github.com/wgmesh/router/pkg/cloud/azure"
	"github.com/wgmesh/router/pkg/cloud/gcp"
	"github.com/wgmesh/router/pkg/cloud/hostkey"
	"github.com/wgmesh/router/pkg/join"
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
		dmi: fstest.MapFS{}, limit: 10 * time.Second,
		Way: cloud.Way{
			API: at.api, Metadata: at.metadata, Allow: fakecloud.Loopback,
			Pace: cloud.Pace{First: time.Millisecond, Most: 10 * time.Millisecond},
		},
	}
	var out, errOut bytes.Buffer
	status = p.command(t.Context(), args, &out, &errOut)
	if status != usage {
		assert.LessOrEqual(t, strings.Count(out.String()+errOut.String(), "\n"), 1, "one line")
		assert.Equal(t, status == 0, errOut.Len() == 0, errOut.String())
	}
	return status, out.String() + errOut.String()
}

// A place is where a cloud keeps the key, in its stand-in, and how its API is made to refuse it.
type place struct {
	api, metadata string
	values        map[string]string
	key           string
	writes        *[]string
	refuse, fail  func()
	mend          func()
}

func inAWS(t *testing.T) place {
	c := fakeaws.Start(t)
	fault := func(action, code, message string, status int) func() {
		f := fakeaws.Fault{Code: code, Message: message, Status: status, Forever: true}
		return func() { c.Faults[action] = []fakeaws.Fault{f} }
	}
	return place{
		c.EC2.URL, c.IMDS.URL, c.Tags, "mesh_host_key", &c.Writes,
		fault("CreateTags", "UnauthorizedOperation", "You are not authorized.", 403),
		fault("DescribeTags", "InternalError", "It went wrong.", 500),
		func() { clear(c.Faults) },
	}
}

func inAzure(t *testing.T) place {
	c := fakeazure.Start(t)
	c.Attached = []string{fakeazure.NICB, fakeazure.NICA} // the primary one is not the first
	fault := func(method string, status int, code, message string) func() {
		return func() {
			for range 1000 {
				c.Fault(method+" "+fakeazure.TagsOfNICA, status, code, message)
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
	c := fakegcp.Start(t)
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
		"a cloud that cannot be read": {
			[]string{"--config", m.config}, tryAgain, "cloud: what this machine's firmware says cannot be read",
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
				dmi: fstest.MapFS{}, limit: time.Second,
				Way: cloud.Way{
					Metadata: "http://127.0.0.1:1", Allow: fakecloud.Loopback,
					Pace: cloud.Pace{First: time.Millisecond, Most: time.Millisecond},
				},
			}
			if name == "a cloud that cannot be read" {
				p.dmi = fstest.MapFS{"sys_vendor": {Mode: fs.ModeDir}}
			}
			var out, errOut bytes.Buffer
			assert.Equal(t, tt.status, p.command(t.Context(), tt.args, &out, &errOut))
			assert.Contains(t, out.String()+errOut.String(), tt.said)
			assert.NotContains(t, out.String()+errOut.String(), "CANARY")
		})
	}
}

// A metadata service that is updated is waited for, and then asked: what ends the wait is
// later, and what systemd ends the program by later still.
func TestPublishWaitsForTheMetadataService(t *testing.T) {
	pace := cloud.DefaultPace().Most
	assert.GreaterOrEqual(t, publishLimit, azure.MetadataUpdate+pace+pace/2+20*time.Second,
		"the last pause, and the work")
	unit := string(must.Get(os.ReadFile("../../roles/router/files/wgmesh-host-key.service"))(t))
	limit := regexp.MustCompile(`(?m)^TimeoutStartSec=(\d+)$`).FindStringSubmatch(unit)
	require.NotNil(t, limit)
	assert.Greater(t, time.Duration(must.Get(strconv.Atoi(limit[1]))(t))*time.Second, publishLimit)
}

// nobody is this machine, which Go's choice of a proxy does not know: nothing listens.
const nobody = "//0.0.0.0:1"

// callEverybody makes each call that may go by a proxy, and then those that never do, and
// returns what they say. Go reads the environment once in the life of a process.
func callEverybody(t *testing.T) (said, direct []string) {
	quick := cloud.Pace{First: time.Millisecond, Most: time.Millisecond}
	allow := func(host string) error {
		if host == "0.0.0.0" {
			return nil
		}
		return fakecloud.Loopback(host)
	}
	observe := func(said *[]string) func(cloud.Reader, error) {
		return func(r cloud.Reader, err error) {
			if err == nil {
				_, err = r.Observe(t.Context())
			}
			require.Error(t, err)
			*said = append(*said, err.Error())
		}
	}
	all := func(said *[]string, api, aMeta, zMeta, gMeta string) {
		way := func(metadata string) cloud.Way {
			return cloud.Way{API: api, Metadata: metadata, Pace: quick, Allow: allow}
		}
		observe(said)(aws.Connect(t.Context(), aws.Options{Way: way(aMeta)}))
		observe(said)(azure.Connect(t.Context(), azure.Options{Way: way(zMeta)}))
		observe(said)(gcp.Connect(t.Context(), gcp.Options{Way: way(gMeta)}))
	}
	a, z, g := fakeaws.Start(t), fakeazure.Start(t), fakegcp.Start(t)
	none := httptest.NewServer(http.NotFoundHandler())
	defer none.Close()
	all(&said, "http:"+nobody, a.IMDS.URL, z.URL, g.URL)
	all(&said, "https:"+nobody, a.IMDS.URL, z.URL, g.URL)
	all(&direct, "https:"+nobody, none.URL, none.URL, none.URL)

	dir := t.TempDir()
	file := func(name, text string) string {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
		return filepath.Join(dir, name)
	}
	var out bytes.Buffer
	join.Command(t.Context(), []string{"--config", file("join.yml", "router: azure-1\nmode: controller\nstate_dir: "+
		dir+"\ncontroller:\n  url: https:"+nobody+"/api/v2/job_templates/7/callback/\n  host_config_key_file: "+
		file("key", "k")+"\n")}, &out, &out)
	return append(said, strings.TrimSpace(out.String())), direct
}

// Nobody is told the user or the password of a proxy, which comes from /etc/environment,
// whatever is wrong with the proxy or with how it is written.
func TestProxysPasswordIsNotTold(t *testing.T) {
	const child = "WGMESH_TEST_SAID"
	if path := os.Getenv(child); path != "" {
		said, direct := callEverybody(t)
		require.NoError(t, os.WriteFile(path, must.Get(json.Marshal([][]string{said, direct}))(t), 0o600))
		return
	}
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusProxyAuthRequired)
	}))
	defer refuses.Close()
	hangsUp := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		panic(http.ErrAbortHandler)
	}))
	defer hangsUp.Close()
	const notOne = "is not the URL of a proxy"
	for proxy, want := range map[string]string{ // what those say that went by it
		"http://canary:secret@127.0.0.1:1":                         "proxyconnect tcp: dial tcp 127.0.0.1:1",
		"canary:secret@127.0.0.1:1":                                "proxyconnect tcp: dial tcp 127.0.0.1:1",
		"https://canary:secret@127.0.0.1:1":                        "proxyconnect tcp: dial tcp 127.0.0.1:1",
		"socks5://canary:secret@127.0.0.1:1":                       "proxyconnect tcp: dial tcp 127.0.0.1:1",
		"ftp://canary:secret@127.0.0.1:1":                          "proxyconnect tcp: dial tcp 127.0.0.1:1",
		"http://canary:se@cret@127.0.0.1:1":                        "proxyconnect tcp: dial tcp 127.0.0.1:1",
		"http://canary:secret@" + refuses.Listener.Addr().String(): "Proxy Authentication Required|407|UnknownError",
		"http://canary:secret@" + hangsUp.Listener.Addr().String(): "EOF",
		"http://canary:secret%@127.0.0.1:1":                        "dial tcp 0.0.0.0:1", // Go asks without a proxy
		`DOMAIN\canary:secret@127.0.0.1:1`:                         "dial tcp 0.0.0.0:1",
		`http://DOMAIN\canary:secret@127.0.0.1:1`:                  notOne,
		"http://canary:sec ret@127.0.0.1:1":                        notOne,
		"http://canary:sec/ret@127.0.0.1:1":                        notOne,
		"http://canary:99999/secret@127.0.0.1:1":                   notOne,
		"http://canary:99999?secret@127.0.0.1:1":                   notOne,
		"http://canary:99999#secret@127.0.0.1:1":                   notOne,
		"http://secret/canary@127.0.0.1:1":                         notOne,
		"canary:99999/secret@127.0.0.1:1":                          notOne,
		"canary/secret@127.0.0.1:1":                                notOne,
		"http:/canary:secret@127.0.0.1:1":                          notOne,
		"//canary:secret@127.0.0.1:1":                              notOne,
		"http://canary:secret@127.0.0.1:port":                      notOne,
		`"http://canary:secret@127.0.0.1:1"`:                       notOne,
	} {
		t.Run(proxy, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "said")
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, must.Get(os.Executable())(t),
				"-test.run=^"+t.Name()[:strings.Index(t.Name(), "/")]+"$")
			cmd.Env = append(os.Environ(), child+"="+path, "HTTP_PROXY="+proxy, "HTTPS_PROXY="+proxy, "NO_PROXY=")
			must.Run(t, cmd)
			var said [2][]string
			require.NoError(t, json.Unmarshal(must.Get(os.ReadFile(path))(t), &said))
			for _, line := range said[0] {
				assert.Regexp(t, want, line)
			}
			for _, line := range said[1] {
				assert.Regexp(t, "metadata .*404", line)
			}
			for _, line := range slices.Concat(said[0], said[1]) {
				assert.NotRegexp(t, "canary|cret|99999", line)
			}
		})
	}
}
