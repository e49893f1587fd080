//go:build integration

package cloudroutes_test

import (
	"context"
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
)

// moto is a server of moto, which checks signatures and policies as AWS does.
type moto struct{ url string }

func newMoto(t *testing.T) moto {
	t.Helper()
	program, err := filepath.Abs("../../build/venv-moto/bin/moto_server")
	require.NoError(t, err)
	require.FileExists(t, program, "moto is missing: run .ci/venv moto")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
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
	}, time.Minute, 50*time.Millisecond, "moto did not start: %s", &log)
	return moto{"http://" + address}
}

// call makes one call of the query protocol without a signature.
func (m moto) call(t *testing.T, service string, pairs ...string) string {
	t.Helper()
	form := url.Values{"Version": {map[string]string{"ec2": "2016-11-15", "iam": "2010-05-08"}[service]}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, m.url, strings.NewReader(form.Encode()))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIA/20261124/cn-north-1/"+service+"/aws4_request, SignedHeaders=host, Signature=0")
	answer, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.Equal(t, 200, answer.StatusCode, "%s", body)
	return string(body)
}

func pick(t *testing.T, answer, element string) string {
	t.Helper()
	found := regexp.MustCompile("<" + element + ">([^<]+)</").FindStringSubmatch(answer)
	require.NotNil(t, found, "no %s in %s", element, answer)
	return found[1]
}

// user makes a user who may do what the policy says, and makes it the one who
// runs the module.
func (m moto) user(t *testing.T, name, actions string) {
	t.Helper()
	m.call(t, "iam", "Action", "CreateUser", "UserName", name)
	m.call(t, "iam", "Action", "PutUserPolicy", "UserName", name, "PolicyName", "router",
		"PolicyDocument", `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": "*", "Action": [`+actions+`]}]}`)
	made := m.call(t, "iam", "Action", "CreateAccessKey", "UserName", name)
	t.Setenv("AWS_ACCESS_KEY_ID", pick(t, made, "AccessKeyId"))
	t.Setenv("AWS_SECRET_ACCESS_KEY", pick(t, made, "SecretAccessKey"))
}

// enforce turns the checks of signatures and policies on or off.
func (m moto) enforce(t *testing.T, on bool) {
	t.Helper()
	count := map[bool]string{true: "0", false: "1000"}[on]
	answer, err := http.Post(m.url+"/moto-api/reset-auth", "text/plain", strings.NewReader(count))
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, 200, answer.StatusCode)
}

// items are the routes of a table as moto shows them, by destination.
func (m moto) items(t *testing.T, table string) map[string]string {
	t.Helper()
	answer := m.call(t, "ec2", "Action", "DescribeRouteTables", "RouteTableId.1", table)
	set := regexp.MustCompile(`(?s)<routeSet>(.*?)</routeSet>`).FindStringSubmatch(answer)
	require.NotNil(t, set, answer)
	out := map[string]string{}
	for _, item := range regexp.MustCompile(`(?s)<item>(.*?)</item>`).FindAllStringSubmatch(set[1], -1) {
		destination := regexp.MustCompile(`<destination(?:Ipv6CidrBlock|CidrBlock)>([^<]*)<`).FindStringSubmatch(item[1])
		require.NotNil(t, destination, item[1])
		out[destination[1]] = item[1]
	}
	return out
}

// Two route tables of a VPC, two routers' interfaces, a route that is nobody's to
// move, by moto.
func TestAWSByMoto(t *testing.T) {
	f := newAWS(t) // for its environment and metadata service
	m := newMoto(t)
	ask := func(element string, pairs ...string) string { return pick(t, m.call(t, "ec2", pairs...), element) }
	subnets := m.call(t, "ec2", "Action", "DescribeSubnets")
	subnet, vpc := pick(t, subnets, "subnetId"), pick(t, subnets, "vpcId")
	eni := func() string {
		return ask("networkInterfaceId", "Action", "CreateNetworkInterface", "SubnetId", subnet)
	}
	us, them := eni(), eni()
	table := func() string { return ask("routeTableId", "Action", "CreateRouteTable", "VpcId", vpc) }
	ours, bare := table(), table()
	m.call(t, "ec2", "Action", "CreateTags", "ResourceId.1", ours, "Tag.1.Key", "wgmesh.router", "Tag.1.Value", "example")
	route := func(destination string) {
		m.call(t, "ec2", "Action", "CreateRoute", "RouteTableId", ours, "DestinationCidrBlock", destination, "NetworkInterfaceId", them)
	}
	route("10.0.0.0/16")
	route("10.99.0.0/16")
	before := m.items(t, ours)
	o := options{
		"via": us, "region": "cn-north-1", "mesh": "example", "tables": []string{ours}, "prefixes": []string{"10.0.0.0/16", "10.2.0.0/16", "2001:db8::/32"},
		"api_endpoint": m.url, "metadata_endpoint": f.IMDS.URL, "timeout": 120,
	}

	t.Run("a reader", func(t *testing.T) {
		m.user(t, "reader", `"ec2:DescribeRouteTables"`)
		m.enforce(t, true)
		defer m.enforce(t, false)
		warnings := succeeds(t, o.and(check))["warnings"]
		require.Len(t, warnings, 3)
		assert.Contains(t, warnings.([]any)[0], "the permission ec2:ReplaceRoute is missing")
		assert.Contains(t, warnings.([]any)[1], "the permission ec2:CreateRoute is missing")
		msg, changed := fails(t, o)
		assert.Contains(t, msg, "the permission ec2:CreateRoute is missing")
		assert.False(t, changed)
		t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
		msg, _ = fails(t, o)
		assert.Contains(t, msg, "AWS does not accept the credentials")
	})
	assert.Equal(t, before, m.items(t, ours))

	t.Run("a router", func(t *testing.T) {
		m.user(t, "router", `"ec2:DescribeRouteTables", "ec2:CreateRoute", "ec2:ReplaceRoute", "ec2:DeleteRoute"`)
		m.enforce(t, true)
		defer m.enforce(t, false)
		// Not in check mode: moto does not know DryRun for routes and would write.
		result := succeeds(t, o)
		assert.Equal(t, true, result["verified"])
		assert.Equal(t, []any{
			ours + ": 10.0.0.0/16: goes to " + us + " now, before to " + them, ours + ": 10.2.0.0/16: goes to " + us + " now", ours + ": 2001:db8::/32: goes to " + us + " now",
		}, result["done"])
		unchanged(t, o)
		msg, _ := fails(t, o.and(options{"tables": []string{bare}}))
		assert.Contains(t, msg, bare+": it has no tag wgmesh.router")
		msg, _ = fails(t, o.and(options{"tables": []string{"rtb-0000000000000gone"}}))
		assert.Contains(t, msg, "InvalidRouteTableID.NotFound")
	})
	after := m.items(t, ours)
	assert.Len(t, after, len(before)+2)
	for destination, item := range before {
		if destination != "10.0.0.0/16" {
			assert.Equal(t, item, after[destination])
		}
	}

	t.Run("and away", func(t *testing.T) {
		m.user(t, "leaver", `"ec2:DescribeRouteTables", "ec2:DeleteRoute"`)
		m.enforce(t, true)
		defer m.enforce(t, false)
		assert.Len(t, succeeds(t, o.and(absent))["done"], 3)
		unchanged(t, o.and(absent))
	})
	delete(before, "10.0.0.0/16")
	assert.Equal(t, before, m.items(t, ours))
}
