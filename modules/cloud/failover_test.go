package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/fakecloud/aws"
	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/failover"
	"github.com/wgmesh/router/pkg/plan"
)

const failoverFile = `{"router": "aws-1", "cloud": "aws", "mesh": "example", "prefixes": ["10.0.0.0/16"], ` +
	`"tables": ["rtb-0a", "rtb-1a"], "after": 300,
  "peers": [{"name": "office-1", "interface": "wg1", "address": "172.31.0.2"}],
  "partners": [{"name": "aws-2", "interface": "wg3", "address": "172.31.0.7", "tables": ["rtb-0c"], "before": []}],
  "socket": "/nonexistent/bird.ctl", "metadata_endpoint": "http://127.0.0.1:1"}`

// write makes a file of that content.
func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "failover.json")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestFailoverCommand(t *testing.T) {
	good, bad := write(t, failoverFile), write(t, strings.Replace(failoverFile, `"mesh": "example"`, `"mesh": ""`, 1))
	for name, tt := range map[string]struct {
		args        []string
		status      int
		out, errOut string
	}{
		"help":          {[]string{"--help"}, 0, "stopping it changes nothing", ""},
		"a good file":   {[]string{"--check", good}, 0, "", ""},
		"a bad file":    {[]string{bad}, badConfig, "", "wgmesh-cloud failover: " + bad + ": mesh: it is empty"},
		"a bad file, 2": {[]string{"--check", bad}, badConfig, "", "mesh: it is empty"},
		"no file":       {[]string{"/nonexistent"}, badConfig, "", "/nonexistent: no such file"},
		"two files":     {[]string{good, bad}, usage, "", "is one argument too many"},
		"two wishes":    {[]string{"--check", "--show"}, usage, "", "--check or --show, not both"},
		"another wish":  {[]string{"--stop"}, usage, "", "-stop"},
		"no metadata":   {[]string{"--show", good}, tryAgain, "", "wgmesh-cloud failover: metadata mac: "},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errOut bytes.Buffer
			assert.Equal(t, tt.status, failoverCommand(t.Context(), tt.args, &out, &errOut))
			assert.Contains(t, out.String(), tt.out)
			assert.Contains(t, errOut.String(), tt.errOut)
			if tt.status != usage {
				assert.LessOrEqual(t, strings.Count(errOut.String(), "\n"), 1)
			}
		})
	}
}

// It says what it watches, tells systemd that it does, and ends when it is told to.
func TestFailoverWatchesUntilTheEnd(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	systemd := must.Get(net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"}))(t)
	t.Cleanup(func() { _ = systemd.Close() })
	t.Setenv("NOTIFY_SOCKET", socket)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	told := make([]byte, 100)
	go func() {
		n, _ := systemd.Read(told)
		told = told[:n]
		cancel()
	}()
	var out, errOut bytes.Buffer
	assert.Zero(t, failoverCommand(ctx, []string{write(t, failoverFile)}, &out, &errOut))
	assert.Equal(t, "WATCHDOG=1", string(told))
	assert.Equal(t, "aws-1 keeps rtb-0a, rtb-1a; rtb-0c is for aws-2\n", out.String())
	assert.Empty(t, errOut.String())
}

// It shows which networks a table has no route for, and the other tables where one is gone.
func TestShowTables(t *testing.T) {
	cloud := aws.Start(t)
	cloud.Tables["rtb-a"].Routes["10.0.0.0/16"] = aws.Via("eni-us")
	cloud.Tables["rtb-b"].Routes["10.3.0.0/16"] = aws.Via("eni-them")
	path := write(t, `{"router": "aws-1", "cloud": "aws", "mesh": "example", "after": 300,
  "prefixes": ["10.0.0.0/16", "10.3.0.0/16"], "tables": ["rtb-gone", "rtb-a"],
  "peers": [{"name": "office-1", "interface": "wg1", "address": "172.31.0.2"}],
  "partners": [{"name": "aws-2", "interface": "wg3", "address": "172.31.0.7", "tables": ["rtb-b"], "before": []}],
  "api_endpoint": "`+cloud.EC2.URL+`", "metadata_endpoint": "`+cloud.IMDS.URL+`"}`)
	var out, errOut bytes.Buffer
	assert.Equal(t, tryAgain, failoverCommand(t.Context(), []string{"--show", path}, &out, &errOut))
	assert.Equal(t, `rtb-a of aws-1: 10.0.0.0/16 goes to eni-us, this router
rtb-a of aws-1: 10.3.0.0/16 has no route
rtb-b of aws-2: 10.3.0.0/16 goes to eni-them
rtb-b of aws-2: 10.0.0.0/16 has no route
`, out.String())
	assert.Contains(t, errOut.String(), "rtb-gone")
	assert.Equal(t, 1, strings.Count(errOut.String(), "\n"), errOut.String())
}

// Of a partner's table only what the cloud calls a black hole is gone.
func TestGone(t *testing.T) {
	cloud := aws.Start(t)
	cloud.Tables["rtb-b"].Routes["10.0.0.0/16"] = aws.Via("eni-them")
	cloud.Tables["rtb-b"].Routes["10.3.0.0/16"] = strings.Replace(aws.Via("eni-them"), "active", "blackhole", 1)
	cloud.Tables["rtb-b"].Routes["pl-2"] = aws.Via("eni-them")
	cloud.OnCall = func(_ aws.Machine, q url.Values) {
		assert.NotEqual(t, "GetManagedPrefixListEntries", q.Get("Action"), "a daemon reads no prefix lists")
	}
	prefixes := must.Prefixes("10.0.0.0/16", "10.3.0.0/16")
	s := &siteTables{config: failover.Config{
		Mesh: "example", APIEndpoint: cloud.EC2.URL, MetadataEndpoint: cloud.IMDS.URL,
		Failover: plan.Failover{Prefixes: prefixes},
	}}
	gone, err := s.Gone(t.Context(), "rtb-b")
	require.NoError(t, err)
	assert.Equal(t, prefixes[1:], gone)
	_, _, err = s.Take(t.Context(), "rtb-b", gone)
	require.NoError(t, err)
}

// Whoever takes a table back right after us is alive. Its own table a router wants back, and
// says what it saw; a partner's is then the partner's.
func TestTakeWhatIsTakenBack(t *testing.T) {
	cloud := aws.Start(t)
	cloud.OnWrite = func() {
		for _, table := range []string{"rtb-a", "rtb-b"} {
			cloud.Tables[table].Routes["10.0.0.0/16"] = aws.Via("eni-them")
		}
	}
	s := &siteTables{config: failover.Config{
		Mesh: "example", APIEndpoint: cloud.EC2.URL, MetadataEndpoint: cloud.IMDS.URL,
		Failover: plan.Failover{Tables: []string{"rtb-a"}, Prefixes: must.Prefixes("10.0.0.0/16")},
	}}
	for table, words := range map[string]string{"rtb-a": "does not read so: it goes to eni-them", "rtb-b": ""} {
		cloud.Tables[table].Routes["10.0.0.0/16"] = aws.Via("eni-them")
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		done, _, err := s.Take(ctx, table, nil)
		cancel()
		assert.Len(t, done, 1, table)
		if words == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, words)
		}
	}
}

// A role that may not do it gives way to another one as soon as the machine has that: the credentials
// of the first would be kept for hours.
func TestTakeWithAnotherRole(t *testing.T) {
	cloud := aws.Start(t)
	cloud.Faults = map[string][]aws.Fault{"CreateRoute": {{Code: "UnauthorizedOperation", Status: 403}}}
	var by []string // the sessions of the role that asked
	ec2 := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		by = append(by, r.Header.Get("X-Amz-Security-Token"))
		cloud.ServeEC2(w, r)
	}))
	t.Cleanup(ec2.Close)
	s := &siteTables{config: failover.Config{
		Mesh: "example", APIEndpoint: ec2.URL, MetadataEndpoint: cloud.IMDS.URL,
		Failover: plan.Failover{Prefixes: must.Prefixes("10.0.0.0/16")},
	}}
	_, _, err := s.Take(t.Context(), "rtb-a", nil)
	require.ErrorContains(t, err, "the permission ec2:CreateRoute is missing")
	_, _, err = s.Take(t.Context(), "rtb-a", nil)
	require.NoError(t, err)
	assert.NotEqual(t, by[0], by[len(by)-1])
}

// A connection that was kept may lead to what has died since, as when a zone fails: the
// next attempt goes over another one, in the same Take.
func TestTakeWhereOneCallHangs(t *testing.T) {
	cloud := aws.Start(t)
	var mu sync.Mutex
	var from []string // the connection of each request
	end := make(chan struct{})
	ec2 := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		from = append(from, r.RemoteAddr)
		n := len(from)
		mu.Unlock()
		if n == 2 {
			<-end
			return
		}
		cloud.ServeEC2(w, r)
	}))
	t.Cleanup(ec2.Close)
	t.Cleanup(func() { close(end) })
	s := &siteTables{config: failover.Config{
		Mesh: "example", APIEndpoint: ec2.URL, MetadataEndpoint: cloud.IMDS.URL,
		Failover: plan.Failover{Prefixes: must.Prefixes("10.0.0.0/16")},
	}}
	ctx, cancel := context.WithTimeout(t.Context(), attempt)
	defer cancel()
	done, _, err := s.Take(ctx, "rtb-a", nil)
	require.NoError(t, err)
	assert.Equal(t, []string{"rtb-a: 10.0.0.0/16: goes to eni-us now"}, done)
	assert.Equal(t, []string{"CreateRoute rtb-a 10.0.0.0/16 eni-us"}, cloud.Writes)
	assert.Equal(t, from[0], from[1], "it was kept")
	assert.NotEqual(t, from[1], from[2])
}
