package cloudroutes_test

import (
	"fmt"
	"html"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeAWS stands in for the route tables of one region of EC2 and the metadata
// service of a router whose first interface is eni-us. It is built from AWS's
// documentation (EC2 API reference: DescribeRouteTables, CreateRoute,
// ReplaceRoute, DeleteRoute, error codes, query requests; EC2 user guide:
// instance metadata version 2), and, for what ReplaceRoute says where there is no
// route, from getmoto/moto#6425, which has it from AWS itself. It does what moto
// does not: a route that is there already, throttling, credentials that expire,
// answers that are old, black holes. Signatures and policies are moto's part,
// see aws_integration_test.go.
type fakeAWS struct {
	ec2, imds *httptest.Server

	mu      sync.Mutex
	tables  map[string]*table
	faults  map[string][]fault // by action, in order; the last one stays when it is forever
	lag     int                // reads that still show what was before a write
	stale   []map[string]*table
	session int // of the role's credentials
	valid   int // the oldest session that is accepted
	norole  bool
	writes  []string // what was written, dry runs not
	reads   int
	lose    int    // writes that are done and not answered
	bare    int    // metadata requests without a token
	onRead  func() // after an answer was made
	onWrite func() // before a write is looked at
}

// A table has tags, and routes by destination: each the XML of the rest of it.
type table struct {
	tags   map[string]string
	routes map[string]string
}

func (t *table) clone() *table { return &table{maps.Clone(t.tags), maps.Clone(t.routes)} }

type fault struct {
	code, message string
	status        int
	forever       bool
}

// Routes as EC2 shows them.
func via(eni string) string {
	return `<networkInterfaceId>` + eni + `</networkInterfaceId><instanceId>i-of-` + eni + `</instanceId><instanceOwnerId>123456789012</instanceOwnerId><origin>CreateRoute</origin><state>active</state>`
}

const (
	local     = `<gatewayId>local</gatewayId><origin>CreateRouteTable</origin><state>active</state>`
	transit   = `<transitGatewayId>tgw-1</transitGatewayId><origin>CreateRoute</origin><state>active</state><fieldOfTomorrow>x</fieldOfTomorrow>`
	blackhole = `<networkInterfaceId>eni-gone</networkInterfaceId><origin>CreateRoute</origin><state>blackhole</state>`
)

func newAWS(t *testing.T) *fakeAWS {
	f := &fakeAWS{faults: map[string][]fault{}, tables: map[string]*table{}}
	for _, id := range []string{"rtb-a", "rtb-b"} {
		f.tables[id] = &table{
			tags: map[string]string{"Name": id, "wgmesh.router": "example"},
			routes: map[string]string{
				"10.1.0.0/16": local, "0.0.0.0/0": `<natGatewayId>nat-1</natGatewayId><origin>CreateRoute</origin><state>active</state>`,
				"10.0.0.0/8": via("eni-them"), "pl-1": via("eni-them"), "2001:db8:1::/56": local,
			},
		}
	}
	f.tables["rtb-free"] = &table{tags: map[string]string{"wgmesh": "example"}, routes: map[string]string{}}
	f.tables["rtb-other"] = &table{tags: map[string]string{"wgmesh.router": "lab"}, routes: map[string]string{}}
	f.ec2 = httptest.NewServer(http.HandlerFunc(f.serveEC2))
	f.imds = httptest.NewServer(http.HandlerFunc(f.serveIMDS))
	t.Cleanup(f.ec2.Close)
	t.Cleanup(f.imds.Close)
	for name, value := range map[string]string{ // none of this machine's own settings
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_PROFILE": "", "AWS_REGION": "",
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "", "AWS_CA_BUNDLE": "",
		"AWS_EC2_METADATA_SERVICE_ENDPOINT": f.imds.URL,
	} {
		t.Setenv(name, value)
	}
	return f
}

// without is a copy of all tables without some of the routes.
func (f *fakeAWS) without(destinations ...string) map[string]*table {
	out := map[string]*table{}
	for id, t := range f.tables {
		out[id] = t.clone()
		for _, d := range destinations {
			delete(out[id].routes, d)
		}
	}
	return out
}

func (f *fakeAWS) serveIMDS(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	const token = "imds-token"
	if r.URL.Path == "/latest/api/token" {
		ttl, err := strconv.Atoi(r.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds"))
		if r.Method != http.MethodPut || err != nil || ttl < 1 || ttl > 21600 || r.Header.Get("X-Forwarded-For") != "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", strconv.Itoa(ttl))
		fmt.Fprint(w, token)
		return
	}
	if r.Header.Get("X-Aws-Ec2-Metadata-Token") != token {
		f.bare++
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/latest/meta-data/")
	switch {
	case path == "mac":
		fmt.Fprint(w, "0e:49:61:0f:c3:11")
	case path == "network/interfaces/macs/0e:49:61:0f:c3:11/interface-id":
		fmt.Fprint(w, "eni-us")
	case path == "placement/region":
		fmt.Fprint(w, "cn-north-1")
	case path == "iam/security-credentials/" && !f.norole:
		fmt.Fprint(w, "router-role")
	case path == "iam/security-credentials/router-role" && !f.norole:
		f.session++
		fmt.Fprintf(w, `{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":"ASIAEXAMPLE","SecretAccessKey":"secret","Token":"session-%d","Expiration":%q}`,
			f.session, time.Now().Add(6*time.Hour).UTC().Format(time.RFC3339))
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (f *fakeAWS) serveEC2(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := r.ParseForm(); err != nil || r.Method != http.MethodPost || r.Form.Get("Version") != "2016-11-15" {
		f.refuse(w, fault{code: "InvalidRequest", status: 400})
		return
	}
	var session int
	if _, err := fmt.Sscanf(r.Header.Get("X-Amz-Security-Token"), "session-%d", &session); err == nil && session < f.valid {
		f.refuse(w, fault{code: "RequestExpired", message: "Request has expired.", status: 400})
		return
	}
	if !strings.Contains(r.Header.Get("Authorization"), "/cn-north-1/ec2/aws4_request") {
		f.refuse(w, fault{code: "AuthFailure", message: "AWS was not able to validate the provided access credentials", status: 401})
		return
	}
	action := r.Form.Get("Action")
	if queue := f.faults[action]; len(queue) > 0 {
		if !queue[0].forever {
			f.faults[action] = queue[1:]
		}
		if queue[0].code != "" {
			f.refuse(w, queue[0])
			return
		}
	}
	if action == "DescribeRouteTables" {
		f.describe(w, r)
		return
	}
	f.write(w, r, action)
}

func (f *fakeAWS) describe(w http.ResponseWriter, r *http.Request) {
	f.reads++
	tables := f.tables
	if len(f.stale) > 0 {
		tables, f.stale = f.stale[0], f.stale[1:]
	}
	var sets strings.Builder
	for i := 1; r.Form.Get(fmt.Sprint("RouteTableId.", i)) != ""; i++ {
		id := r.Form.Get(fmt.Sprint("RouteTableId.", i))
		t, found := tables[id]
		if !found {
			f.refuse(w, fault{code: "InvalidRouteTableID.NotFound", message: "The routeTable ID '" + id + "' does not exist", status: 400})
			return
		}
		fmt.Fprintf(&sets, `<item><routeTableId>%s</routeTableId><vpcId>vpc-1</vpcId><fieldOfTomorrow/><routeSet>`, id)
		for _, d := range slices.Sorted(maps.Keys(t.routes)) {
			fmt.Fprintf(&sets, `<item><%s>%s</%[1]s>%[3]s</item>`, field(d), d, t.routes[d])
		}
		sets.WriteString(`</routeSet><tagSet>`)
		for _, k := range slices.Sorted(maps.Keys(t.tags)) {
			fmt.Fprintf(&sets, `<item><key>%s</key><value>%s</value></item>`, k, t.tags[k])
		}
		sets.WriteString(`</tagSet></item>`)
	}
	fmt.Fprint(w, `<DescribeRouteTablesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>req-describe</requestId><routeTableSet>`+sets.String()+`</routeTableSet></DescribeRouteTablesResponse>`)
	if f.onRead != nil {
		f.onRead()
	}
}

// field is where EC2 shows a destination.
func field(destination string) string {
	switch {
	case strings.HasPrefix(destination, "pl-"):
		return "destinationPrefixListId"
	case strings.Contains(destination, ":"):
		return "destinationIpv6CidrBlock"
	}
	return "destinationCidrBlock"
}

func (f *fakeAWS) write(w http.ResponseWriter, r *http.Request, action string) {
	dry := r.Form.Get("DryRun") == "true"
	if f.onWrite != nil && !dry {
		f.onWrite()
	}
	id, d := r.Form.Get("RouteTableId"), r.Form.Get("DestinationCidrBlock")+r.Form.Get("DestinationIpv6CidrBlock")
	t, found := f.tables[id]
	there := false
	if found {
		_, there = t.routes[d]
	}
	eni := r.Form.Get("NetworkInterfaceId")
	switch {
	case !found:
		f.refuse(w, fault{code: "InvalidRouteTableID.NotFound", message: "The routeTable ID '" + id + "' does not exist", status: 400})
	case (field(d) == "destinationIpv6CidrBlock") != r.Form.Has("DestinationIpv6CidrBlock"):
		f.refuse(w, fault{code: "InvalidParameterValue", message: "Value (" + d + ") for parameter destinationCidrBlock is invalid.", status: 400})
	case dry:
		f.refuse(w, fault{code: "DryRunOperation", message: "Request would have succeeded, but DryRun flag is set.", status: 412})
	case action == "CreateRoute" && there:
		f.refuse(w, fault{code: "RouteAlreadyExists", message: "The route identified by " + d + " already exists.", status: 400})
	case action == "ReplaceRoute" && !there:
		f.refuse(w, fault{code: "InvalidParameterValue", message: "There is no route defined for '" + d + "' in the route table. Use CreateRoute instead.", status: 400})
	case action == "DeleteRoute" && !there:
		f.refuse(w, fault{code: "InvalidRoute.NotFound", message: "no route with destination-cidr-block " + d + " in route table " + id, status: 400})
	case action != "DeleteRoute" && !strings.HasPrefix(eni, "eni-"):
		f.refuse(w, fault{code: "InvalidNetworkInterfaceID.NotFound", message: "The networkInterface ID '" + eni + "' does not exist", status: 400})
	default:
		before := f.without()
		for range f.lag {
			f.stale = append(f.stale, before)
		}
		if action == "DeleteRoute" {
			delete(t.routes, d)
		} else {
			t.routes[d] = via(eni)
		}
		f.writes = append(f.writes, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", action, id, d, eni)))
		if f.lose--; f.lose >= 0 {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(w, `<%sResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>req-write</requestId><return>true</return></%[1]sResponse>`, action)
	}
}

func (f *fakeAWS) refuse(w http.ResponseWriter, e fault) {
	w.WriteHeader(e.status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors><RequestID>req-0815</RequestID></Response>`, e.code, html.EscapeString(e.message))
}
