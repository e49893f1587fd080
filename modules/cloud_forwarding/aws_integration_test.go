//go:build integration

package cloudforwarding_test

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
	require.FileExists(t, program, "moto is missing: run .ci/venv")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(l.Addr().String())
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
	m := moto{"http://127.0.0.1:" + port}
	require.Eventually(t, func() bool {
		answer, err := http.Get(m.url + "/moto-api/data.json")
		if err != nil {
			return false
		}
		return answer.Body.Close() == nil
	}, time.Minute, 50*time.Millisecond, "moto did not start: %s", &log)
	return m
}

// ask makes one call and returns the first value of an element of the answer.
func (m moto) ask(t *testing.T, service, element string, pairs ...string) string {
	t.Helper()
	return pick(t, m.call(t, service, pairs...), element)
}

func pick(t *testing.T, answer, element string) string {
	t.Helper()
	found := regexp.MustCompile("<" + element + ">([^<]+)</").FindStringSubmatch(answer)
	require.NotNil(t, found, "no %s in the answer", element)
	return found[1]
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
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIA/20261124/eu-west-1/"+service+"/aws4_request, SignedHeaders=host, Signature=0")
	answer, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.Equal(t, 200, answer.StatusCode, "%s", body)
	return string(body)
}

// check is the source/destination check of an interface.
func (m moto) check(t *testing.T, eni string) string {
	return m.ask(t, "ec2", "sourceDestCheck", "Action", "DescribeNetworkInterfaces", "NetworkInterfaceId.1", eni)
}

// user makes a user who may do what the policy says, and makes it the one who
// runs the module.
func (m moto) user(t *testing.T, name string, actions string) {
	t.Helper()
	m.ask(t, "iam", "UserName", "Action", "CreateUser", "UserName", name)
	m.ask(t, "iam", "RequestId", "Action", "PutUserPolicy", "UserName", name, "PolicyName", "router",
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

// One instance with two interfaces, and another one, by moto.
func TestAWSByMoto(t *testing.T) {
	f := newAWS(t) // for its environment and metadata service
	m := newMoto(t)
	image := m.ask(t, "ec2", "imageId", "Action", "DescribeImages", "Owner.1", "amazon")
	subnet := m.ask(t, "ec2", "subnetId", "Action", "DescribeSubnets")
	vm := m.ask(t, "ec2", "instanceId", "Action", "RunInstances", "ImageId", image, "MinCount", "1", "MaxCount", "1", "SubnetId", subnet)
	other := m.ask(t, "ec2", "instanceId", "Action", "RunInstances", "ImageId", image, "MinCount", "1", "MaxCount", "1", "SubnetId", subnet)
	of := func(instance string) string {
		return m.ask(t, "ec2", "networkInterfaceId", "Action", "DescribeNetworkInterfaces", "Filter.1.Name", "attachment.instance-id", "Filter.1.Value.1", instance)
	}
	first, foreign := of(vm), of(other)
	second := m.ask(t, "ec2", "networkInterfaceId", "Action", "CreateNetworkInterface", "SubnetId", subnet)
	m.ask(t, "ec2", "attachmentId", "Action", "AttachNetworkInterface", "NetworkInterfaceId", second, "InstanceId", vm, "DeviceIndex", "1")
	o := options{"instance_id": vm, "region": "eu-west-1", "api_endpoint": m.url, "metadata_endpoint": f.IMDS.URL, "timeout": 20}

	t.Run("a reader", func(t *testing.T) {
		m.user(t, "reader", `"ec2:DescribeNetworkInterfaces"`)
		m.enforce(t, true)
		defer m.enforce(t, false)
		result := run(t, o.and(check))
		require.Len(t, result["warnings"], 2, "%v", result)
		assert.Contains(t, result["warnings"].([]any)[0], "the permission ec2:ModifyNetworkInterfaceAttribute is missing")
		msg, changed := fails(t, o)
		assert.Contains(t, msg, "the permission ec2:ModifyNetworkInterfaceAttribute is missing")
		assert.False(t, changed)
		t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
		msg, _ = fails(t, o)
		assert.Contains(t, msg, "AWS does not accept the credentials")
	})
	t.Run("a router", func(t *testing.T) {
		assert.Equal(t, "true", m.check(t, first))
		m.user(t, "router", `"ec2:DescribeNetworkInterfaces", "ec2:ModifyNetworkInterfaceAttribute"`)
		m.enforce(t, true)
		result := run(t, o.and(check))
		assert.Equal(t, true, result["changed"], "%v", result)
		assert.NotContains(t, result, "warnings")
		m.enforce(t, false)
		assert.Equal(t, "true", m.check(t, first))
		m.enforce(t, true)

		result = run(t, o)
		require.NotContains(t, result, "failed", "%v", result["msg"])
		assert.Len(t, result["done"], 2)
		assert.Equal(t, true, result["verified"])
		assert.Equal(t, false, run(t, o)["changed"])
		m.enforce(t, false)
		assert.Equal(t, []string{"false", "false", "true"}, []string{m.check(t, first), m.check(t, second), m.check(t, foreign)})
	})
}
