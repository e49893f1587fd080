package gcp

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/fakecloud"
	"github.com/wgmesh/router/internal/must"
)

func (c *Cloud) metadata(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Metadata-Flavor", "Google")
	if r.Header.Get("Metadata-Flavor") != "Google" || r.Header.Get("X-Forwarded-For") != "" {
		w.WriteHeader(403)
		return
	}
	if c.Faults.Take(w, r) {
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/computeMetadata/v1/")
	guest, isGuest := strings.CutPrefix(path, "instance/guest-attributes/")
	text := map[string]string{
		"project/project-id": "example.com:mesh", "instance/id": "4711", "instance/name": "gcp-1",
		"instance/zone": "projects/1234/zones/europe-west3-a",
		"instance/service-accounts/default/scopes": c.Scopes, "universe/universe-domain": c.Universe,
	}[path]
	switch {
	case isGuest && r.Method == http.MethodPut:
		body, _ := io.ReadAll(r.Body)
		c.Guest[guest] = string(body)
		c.Writes = append(c.Writes, "guest attribute "+guest)
	case isGuest && c.Guest[guest] != "":
		fmt.Fprint(w, c.Guest[guest])
	case text != "":
		fmt.Fprint(w, text)
	case path == "instance/service-accounts/default/token":
		fakecloud.Answer(w, map[string]any{"access_token": c.Next(), "expires_in": 3599, "token_type": "Bearer"})
	default:
		w.WriteHeader(404)
	}
}

// serviceKey is one for all tests, since to make one takes long.
var serviceKey = sync.OnceValues(func() (string, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), err
})

// Login gives the test the key of a service account.
func (c *Cloud) Login() {
	key := must.Get(serviceKey())(c.t)
	content := map[string]string{
		"type": "service_account", "client_email": "ansible@example", "private_key_id": "1",
		"token_uri": c.URL + "/token", "private_key": key,
	}
	maps.Copy(content, c.InKey)
	raw := must.Get(json.Marshal(content))(c.t)
	file := filepath.Join(c.t.TempDir(), "key.json")
	require.NoError(c.t, os.WriteFile(file, raw, 0o600))
	c.t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
}
