// Package aws stands in for one region of EC2 and the metadata service of its instances.
//
// It is built from AWS's documentation (EC2 API reference: DescribeNetworkInterfaces,
// ModifyNetworkInterfaceAttribute, DescribeRouteTables, CreateRoute, ReplaceRoute, DeleteRoute,
// GetManagedPrefixListEntries, DescribeTags, CreateTags, error codes, query requests; EC2 user
// guide: instance metadata version 2), and, for what ReplaceRoute says where there is no route,
// from getmoto/moto#6425, which has it from AWS itself. It does what moto does not: it throttles,
// lets credentials expire, is only eventually consistent, loses answers and instances. Signatures
// and policies are moto's part, in the integration tests of the modules.
package aws

import (
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wgmesh/router/internal/fakecloud"
)

// A Cloud is the region. Its fields may be set before it is asked, and by its hooks.
type Cloud struct {
	EC2, IMDS *httptest.Server // where Start has started them

	mu      sync.Mutex
	Region  string
	Who     func(*http.Request) (Machine, bool) // who asks; nil: the router
	Faults  map[string][]Fault                  // by action, in order; the last one stays when it is forever
	Lag     int                                 // reads that still show the old value after a write
	Session int                                 // of the role's credentials
	Valid   int                                 // the oldest session that is accepted
	NoRole  bool
	Writes  []string // what was written, dry runs not
	Reads   int
	Bare    int // metadata requests without a token
	Lose    fakecloud.Loss
	OnCall  func(Machine, url.Values) // before an answer is made
	OnRead  func()                    // after an answer was made
	OnWrite func()                    // after a write was made, before its answer

	Interfaces []*Interface
	Tables     map[string]*Table
	Lists      map[string][]string // the entries of managed prefix lists
	Tags       map[string]string   // of the instance that asks
	stale      []map[string]*Table
}

// A Machine is what the metadata service knows of the one who asks.
type Machine struct{ Name, Instance, Interface, MAC, Key string }

// A Fault is an error in place of an answer; without a code there is none.
type Fault struct {
	Code, Message string
	Status        int
	Forever       bool
}

// New makes a region with an instance i-router, and route tables.
func New() *Cloud {
	c := &Cloud{
		Region: "cn-north-1", Faults: map[string][]Fault{}, Tables: map[string]*Table{},
		Tags: map[string]string{"cost": "net"},
	}
	c.Who = func(*http.Request) (Machine, bool) {
		return Machine{
			Name: "router", Instance: "i-router", Interface: "eni-us",
			MAC: "0e:49:61:0f:c3:11", Key: "ASIAEXAMPLE",
		}, true
	}
	c.Interfaces = []*Interface{
		{ID: "eni-0a", Instance: "i-router", Check: true},
		{ID: "eni-0b", Instance: "i-router", Index: 1, Check: true},
		{ID: "eni-0c", Instance: "i-router", Index: 2, Managed: true, Check: true},
		{ID: "eni-0f", Instance: "i-other", Check: true},
	}
	for _, id := range []string{"rtb-a", "rtb-b"} {
		c.Tables[id] = &Table{
			Tags: map[string]string{"Name": id, "wgmesh.router": "example"},
			Routes: map[string]string{
				"10.1.0.0/16": Local,
				"0.0.0.0/0":   `<natGatewayId>nat-1</natGatewayId><origin>CreateRoute</origin><state>active</state>`,
				"10.0.0.0/8":  Via("eni-them"), "pl-1": Gateway, "2001:db8:1::/56": Local,
			},
		}
	}
	c.Tables["rtb-free"] = &Table{Tags: map[string]string{"wgmesh": "example"}, Routes: map[string]string{}}
	c.Tables["rtb-other"] = &Table{Tags: map[string]string{"wgmesh.router": "lab"}, Routes: map[string]string{}}
	return c
}

// Start makes a region on loopback, for a test that has none of this machine's settings.
func Start(t *testing.T) *Cloud {
	c := New()
	c.EC2 = httptest.NewServer(http.HandlerFunc(c.ServeEC2))
	c.IMDS = httptest.NewServer(http.HandlerFunc(c.ServeIMDS))
	t.Cleanup(c.EC2.Close)
	t.Cleanup(c.IMDS.Close)
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_PROFILE": "", "AWS_REGION": "",
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "", "AWS_CA_BUNDLE": "",
		"AWS_EC2_METADATA_SERVICE_ENDPOINT": c.IMDS.URL,
	} {
		t.Setenv(name, value)
	}
	return c
}

// Refuse fails an action for good, after what Faults has for it.
func (c *Cloud) Refuse(action string, status int, code, message string) {
	c.Faults[action] = append(c.Faults[action], Fault{code, message, status, true})
}

// Lock lets a test look while the region is in use; the caller unlocks it.
func (c *Cloud) Lock() (unlock func()) {
	c.mu.Lock()
	return c.mu.Unlock
}

// ServeEC2 is the query API.
func (c *Cloud) ServeEC2(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.Writes) > 0 && c.Lose.Reads {
		c.Lose.Take(w)
	}
	if err := r.ParseForm(); err != nil || r.Method != http.MethodPost || r.Form.Get("Version") != "2016-11-15" {
		c.refuse(w, 400, "InvalidRequest", "")
		return
	}
	var session int
	if _, err := fmt.Sscanf(r.Header.Get("X-Amz-Security-Token"), "session-%d", &session); err == nil &&
		session < c.Valid {
		c.refuse(w, 400, "RequestExpired", "Request has expired.")
		return
	}
	machine, known := c.Who(r)
	signed := r.Header.Get("Authorization")
	if !known || !strings.Contains(signed, "/"+c.Region+"/ec2/aws4_request") || session > 0 &&
		!strings.Contains(signed, "Credential="+machine.Key+"/") {
		c.refuse(w, 401, "AuthFailure", "AWS was not able to validate the provided access credentials")
		return
	}
	if c.OnCall != nil {
		c.OnCall(machine, r.Form)
	}
	action := r.Form.Get("Action")
	if queue := c.Faults[action]; len(queue) > 0 {
		if !queue[0].Forever {
			c.Faults[action] = queue[1:]
		}
		if queue[0].Code != "" {
			c.refuse(w, queue[0].Status, queue[0].Code, queue[0].Message)
			return
		}
	}
	switch action {
	case "DescribeNetworkInterfaces":
		c.describeInterfaces(w, r)
	case "ModifyNetworkInterfaceAttribute":
		c.modify(w, r)
	case "DescribeRouteTables":
		c.describeTables(w, r)
	case "GetManagedPrefixListEntries":
		c.listEntries(w, r)
	case "DescribeTags":
		c.describeTags(w, r, machine)
	case "CreateTags":
		c.createTag(w, r, machine)
	case "CreateRoute", "ReplaceRoute", "DeleteRoute":
		c.route(w, r, action)
	default: // ModifyInstanceAttribute above all: EC2 refuses it with several interfaces
		c.refuse(w, 400, "InvalidAction", action)
	}
}

// done answers a write that was made.
func (c *Cloud) done(w http.ResponseWriter, action, what string) {
	c.Writes = append(c.Writes, strings.TrimSpace(what))
	if c.OnWrite != nil {
		c.OnWrite()
	}
	c.Lose.Take(w)
	fmt.Fprintf(w, `<%sResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">`+
		`<requestId>req-write</requestId><return>true</return></%[1]sResponse>`, action)
}

func (c *Cloud) dryRun(w http.ResponseWriter) {
	c.refuse(w, 412, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
}

func (c *Cloud) refuse(w http.ResponseWriter, status int, code, message string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?>`+
		`<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors>`+
		`<RequestID>req-0815</RequestID></Response>`, code, html.EscapeString(message))
}

// ServeIMDS is the metadata service, version 2.
func (c *Cloud) ServeIMDS(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	const token = "imds-token"
	machine, known := c.Who(r)
	if !known || r.Header.Get("X-Forwarded-For") != "" {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if r.URL.Path == "/latest/api/token" {
		ttl, err := strconv.Atoi(r.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds"))
		if r.Method != http.MethodPut || err != nil || ttl < 1 || ttl > 21600 {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", strconv.Itoa(ttl))
		fmt.Fprint(w, token)
		return
	}
	if r.Header.Get("X-Aws-Ec2-Metadata-Token") != token {
		c.Bare++
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/latest/meta-data/")
	text, found := map[string]string{
		"instance-id":      machine.Instance,
		"placement/region": c.Region,
		"mac":              machine.MAC,
		"network/interfaces/macs/" + machine.MAC + "/interface-id": machine.Interface,
	}[path]
	switch {
	case found:
		fmt.Fprint(w, text)
	case path == "iam/security-credentials/" && !c.NoRole:
		fmt.Fprint(w, "router-role")
	case path == "iam/security-credentials/router-role" && !c.NoRole:
		c.Session++
		fmt.Fprintf(w, `{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":%q,"SecretAccessKey":"secret",`+
			`"Token":"session-%d","Expiration":%q}`, machine.Key, c.Session,
			time.Now().Add(6*time.Hour).UTC().Format(time.RFC3339))
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}
