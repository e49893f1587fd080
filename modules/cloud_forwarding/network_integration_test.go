//go:build integration

package cloudforwarding_test

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/internal/fakecloud/moto"
	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
)

// A network is a network namespace with nothing but loopback, on which the metadata service has its
// real address, and a proxy that leads to a stand-in for whatever API is asked for. In it the real
// program runs as on a VM: no option says where anything is.
//
// The namespace belongs to the test's thread and ends with it. Subtests run on
// other threads: have none.
type network struct {
	program, hosts, authorities string
	key                         *ecdsa.PrivateKey
	authority                   *x509.Certificate

	mu      sync.Mutex
	api     http.Handler // behind the proxy
	proxied []string
	service http.Handler // of the metadata
	asked   int
}

const metadataAddress = "169.254.169.254"

func newNetwork(t *testing.T, program string) *network {
	t.Helper()
	dir := t.TempDir()
	n := &network{program: program, hosts: filepath.Join(dir, "hosts"), authorities: filepath.Join(dir, "ca.pem")}
	require.NoError(t, os.WriteFile(n.hosts, []byte(metadataAddress+" metadata.google.internal\n"), 0o644))
	n.certify(t)

	nettest.Alone(t)
	nettest.Run(t, "ip", "addr", "add", metadataAddress+"/32", "dev", "lo")
	n.serve(t, "127.0.0.1:3128", http.HandlerFunc(n.proxy))
	return n
}

// serve listens in the namespace, since the caller's thread is in it.
func (n *network) serve(t *testing.T, address string, h http.Handler) {
	l := must.Get(net.Listen("tcp", address))(t)
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
}

func (n *network) certify(t *testing.T) {
	var err error
	n.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	raw := n.sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "stand-in"}, SerialNumber: big.NewInt(1),
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	n.authority, err = x509.ParseCertificate(raw)
	require.NoError(t, err)
	require.NoError(t,
		os.WriteFile(n.authorities, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), 0o644))
}

func (n *network) sign(t *testing.T, c *x509.Certificate) []byte {
	return must.Get(x509.CreateCertificate(rand.Reader, c, cmp.Or(n.authority, c), n.key.Public(), n.key))(t)
}

// proxy is an HTTP proxy behind which every host is the stand-in.
func (n *network) proxy(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	n.proxied = append(n.proxied, r.Method+" "+r.Host)
	api := n.api
	n.mu.Unlock()
	if r.Method != http.MethodConnect {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	// Hijacked before it is answered: until then the server reads ahead, and would
	// keep the first byte of the handshake.
	bare, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if _, err := io.WriteString(bare, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	name, _, _ := net.SplitHostPort(r.Host)
	leaf, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}, n.authority, n.key.Public(), n.key)
	if err != nil {
		return
	}
	conn := tls.Server(bare, &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{leaf}, PrivateKey: n.key}},
	})
	s := &http.Server{Handler: api, ReadHeaderTimeout: time.Minute}
	_ = s.Serve(&once{conn: conn})
}

// once is a listener that has one connection.
type once struct{ conn net.Conn }

func (o *once) Accept() (net.Conn, error) {
	if o.conn == nil {
		return nil, io.EOF
	}
	conn := o.conn
	o.conn = nil
	return conn, nil
}
func (o *once) Close() error   { return nil }
func (o *once) Addr() net.Addr { return &net.TCPAddr{} }

// metadata serves what the case has set, at the service's own address.
func (n *network) metadata(t *testing.T) {
	n.serve(t, metadataAddress+":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.mu.Lock()
		n.asked++
		service := n.service
		n.mu.Unlock()
		service.ServeHTTP(w, r)
	}))
}

// module runs cloud_forwarding as Ansible does.
func (n *network) module(t *testing.T, o options) map[string]any {
	t.Helper()
	raw := must.Get(json.Marshal(o))(t)
	cmd := exec.Command("unshare", "--mount", "sh", "-ec",
		`mount --bind "$0" /etc/hosts; exec "$@"`, n.hosts, n.program, "cloud_forwarding")
	cmd.Stdin = bytes.NewReader(raw)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "SSL_CERT_FILE=" + n.authorities}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		cmd.Env = append(cmd.Env, name+"=http://127.0.0.1:3128")
	}
	var said, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &complaints
	_ = cmd.Run()
	var result map[string]any
	require.NoError(t, json.Unmarshal(said.Bytes(), &result), "%s%s", said.String(), complaints.String())
	return result
}

// The program as it is shipped, where no option and no variable says where the clouds are: it asks
// the metadata services at their own addresses and never by the proxy of the environment, and the
// APIs of all partitions and sovereign clouds under their names, by the proxy. AWS's metadata
// service is first AWS's own stand-in, which takes version 2 only.
func TestProgramInItsOwnNetwork(t *testing.T) {
	dir := t.TempDir()
	program, mock := filepath.Join(dir, "wgmesh-cloud"), filepath.Join(dir, "imds")
	for _, argv := range [][]string{
		{"go", "build", "-o", program, "../cloud"},
		{"go", "build", "-C", "../../test/imds", "-o", mock, "tool"},
	} {
		must.Run(t, exec.Command(argv[0], argv[1:]...))
	}
	n := newNetwork(t, program)
	forwards := func(o options, api http.Handler, host string) {
		t.Helper()
		n.api, n.proxied = api, nil
		result := n.module(t, o)
		require.NotContains(t, result, "failed", "%s: %v", host, result["msg"])
		assert.Equal(t, true, result["changed"], host)
		assert.Equal(t, true, result["verified"], host)
		assert.NotEmpty(t, n.proxied)
		for _, call := range n.proxied {
			assert.Equal(t, "CONNECT "+host+":443", call)
		}
	}

	aws := newAWS(t)
	aws.Region = "eu-central-1"
	config := filepath.Join(dir, "imds.json")
	require.NoError(t,
		os.WriteFile(config, []byte(`{"imdsv2": true, "server": {"hostname": "`+metadataAddress+`", "port": "80"},
		"metadata": {"values": {"instance-id": "i-router", "placement-region": "eu-central-1"}}}`), 0o644))
	service := exec.Command(mock, "-c", config)
	service.Env = []string{"HOME=" + dir}
	var log bytes.Buffer
	service.Stdout, service.Stderr = &log, &log
	service.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	require.NoError(t, service.Start())
	status := nettest.Run(t, "curl", "-s", "--noproxy", "*", "--retry", "100", "--retry-delay", "0",
		"--retry-connrefused", "-o", "/dev/null", "-w", "%{http_code}",
		"http://"+metadataAddress+"/latest/meta-data/instance-id")
	assert.Equal(t, "401", status, "version 1 is refused")
	forwards(options{"cloud": "aws"}, aws.EC2.Config.Handler, "ec2.eu-central-1.amazonaws.com")
	require.NoError(t, service.Process.Kill())
	_ = service.Wait()
	assert.Contains(t, log.String(), "/latest/meta-data/iam/security-credentials/", "whose role it used")

	n.metadata(t)
	for region, host := range map[string]string{
		"cn-north-1":    "ec2.cn-north-1.amazonaws.com.cn",
		"us-gov-west-1": "ec2.us-gov-west-1.amazonaws.com", "eusc-de-east-1": "ec2.eusc-de-east-1.amazonaws.eu",
	} {
		f := newAWS(t)
		f.Region, n.service = region, f.IMDS.Config.Handler
		forwards(options{"cloud": "aws"}, f.EC2.Config.Handler, host)
	}
	for environ, host := range map[string]string{
		"AzurePublicCloud":       "management.azure.com",
		"AzureUSGovernmentCloud": "management.usgovcloudapi.net", "AzureChinaCloud": "management.chinacloudapi.cn",
	} {
		f := newAzure(t)
		f.Environ, f.Polls, f.Outside, n.service = environ, 0, "https://"+host, f.Config.Handler
		forwards(options{"cloud": "azure"}, f.Config.Handler, host)
		assert.Equal(t, "https://"+host+"/", f.Audience)
	}
	for universe, host := range map[string]string{"": "compute.googleapis.com", "s3nsapis.fr": "compute.s3nsapis.fr"} {
		f := newGCP(t)
		f.Universe, f.Waits, n.service = universe, 0, f.Config.Handler
		forwards(options{"cloud": "gcp"}, f.Config.Handler, host)
	}
	assert.Positive(t, n.asked)
}

// checkOf is the source/destination check of an interface.
func checkOf(t *testing.T, m moto.Server, eni string) string {
	return m.Ask(t, "sourceDestCheck", "Action", "DescribeNetworkInterfaces", "NetworkInterfaceId.1", eni)
}

// One instance with two interfaces, and another one, by moto.
func TestAWSByMoto(t *testing.T) {
	f := newAWS(t) // for its environment and metadata service
	m := moto.Start(t, "../../build/venv-moto", "eu-west-1")
	image := m.Ask(t, "imageId", "Action", "DescribeImages", "Owner.1", "amazon")
	subnet := m.Ask(t, "subnetId", "Action", "DescribeSubnets")
	vm := m.Ask(t, "instanceId", "Action", "RunInstances", "ImageId", image, "MinCount", "1",
		"MaxCount", "1", "SubnetId", subnet)
	other := m.Ask(t, "instanceId", "Action", "RunInstances", "ImageId", image, "MinCount", "1",
		"MaxCount", "1", "SubnetId", subnet)
	of := func(instance string) string {
		return m.Ask(t, "networkInterfaceId", "Action", "DescribeNetworkInterfaces",
			"Filter.1.Name", "attachment.instance-id", "Filter.1.Value.1", instance)
	}
	first, foreign := of(vm), of(other)
	second := m.Ask(t, "networkInterfaceId", "Action", "CreateNetworkInterface", "SubnetId", subnet)
	m.Ask(t, "attachmentId", "Action", "AttachNetworkInterface", "NetworkInterfaceId", second,
		"InstanceId", vm, "DeviceIndex", "1")
	o := options{
		"instance_id": vm, "region": "eu-west-1", "api_endpoint": m.URL,
		"metadata_endpoint": f.IMDS.URL, "timeout": 120,
	}

	t.Run("a reader", func(t *testing.T) {
		m.User(t, "reader", `"ec2:DescribeNetworkInterfaces"`)
		m.Enforce(t, true)
		defer m.Enforce(t, false)
		result := task.Run(t, o.And(check))
		require.Len(t, result["warnings"], 2, "%v", result)
		assert.Contains(t, result["warnings"].([]any)[0],
			"the permission ec2:ModifyNetworkInterfaceAttribute is missing")
		assert.Contains(t, task.FailsUnchanged(t, o), "the permission ec2:ModifyNetworkInterfaceAttribute is missing")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
		assert.Contains(t, task.Fails(t, o), "AWS does not accept the credentials")
	})
	t.Run("a router", func(t *testing.T) {
		assert.Equal(t, "true", checkOf(t, m, first))
		m.User(t, "router", `"ec2:DescribeNetworkInterfaces", "ec2:ModifyNetworkInterfaceAttribute"`)
		m.Enforce(t, true)
		result := task.Run(t, o.And(check))
		assert.Equal(t, true, result["changed"], "%v", result)
		assert.NotContains(t, result, "warnings")
		m.Enforce(t, false)
		assert.Equal(t, "true", checkOf(t, m, first))
		m.Enforce(t, true)

		result = task.Run(t, o)
		require.NotContains(t, result, "failed", "%v", result["msg"])
		assert.Len(t, result["done"], 2)
		assert.Equal(t, true, result["verified"])
		assert.Equal(t, false, task.Run(t, o)["changed"])
		m.Enforce(t, false)
		assert.Equal(t, []string{"false", "false", "true"}, []string{
			checkOf(t, m, first), checkOf(t, m, second), checkOf(t, m, foreign),
		})
	})
}
