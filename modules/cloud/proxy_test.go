package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/fakecloud"
	fakeaws "github.com/wgmesh/router/internal/fakecloud/aws"
	fakeazure "github.com/wgmesh/router/internal/fakecloud/azure"
	fakegcp "github.com/wgmesh/router/internal/fakecloud/gcp"
	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/cloud"
	"github.com/wgmesh/router/pkg/cloud/aws"
	"github.com/wgmesh/router/pkg/cloud/azure"
	"github.com/wgmesh/router/pkg/cloud/gcp"
	"github.com/wgmesh/router/pkg/join"
)

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
		observe(said)(aws.Connect(t.Context(), aws.Options{API: api, Metadata: aMeta, Pace: quick, Allow: allow}))
		observe(said)(azure.Connect(t.Context(), azure.Options{API: api, Metadata: zMeta, Pace: quick, Allow: allow}))
		observe(said)(gcp.Connect(t.Context(), gcp.Options{API: api, Metadata: gMeta, Pace: quick, Allow: allow}))
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
