package cloudforwarding_test

import (
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeAWS stands in for one region of EC2 and the metadata service of the
// instance i-router. It is built from AWS's documentation (EC2 API reference:
// DescribeNetworkInterfaces, ModifyNetworkInterfaceAttribute, error codes, query
// requests; EC2 user guide: instance metadata version 2) and does what moto does
// not: it throttles, lets credentials expire, is only eventually consistent and
// loses instances. Signatures are moto's part, see aws_integration_test.go.
type fakeAWS struct {
	ec2, imds *httptest.Server

	region  string
	mu      sync.Mutex
	enis    []*eni
	faults  map[string][]fault // by action, in order; the last one stays when it is forever
	lag     int                // reads that still show the old value after a write
	session int                // of the role's credentials
	valid   int                // the oldest session that is accepted
	norole  bool
	writes  []string // what was written, dry runs not
	reads   int
	bare    int  // metadata requests without a token
	lose    loss // answers that get lost, from the first write on
	onWrite func()
}

type eni struct {
	id, instance string
	index        int
	managed      bool
	check        bool // the source/destination check: true is no forwarding
	shown        []bool
}

type fault struct {
	code, message string
	status        int
	forever       bool
}

func newAWS(t *testing.T) *fakeAWS {
	f := &fakeAWS{region: "cn-north-1", faults: map[string][]fault{}, enis: []*eni{
		{id: "eni-0a", instance: "i-router", check: true},
		{id: "eni-0b", instance: "i-router", index: 1, check: true},
		{id: "eni-0c", instance: "i-router", index: 2, managed: true, check: true},
		{id: "eni-0f", instance: "i-other", check: true},
	}}
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

func (f *fakeAWS) checks() map[string]bool {
	out := map[string]bool{}
	for _, e := range f.enis {
		out[e.id] = e.check
	}
	return out
}

func (f *fakeAWS) serveIMDS(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	const token = "imds-token"
	if r.Header.Get("X-Forwarded-For") != "" {
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
		f.bare++
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/latest/meta-data/")
	switch {
	case path == "instance-id":
		fmt.Fprint(w, "i-router")
	case path == "placement/region":
		fmt.Fprint(w, f.region)
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
	if len(f.writes) > 0 {
		f.lose.take(w)
	}
	if err := r.ParseForm(); err != nil || r.Method != http.MethodPost || r.Form.Get("Version") != "2016-11-15" {
		f.refuse(w, fault{code: "InvalidRequest", status: 400})
		return
	}
	var session int
	if _, err := fmt.Sscanf(r.Header.Get("X-Amz-Security-Token"), "session-%d", &session); err == nil && session < f.valid {
		f.refuse(w, fault{code: "RequestExpired", message: "Request has expired.", status: 400})
		return
	}
	if !strings.Contains(r.Header.Get("Authorization"), "/"+f.region+"/ec2/aws4_request") {
		f.refuse(w, fault{code: "AuthFailure", message: "AWS was not able to validate the provided access credentials", status: 401})
		return
	}
	action, dry := r.Form.Get("Action"), r.Form.Get("DryRun") == "true"
	if queue := f.faults[action]; len(queue) > 0 {
		if !queue[0].forever {
			f.faults[action] = queue[1:]
		}
		if queue[0].code != "" {
			f.refuse(w, queue[0])
			return
		}
	}
	switch action {
	case "DescribeNetworkInterfaces":
		f.describe(w, r)
	case "ModifyNetworkInterfaceAttribute":
		f.modify(w, r, dry)
	default: // ModifyInstanceAttribute above all: EC2 refuses it with several interfaces
		f.refuse(w, fault{code: "InvalidAction", message: action, status: 400})
	}
}

func (f *fakeAWS) describe(w http.ResponseWriter, r *http.Request) {
	f.reads++
	fmt.Fprint(w, `<DescribeNetworkInterfacesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>req-describe</requestId><networkInterfaceSet>`)
	for _, e := range f.enis {
		byID := r.Form.Get("NetworkInterfaceId.1") == e.id
		byInstance := r.Form.Get("Filter.1.Name") == "attachment.instance-id" && r.Form.Get("Filter.1.Value.1") == e.instance
		if !byID && !byInstance {
			continue
		}
		shown := e.check
		if len(e.shown) > 0 {
			shown, e.shown = e.shown[0], e.shown[1:]
		}
		fmt.Fprintf(w, `<item><networkInterfaceId>%s</networkInterfaceId><fieldOfTomorrow>x</fieldOfTomorrow><requesterManaged>%t</requesterManaged><sourceDestCheck>%t</sourceDestCheck>`+
			`<attachment><instanceId>%s</instanceId><deviceIndex>%d</deviceIndex><networkCardIndex>0</networkCardIndex><status>attached</status></attachment></item>`,
			e.id, e.managed, shown, e.instance, e.index)
	}
	fmt.Fprint(w, `</networkInterfaceSet></DescribeNetworkInterfacesResponse>`)
}

func (f *fakeAWS) modify(w http.ResponseWriter, r *http.Request, dry bool) {
	i := slices.IndexFunc(f.enis, func(e *eni) bool { return e.id == r.Form.Get("NetworkInterfaceId") })
	check, err := strconv.ParseBool(r.Form.Get("SourceDestCheck.Value"))
	switch {
	case i < 0:
		f.refuse(w, fault{code: "InvalidNetworkInterfaceID.NotFound", message: "The networkInterface ID does not exist", status: 400})
		return
	case err != nil || len(r.Form["SecurityGroupId.1"]) > 0:
		f.refuse(w, fault{code: "InvalidParameterCombination", status: 400})
		return
	case dry:
		f.refuse(w, fault{code: "DryRunOperation", message: "Request would have succeeded, but DryRun flag is set.", status: 412})
		return
	}
	e := f.enis[i]
	for range f.lag {
		e.shown = append(e.shown, e.check)
	}
	e.check = check
	f.writes = append(f.writes, fmt.Sprintf("%s %t", e.id, check))
	if f.onWrite != nil {
		f.onWrite()
	}
	f.lose.take(w)
	fmt.Fprint(w, `<ModifyNetworkInterfaceAttributeResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>req-modify</requestId><return>true</return></ModifyNetworkInterfaceAttributeResponse>`)
}

func (f *fakeAWS) refuse(w http.ResponseWriter, e fault) {
	w.WriteHeader(e.status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors><RequestID>req-0815</RequestID></Response>`, e.code, html.EscapeString(e.message))
}
