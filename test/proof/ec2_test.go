//go:build lab

package proof_test

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/fakecloud/aws"
	"github.com/wgmesh/router/internal/nettest"
)

// An ec2 is the part of AWS that a site's routers see: a metadata service that knows who asks, the
// API of EC2 with route tables, and the VPC's own router, which sends the nodes' packets where the
// tables say. It lives in the namespace of the site's gateway, at the metadata service's own
// address, which leads to nothing else from in there.
type ec2 struct {
	t       *testing.T
	lab     lab
	inside  nettest.Namespace
	cloud   *aws.Cloud
	servers []*http.Server
	api     *http.Server
	routers map[string]aws.Machine // by address
	calls   []ec2Call
}

// zoneTables are the gateway's routing tables for the nodes of a route table.
var zoneTables = map[string]int{"rtb-0a": 100, "rtb-0c": 101}

// An ec2Call is one call of the API that came from a router.
type ec2Call struct {
	at     time.Time
	writes bool
}

const (
	metadataAddress = "169.254.169.254:80"
	apiAddress      = "10.2.0.2:80"
	elsewhere       = "10.0.0.0/16" // what all tables route to their routers
)

// newEC2 makes the cloud of the lab's site aws. Nothing but a table leads from its
// nodes to the other sites.
func newEC2(t *testing.T, l lab) *ec2 {
	t.Helper()
	e := &ec2{
		t: t, lab: l, inside: nettest.Namespace{Name: "wgmesh-" + l.name + ".site.aws"},
		cloud: aws.New(), routers: map[string]aws.Machine{},
	}
	for name, host := range l.addresses(t) {
		if host.Site == "aws" && slices.Contains(l.routers, name) {
			e.routers[host.Address] = aws.Machine{
				Name: name, Instance: "i-" + name, Interface: "eni-" + name, Key: "ASIA-" + name,
				MAC: l.in(t, name, "cat /sys/class/net/eth0/address"),
			}
		}
	}
	require.Len(t, e.routers, 2)
	e.cloud.Region, e.cloud.Who, e.cloud.OnCall, e.cloud.OnWrite = "eu-central-1", e.who, e.called, e.steer
	e.cloud.Faults["DeleteRoute"] = []aws.Fault{
		{Code: "InvalidAction", Message: "DeleteRoute is not for a router", Status: 400, Forever: true},
	}
	e.cloud.Tables = map[string]*aws.Table{}
	for id := range zoneTables {
		e.cloud.Tables[id] = &aws.Table{
			Tags:   map[string]string{"wgmesh.router": "example"},
			Routes: map[string]string{"10.2.0.0/16": aws.Local},
		}
	}
	// The lab's own gateway moves its routes at once, which no cloud does. These
	// win over them and lose against what a table says.
	for _, zone := range []int{99, 100, 101} {
		e.inside.IP(t, "route", "add", "blackhole", elsewhere, "metric", "1", "table", fmt.Sprint(zone))
	}
	e.inside.IP(t, "address", "add", "169.254.169.254/32", "dev", "lo")
	e.inside.IP(t, "address", "add", "10.2.0.2/32", "dev", "lo")
	e.serve(metadataAddress, e.cloud.ServeIMDS)
	e.api = e.serve(apiAddress, e.cloud.ServeEC2)
	t.Cleanup(func() {
		for _, s := range e.servers {
			_ = s.Close()
		}
	})
	return e
}

// serve listens inside the site's namespace.
func (e *ec2) serve(address string, handler http.HandlerFunc) *http.Server {
	e.t.Helper()
	var l net.Listener
	require.NoError(e.t, e.inside.Inside(func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	}))
	s := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	e.servers = append(e.servers, s)
	go func() { _ = s.Serve(l) }()
	return s
}

// off makes the API unreachable, on brings it back.
func (e *ec2) off() { assert.NoError(e.t, e.api.Close()) }
func (e *ec2) on()  { e.api = e.serve(apiAddress, e.cloud.ServeEC2) }

// who is the router that asks.
func (e *ec2) who(r *http.Request) (aws.Machine, bool) {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return aws.Machine{}, false
	}
	router, found := e.routers[from.Addr().String()]
	return router, found
}

// called notes a call.
func (e *ec2) called(_ aws.Machine, form url.Values) {
	describes := form.Get("Action") == "DescribeRouteTables"
	if !describes {
		assert.Equal(e.t, elsewhere, form.Get("DestinationCidrBlock"))
	}
	e.calls = append(e.calls, ec2Call{at: time.Now(), writes: !describes && form.Get("DryRun") != "true"})
}

// steer makes the gateway send the zones' packets to the routers of their tables, as a
// VPC does: also to one that is dead, where they are lost.
func (e *ec2) steer() {
	for id, zone := range zoneTables {
		for address, router := range e.routers {
			if e.cloud.Tables[id].Routes[elsewhere] != aws.Via(router.Interface) {
				continue
			}
			cmd := exec.Command("ip", "-n", e.inside.Name, "route", "replace", elsewhere, "via",
				address, "dev", router.Name, "onlink", "table", fmt.Sprint(zone))
			if out, err := cmd.CombinedOutput(); err != nil {
				if _, gone := os.Stat("/run/netns/wgmesh-" + e.lab.name + ".host." + router.Name); gone == nil {
					e.t.Errorf("%s: %s", cmd, out)
				}
			}
		}
	}
}

// holder is the router that a table points at.
func (e *ec2) holder(table string) string {
	defer e.cloud.Lock()()
	for _, router := range e.routers {
		if e.cloud.Tables[table].Routes[elsewhere] == aws.Via(router.Interface) {
			return router.Name
		}
	}
	return ""
}

// since returns the calls after a moment.
func (e *ec2) since(from time.Time) []ec2Call {
	defer e.cloud.Lock()()
	return slices.DeleteFunc(slices.Clone(e.calls), func(c ec2Call) bool { return !c.at.After(from) })
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
