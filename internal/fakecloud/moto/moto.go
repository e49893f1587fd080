// Package moto runs moto's server, a stand-in for AWS that is not ours. It checks
// signatures and policies as AWS does.
package moto

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
)

// Server is a server of moto for one region.
type Server struct{ URL, region string }

// Start runs moto from a virtual environment until the test ends.
func Start(t *testing.T, venv, region string) Server {
	t.Helper()
	program := must.Get(filepath.Abs(filepath.Join(venv, "bin", "moto_server")))(t)
	require.FileExists(t, program, "moto is missing: run .ci/venv moto")
	l := must.Get(net.Listen("tcp", "127.0.0.1:0"))(t)
	address := l.Addr().String()
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	require.NoError(t, l.Close())

	cmd := exec.Command(program, "-H", "127.0.0.1", "-p", port)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "INITIAL_NO_AUTH_ACTION_COUNT=1000"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		assert.NoError(t, cmd.Process.Kill())
		_, _ = cmd.Process.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	require.Eventually(t, func() bool {
		answer, err := http.Get("http://" + address + "/moto-api/data.json")
		return err == nil && answer.Body.Close() == nil
	}, 5*time.Minute, 50*time.Millisecond, "moto did not start: %s", &log)
	return Server{"http://" + address, region}
}

// Call makes one call of the query protocol without a signature, and returns the answer.
func (s Server) Call(t *testing.T, service string, pairs ...string) string {
	t.Helper()
	form := url.Values{"Version": {map[string]string{"ec2": "2016-11-15", "iam": "2010-05-08"}[service]}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	r := must.Get(http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, strings.NewReader(form.Encode())))(t)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIA/20261124/"+s.region+"/"+service+
		"/aws4_request, SignedHeaders=host, Signature=0")
	answer := must.Get(http.DefaultClient.Do(r))(t)
	defer answer.Body.Close()
	body := must.Get(io.ReadAll(answer.Body))(t)
	require.Equal(t, 200, answer.StatusCode, "%s", body)
	return string(body)
}

// Ask makes one call of EC2 and returns the first value of an element of the answer.
func (s Server) Ask(t *testing.T, element string, pairs ...string) string {
	t.Helper()
	return Pick(t, s.Call(t, "ec2", pairs...), element)
}

// Pick returns the first value of an element of an answer. The answer may have a key in
// it, so it is not shown.
func Pick(t *testing.T, answer, element string) string {
	t.Helper()
	found := regexp.MustCompile("<" + element + ">([^<]+)</").FindStringSubmatch(answer)
	require.NotNil(t, found, "no %s in the answer", element)
	return found[1]
}

// User makes a user who may do these actions, and makes it the one who runs the module.
func (s Server) User(t *testing.T, name, actions string) {
	t.Helper()
	s.Call(t, "iam", "Action", "CreateUser", "UserName", name)
	s.Call(t, "iam", "Action", "PutUserPolicy", "UserName", name, "PolicyName", "router", "PolicyDocument",
		`{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": "*", "Action": [`+actions+`]}]}`)
	made := s.Call(t, "iam", "Action", "CreateAccessKey", "UserName", name)
	t.Setenv("AWS_ACCESS_KEY_ID", Pick(t, made, "AccessKeyId"))
	t.Setenv("AWS_SECRET_ACCESS_KEY", Pick(t, made, "SecretAccessKey"))
}

// Enforce turns the checks of signatures and policies on or off.
func (s Server) Enforce(t *testing.T, on bool) {
	t.Helper()
	count := map[bool]string{true: "0", false: "1000"}[on]
	answer := must.Get(http.Post(s.URL+"/moto-api/reset-auth", "text/plain", strings.NewReader(count)))(t)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, 200, answer.StatusCode)
}
