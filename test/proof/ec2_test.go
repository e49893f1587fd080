//go:build lab

package proof_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// An ec2 is the part of AWS that a site's routers see: a metadata service that
// knows who asks, the API of EC2 with route tables, and the VPC's own router,
// which sends the nodes' packets where the tables say. It lives in the namespace
// of the site's gateway, at the metadata service's own address, which leads to
// nothing else from in there.
type ec2 struct {
	t         *testing.T
	lab       lab
	namespace string
	network   string // what all tables route to their routers
	servers   []*http.Server
	api       *http.Server

	mu      sync.Mutex
	routers map[string]ec2Router // by address
	tables  map[string]*ec2Table // by id
	calls   []ec2Call
}

type ec2Router struct{ name, instance, eni, mac string }

// An ec2Table is a route table, of one zone, whose nodes the gateway knows by a
// table of its own.
type ec2Table struct {
	zone   int               // the gateway's routing table
	routes map[string]string // network interface by prefix
}

// An ec2Call is one call of the API that came from a router.
type ec2Call struct {
	at          time.Time
	router, do  string
	table, eni  string
	writes, dry bool
}

const (
	metadataAddress = "169.254.169.254:80"
	apiAddress      = "10.2.0.2:80"
)

// newEC2 makes the cloud of the lab's site aws. Nothing but a table leads from its
// nodes to the other sites.
func newEC2(t *testing.T, l lab) *ec2 {
	t.Helper()
	e := &ec2{
		t: t, lab: l, namespace: "wgmesh-" + l.name + ".site.aws", network: "10.0.0.0/16",
		routers: map[string]ec2Router{},
		tables:  map[string]*ec2Table{"rtb-0a": {zone: 100, routes: map[string]string{}}, "rtb-0c": {zone: 101, routes: map[string]string{}}},
	}
	for name, host := range l.addresses(t) {
		if host.Site == "aws" && slices.Contains(l.routers, name) {
			e.routers[host.Address] = ec2Router{name, "i-" + name, "eni-" + name, l.in(t, name, "cat /sys/class/net/eth0/address")}
		}
	}
	require.Len(t, e.routers, 2)
	// The lab's own gateway moves its routes at once, which no cloud does. These
	// win over them and lose against what a table says.
	for _, zone := range []int{99, 100, 101} {
		e.ip("route", "add", "blackhole", e.network, "metric", "1", "table", fmt.Sprint(zone))
	}
	e.ip("address", "add", "169.254.169.254/32", "dev", "lo")
	e.ip("address", "add", "10.2.0.2/32", "dev", "lo")
	e.serve(metadataAddress, e.metadata)
	e.api = e.serve(apiAddress, e.answer)
	t.Cleanup(func() {
		for _, s := range e.servers {
			_ = s.Close()
		}
	})
	return e
}

func (e *ec2) ip(args ...string) {
	e.t.Helper()
	out, err := exec.CommandContext(e.t.Context(), "ip", append([]string{"-n", e.namespace}, args...)...).CombinedOutput()
	require.NoError(e.t, err, "ip %s: %s", strings.Join(args, " "), out)
}

// serve listens inside the site's namespace, by a thread that ends with it.
func (e *ec2) serve(address string, handler http.HandlerFunc) *http.Server {
	e.t.Helper()
	type opened struct {
		net.Listener
		err error
	}
	ch := make(chan opened)
	go func() {
		runtime.LockOSThread()
		fd, err := unix.Open("/run/netns/"+e.namespace, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Setns(fd, unix.CLONE_NEWNET)
			_ = unix.Close(fd)
		}
		if err != nil {
			ch <- opened{nil, err}
			return
		}
		l, err := net.Listen("tcp", address)
		ch <- opened{l, err}
	}()
	l := <-ch
	require.NoError(e.t, l.err)
	s := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	e.servers = append(e.servers, s)
	go func() { _ = s.Serve(l) }()
	return s
}

// off makes the API unreachable, on brings it back.
func (e *ec2) off() { assert.NoError(e.t, e.api.Close()) }
func (e *ec2) on()  { e.api = e.serve(apiAddress, e.answer) }

// who is the router that asks.
func (e *ec2) who(r *http.Request) (ec2Router, bool) {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return ec2Router{}, false
	}
	router, found := e.routers[from.Addr().String()]
	return router, found
}

// metadata is version 2 of the instance metadata service.
func (e *ec2) metadata(w http.ResponseWriter, r *http.Request) {
	const token = "a-token"
	self, found := e.who(r)
	if !found || r.Header.Get("X-Forwarded-For") != "" {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if r.Method == http.MethodPut && r.URL.Path == "/latest/api/token" {
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "21600")
		fmt.Fprint(w, token)
		return
	}
	if r.Header.Get("X-Aws-Ec2-Metadata-Token") != token {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	credentials, err := json.Marshal(map[string]string{
		"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "ASIA-" + self.name, "SecretAccessKey": "none", "Token": "none",
		"LastUpdated": "2026-01-01T00:00:00Z", "Expiration": time.Now().Add(6 * time.Hour).UTC().Format(time.RFC3339),
	})
	assert.NoError(e.t, err)
	text, found := map[string]string{
		"instance-id":              self.instance,
		"placement/region":         "eu-central-1",
		"mac":                      self.mac,
		"network/interfaces/macs/": self.mac + "/",
		"network/interfaces/macs/" + self.mac + "/interface-id":  self.eni,
		"network/interfaces/macs/" + self.mac + "/device-number": "0",
		"iam/security-credentials/":                              "router",
		"iam/security-credentials/router":                        string(credentials),
	}[strings.TrimPrefix(r.URL.Path, "/latest/meta-data/")]
	if !found {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	fmt.Fprint(w, text)
}

// answer is the query API of EC2, as much of it as there are route tables.
func (e *ec2) answer(w http.ResponseWriter, r *http.Request) {
	self, found := e.who(r)
	if err := r.ParseForm(); err != nil || !found || !strings.Contains(r.Header.Get("Authorization"), "Credential=ASIA-"+self.name+"/") {
		refuseEC2(w, "AuthFailure", "this is nobody's call")
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	call := ec2Call{
		at: time.Now(), router: self.name, do: r.Form.Get("Action"), table: r.Form.Get("RouteTableId"),
		eni: r.Form.Get("NetworkInterfaceId"), dry: r.Form.Get("DryRun") == "true",
	}
	call.writes = call.do != "DescribeRouteTables" && !call.dry
	e.calls = append(e.calls, call)
	if call.do == "DescribeRouteTables" {
		e.describe(w, r)
		return
	}
	table, prefix := e.tables[call.table], r.Form.Get("DestinationCidrBlock")
	switch {
	case table == nil:
		refuseEC2(w, "InvalidRouteTableID.NotFound", "The routeTable ID '"+call.table+"' does not exist")
	case prefix != e.network:
		refuseEC2(w, "InvalidParameterValue", "this cloud knows "+e.network+" only, got "+prefix)
	case call.do == "ReplaceRoute" && table.routes[prefix] == "":
		refuseEC2(w, "InvalidParameterValue", "There is no route defined for '"+prefix+"' in the route table.")
	case call.do == "CreateRoute" && table.routes[prefix] != "":
		refuseEC2(w, "RouteAlreadyExists", "The route identified by "+prefix+" already exists.")
	case call.do != "CreateRoute" && call.do != "ReplaceRoute":
		refuseEC2(w, "InvalidAction", call.do+" is not for a router")
	case call.dry:
		refuseEC2(w, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
	default:
		table.routes[prefix] = call.eni
		e.steer(*table)
		fmt.Fprintf(w, `<%sResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId><return>true</return></%sResponse>`, call.do, call.do)
	}
}

func refuseEC2(w http.ResponseWriter, code, message string) {
	status := http.StatusBadRequest
	if code == "DryRunOperation" {
		status = http.StatusPreconditionFailed
	}
	w.WriteHeader(status)
	fmt.Fprintf(w, `<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors><RequestID>r</RequestID></Response>`, code, message)
}

// describe lists the tables that were asked for.
func (e *ec2) describe(w http.ResponseWriter, r *http.Request) {
	var items strings.Builder
	for i := 1; r.Form.Get(fmt.Sprintf("RouteTableId.%d", i)) != ""; i++ {
		id := r.Form.Get(fmt.Sprintf("RouteTableId.%d", i))
		table := e.tables[id]
		if table == nil {
			refuseEC2(w, "InvalidRouteTableID.NotFound", "The routeTable ID '"+id+"' does not exist")
			return
		}
		fmt.Fprintf(&items, `<item><routeTableId>%s</routeTableId><vpcId>vpc-1</vpcId><routeSet><item><destinationCidrBlock>10.2.0.0/16</destinationCidrBlock>`+
			`<gatewayId>local</gatewayId><state>active</state><origin>CreateRouteTable</origin></item>`, id)
		for prefix, eni := range table.routes {
			fmt.Fprintf(&items, `<item><destinationCidrBlock>%s</destinationCidrBlock><networkInterfaceId>%s</networkInterfaceId><instanceId>i-%s</instanceId>`+
				`<instanceOwnerId>1</instanceOwnerId><state>active</state><origin>CreateRoute</origin></item>`, prefix, eni, strings.TrimPrefix(eni, "eni-"))
		}
		items.WriteString(`</routeSet><associationSet/><tagSet><item><key>wgmesh.router</key><value>example</value></item></tagSet></item>`)
	}
	fmt.Fprintf(w, `<DescribeRouteTablesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId><routeTableSet>%s</routeTableSet></DescribeRouteTablesResponse>`, &items)
}

// steer makes the gateway send a zone's packets to the router of the table, as a
// VPC does: also to one that is dead, where they are lost.
func (e *ec2) steer(table ec2Table) {
	for address, router := range e.routers {
		if router.eni != table.routes[e.network] {
			continue
		}
		cmd := exec.Command("ip", "-n", e.namespace, "route", "replace", e.network, "via", address, "dev", router.name, "onlink", "table", fmt.Sprint(table.zone))
		if out, err := cmd.CombinedOutput(); err != nil {
			if _, gone := os.Stat("/run/netns/wgmesh-" + e.lab.name + ".host." + router.name); gone == nil {
				e.t.Errorf("%s: %s", cmd, out)
			}
		}
	}
}

// holder is the router that a table points at.
func (e *ec2) holder(table string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return strings.TrimPrefix(e.tables[table].routes[e.network], "eni-")
}

// since returns the calls after a moment.
func (e *ec2) since(from time.Time) []ec2Call {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []ec2Call
	for _, c := range e.calls {
		if c.at.After(from) {
			out = append(out, c)
		}
	}
	return out
}

// writes counts the changes of tables since a moment.
func (e *ec2) writes(from time.Time) (n int) {
	for _, c := range e.since(from) {
		if c.writes {
			n++
		}
	}
	return n
}
