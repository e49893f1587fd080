package cloudroutes_test

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/fakecloud/aws"
	"github.com/wgmesh/router/internal/fakecloud/rig"
)

// fakeAWS is the stand-in with the options that lead to it.
type fakeAWS struct{ *aws.Cloud }

func newAWS(t *testing.T) *fakeAWS { return &fakeAWS{aws.Start(t)} }

// Routes as EC2 shows them.
const (
	transit = `<transitGatewayId>tgw-1</transitGatewayId><origin>CreateRoute</origin><state>active</state>` +
		`<fieldOfTomorrow>x</fieldOfTomorrow>`
	blackhole = `<networkInterfaceId>eni-gone</networkInterfaceId><origin>CreateRoute</origin><state>blackhole</state>`
)

// router are the options on the router itself, against the stand-in.
func (f *fakeAWS) router() options {
	return options{
		"mesh": "example", "tables": []string{"rtb-a", "rtb-b"}, "prefixes": []string{"10.0.0.0/16", "2001:db8::/32"},
		"api_endpoint": f.EC2.URL, "metadata_endpoint": f.IMDS.URL, "timeout": 120,
	}
}

// one are those for a single route.
func (f *fakeAWS) one() options {
	return f.router().And(options{"tables": []string{"rtb-a"}, "prefixes": []string{"10.0.0.0/16"}})
}

// control are the options on a control node, for another router.
func (f *fakeAWS) control(t *testing.T) options {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	return f.one().And(options{"via": "eni-them", "region": "cn-north-1"})
}

func TestAWSFromNothing(t *testing.T) {
	f := newAWS(t)
	before := f.Without()
	result := task.Succeeds(t, f.router())
	assert.Subset(t, result, options{"changed": true, "verified": true, "cloud": "aws", "via": "eni-us"})
	assert.Equal(t, []any{
		"rtb-a: 10.0.0.0/16: goes to eni-us now", "rtb-a: 2001:db8::/32: goes to eni-us now",
		"rtb-b: 10.0.0.0/16: goes to eni-us now", "rtb-b: 2001:db8::/32: goes to eni-us now",
	}, result["done"])
	assert.Equal(t, map[string]any{"table": "rtb-a", "prefix": "10.0.0.0/16", "via": "eni-us"},
		result["routes"].([]any)[0])
	assert.Len(t, result["routes"], 4)
	assert.Equal(t, before, f.Without("10.0.0.0/16", "2001:db8::/32"), "other routes are as they were")
	assert.Zero(t, f.Bare, "metadata requests without a token")

	task.Unchanged(t, f.router())
	assert.Len(t, f.Writes, 4)

	result = task.Succeeds(t, f.router().And(absent))
	assert.Contains(t, result["done"], "rtb-a: 10.0.0.0/16: no longer goes to eni-us")
	assert.Equal(t, []any{}, result["routes"])
	assert.Equal(t, before, f.Tables)
	task.Unchanged(t, f.router().And(absent))
}

// A route that is there is replaced, so that there is no moment without one.
func TestAWSTakesOver(t *testing.T) {
	for name, there := range map[string]string{
		"another router's": aws.Via("eni-them"),
		"a black hole":     blackhole, "a black hole without a target": `<state>blackhole</state>`,
	} {
		t.Run(name, func(t *testing.T) {
			f := newAWS(t)
			f.Tables["rtb-a"].Routes["10.0.0.0/16"] = there
			before := f.Without("10.0.0.0/16")
			assert.Equal(t, true, task.Succeeds(t, f.one())["verified"])
			assert.Equal(t, []string{"ReplaceRoute rtb-a 10.0.0.0/16 eni-us"}, f.Writes)
			assert.Equal(t, before, f.Without("10.0.0.0/16"))
			task.Unchanged(t, f.one())
		})
	}
}

func TestAWSOurOwnBlackHole(t *testing.T) {
	f := newAWS(t)
	f.Tables["rtb-a"].Routes["10.0.0.0/16"] = `<networkInterfaceId>eni-us</networkInterfaceId><state>blackhole</state>`
	result := task.Succeeds(t, f.one())
	assert.Equal(t, false, result["changed"])
	assert.Equal(t, []any{"rtb-a: 10.0.0.0/16: the route to eni-us carries nothing: blackhole"}, result["warnings"])
}

func TestAWSFromTheControlNode(t *testing.T) {
	f := newAWS(t)
	assert.Equal(t, true, task.Succeeds(t, f.control(t))["verified"])
	assert.Equal(t, []string{"CreateRoute rtb-a 10.0.0.0/16 eni-them"}, f.Writes)
	assert.Zero(t, f.Session, "the role of the machine it runs on was not asked for")
}

func TestAWSSomebodyElsesRoute(t *testing.T) {
	for what, xml := range map[string]string{
		"the transit gateway tgw-1": transit,
		"the peering pcx-1":         `<vpcPeeringConnectionId>pcx-1</vpcPeeringConnectionId><state>blackhole</state>`,
		"the NAT gateway nat-1":     `<natGatewayId>nat-1</natGatewayId><state>active</state>`,
		"the gateway local":         aws.Local,
		"the gateway vpce-1":        `<gatewayId>vpce-1</gatewayId><state>active</state>`,
		"the virtual private gateway vgw-1, which has propagated it": aws.Propagated,
		"where a VPC route server has pointed it": aws.Via(
			"eni-x")[:len(aws.Via("eni-x"))-len("<origin>CreateRoute</origin><state>active</state>")] +
			`<origin>Advertisement</origin><state>active</state>`,
		"what this module does not know": `<thingOfTomorrow>x-1</thingOfTomorrow><state>active</state>`,
	} {
		t.Run(what, func(t *testing.T) {
			f := newAWS(t)
			f.Tables["rtb-a"].Routes["10.0.0.0/16"] = xml
			before := f.Without()
			msg := task.FailsUnchanged(t, f.router()) // although the others could be set
			assert.Equal(t,
				"rtb-a: 10.0.0.0/16: it goes to "+what+
					": remove that route where it is made, or take the prefix out of `prefixes`", msg)
			task.Unchanged(t, f.one().And(absent))
			assert.Equal(t, before, f.Tables)
			assert.Empty(t, f.Writes)
		})
	}
}

// Of a static route and a propagated one for the same network AWS takes the static one.
func TestAWSPropagatedBeside(t *testing.T) {
	f := newAWS(t)
	f.Tables["rtb-a"].Propagated = []string{"10.0.0.0/16", "10.7.0.0/16"}
	f.Tables["rtb-a"].Routes["10.0.0.0/16"] = aws.Via("eni-them")
	result := task.Succeeds(t, f.one())
	assert.Equal(t, []any{"rtb-a: 10.0.0.0/16: goes to eni-us now, before to eni-them"}, result["done"])
	assert.Equal(t, []string{"ReplaceRoute rtb-a 10.0.0.0/16 eni-us"}, f.Writes)
	task.Unchanged(t, f.one())

	f.Tables["rtb-a"].Routes["10.0.0.0/16"] = transit
	assert.Contains(t, task.FailsUnchanged(t, f.one()), "it goes to the transit gateway tgw-1")
	delete(f.Tables["rtb-a"].Routes, "10.0.0.0/16")
	assert.Contains(t, task.FailsUnchanged(t, f.one()), "it goes to the virtual private gateway vgw-1")
}

func TestAWSMark(t *testing.T) {
	for id, msg := range map[string]string{
		"rtb-free": "rtb-free: it has no tag wgmesh.router: " +
			"tag it with wgmesh.router=example where the table is made, so that routers may move its routes",
		"rtb-other": `rtb-other: its tag wgmesh.router is "lab", not "example": ` +
			"give this router a table of its own mesh, or correct the tag",
		"rtb-gone": "rtb-a, rtb-gone: ec2:DescribeRouteTables: InvalidRouteTableID.NotFound: The routeTable ID " +
			"'rtb-gone' does not exist (request req-0815); " +
			"check its id, its region and account, and that it was not deleted",
	} {
		t.Run(id, func(t *testing.T) {
			f := newAWS(t)
			for _, state := range []string{"present", "absent"} {
				assert.Equal(t,
					msg, task.Fails(t, f.router().And(options{"tables": []string{"rtb-a", id}, "state": state})))
			}
			assert.Empty(t, f.Writes)
		})
	}
}

// Absent takes away what goes to us, and not what another router has taken over.
func TestAWSAbsent(t *testing.T) {
	f := newAWS(t)
	f.Tables["rtb-a"].Routes["10.0.0.0/16"] = aws.Via("eni-us")
	f.Tables["rtb-b"].Routes["10.0.0.0/16"] = aws.Via("eni-them")
	result := task.Succeeds(t, f.router().And(absent))
	assert.Equal(t, []string{"DeleteRoute rtb-a 10.0.0.0/16"}, f.Writes)
	assert.Equal(t,
		[]any{map[string]any{"table": "rtb-b", "prefix": "10.0.0.0/16", "via": "eni-them"}}, result["routes"])
}

func TestAWSCheckMode(t *testing.T) {
	f := newAWS(t)
	f.Tables["rtb-b"].Routes["10.0.0.0/16"] = aws.Via("eni-them")
	before := f.Without()
	o := f.router().And(check).And(options{"_ansible_diff": true})
	result := task.Succeeds(t, o)
	assert.Subset(t, result, options{"changed": true, "verified": false})
	assert.NotContains(t, result, "warnings")
	assert.Contains(t, result["diff"].(map[string]any)["after"], "via: eni-us")
	assert.Contains(t, result["diff"].(map[string]any)["before"], "via: eni-them")
	for _, action := range []string{"CreateRoute", "ReplaceRoute"} {
		f.Refuse(action, 403, "UnauthorizedOperation",
			"You are not authorized to perform this operation. Encoded authorization failure message: AAAA")
	}
	warnings := task.Succeeds(t, o)["warnings"]
	assert.Len(t, warnings, 3, "one for each table and what is missing there")
	assert.Contains(t, warnings,
		"rtb-b: 10.0.0.0/16: ec2:ReplaceRoute: UnauthorizedOperation: "+
			"You are not authorized to perform this operation (request req-0815); "+
			"the permission ec2:ReplaceRoute is missing: allow it in the policy of the role or user")
	assert.Equal(t, before, f.Tables)
	assert.Empty(t, f.Writes)
}

func TestAWSWaitsForTheRead(t *testing.T) {
	f := newAWS(t)
	f.Lag = 3
	result := task.Succeeds(t, f.one())
	assert.Equal(t, true, result["verified"])
	assert.Len(t, f.Writes, 1)
	assert.Equal(t, 1+3+1+1, f.Reads, "one before, three that were old, one that agreed, one for the result")
}

// What others do between our read and our write.
func TestAWSLostRace(t *testing.T) {
	once := func(f *fakeAWS, do func()) func() { return func() { do(); f.OnRead = nil } }
	t.Run("another router makes the route", func(t *testing.T) {
		f := newAWS(t)
		f.OnRead = once(f, func() { f.Tables["rtb-a"].Routes["10.0.0.0/16"] = aws.Via("eni-them") })
		result := task.Succeeds(t, f.one())
		assert.Equal(t, []string{"ReplaceRoute rtb-a 10.0.0.0/16 eni-us"}, f.Writes)
		assert.Equal(t, []any{"rtb-a: 10.0.0.0/16: goes to eni-us now, before to eni-them"}, result["done"])
	})
	t.Run("somebody deletes it", func(t *testing.T) {
		f := newAWS(t)
		f.Tables["rtb-a"].Routes["10.0.0.0/16"] = aws.Via("eni-them")
		f.OnRead = once(f, func() { delete(f.Tables["rtb-a"].Routes, "10.0.0.0/16") })
		assert.Equal(t, true, task.Succeeds(t, f.one())["verified"])
		assert.Equal(t, []string{"CreateRoute rtb-a 10.0.0.0/16 eni-us"}, f.Writes)
	})
	t.Run("somebody deletes what we delete", func(t *testing.T) {
		f := newAWS(t)
		f.Tables["rtb-a"].Routes["10.0.0.0/16"] = aws.Via("eni-us")
		f.OnRead = once(f, func() { delete(f.Tables["rtb-a"].Routes, "10.0.0.0/16") })
		result := task.Succeeds(t, f.one().And(absent))
		assert.Equal(t, true, result["verified"])
		assert.Empty(t, f.Writes)
	})
	t.Run("a peering is put in", func(t *testing.T) {
		f := newAWS(t)
		f.OnRead = once(f, func() { f.Tables["rtb-a"].Routes["10.0.0.0/16"] = transit })
		assert.Contains(t, task.FailsUnchanged(t, f.one()), "it goes to the transit gateway tgw-1")
		assert.Empty(t, f.Writes)
	})
	t.Run("the partner takes it back", func(t *testing.T) {
		f := newAWS(t)
		f.OnRead = func() {
			if len(f.Writes) > 0 {
				f.Tables["rtb-a"].Routes["10.0.0.0/16"] = aws.Via("eni-them")
			}
		}
		f.Lag = 1
		assert.Equal(t,
			"rtb-a: 10.0.0.0/16: was set and does not read so: it goes to eni-them; find what else sets it; "+
				"still so when `timeout` was over",
			task.FailsChanged(t, f.one().And(options{"timeout": 2})))
		assert.Len(t, f.Writes, 1, "it is not fought for")
	})
	t.Run("without end", func(t *testing.T) {
		f := newAWS(t)
		f.Tables["rtb-a"].Routes["10.0.0.0/16"] = aws.Via("eni-them")
		f.Refuse("ReplaceRoute", 400, "InvalidRoute.NotFound", "gone")
		assert.Contains(t, task.Fails(t, f.one()),
			"rtb-a: 10.0.0.0/16: ec2:ReplaceRoute: InvalidRoute.NotFound: gone (request req-0815); "+
				"lost against another writer 8 times")
	})
}

func TestAWSThrottling(t *testing.T) {
	slow := aws.Fault{Code: "RequestLimitExceeded", Message: "Request limit exceeded.", Status: 503}
	f := newAWS(t)
	f.Faults["DescribeRouteTables"] = slices.Repeat([]aws.Fault{slow}, 12)
	f.Faults["CreateRoute"] = slices.Repeat([]aws.Fault{slow}, 12)
	assert.Equal(t, true, task.Succeeds(t, f.one())["verified"])

	f = newAWS(t)
	slow.Forever = true
	f.Faults["CreateRoute"] = []aws.Fault{slow}
	// Whether something changed is not asked: the time may be over while a request is
	// under way, which may have been done.
	assert.Equal(t,
		"rtb-a: 10.0.0.0/16: ec2:CreateRoute: RequestLimitExceeded: Request limit exceeded (request req-0815); "+
			"still so when `timeout` was over",
		task.Fails(t, f.one().And(options{"timeout": 2})))
}

func TestAWSExpiredCredentials(t *testing.T) {
	f := newAWS(t)
	f.Valid = 2
	assert.Equal(t, true, task.Succeeds(t, f.one())["verified"])
	assert.Equal(t, 2, f.Session)

	f = newAWS(t)
	f.Refuse("DescribeRouteTables", 400, "RequestExpired", "Request has expired.")
	assert.Contains(t, task.Fails(t, f.control(t)),
		"rtb-a: ec2:DescribeRouteTables: RequestExpired: Request has expired (request req-0815); "+
			"the credentials have expired")
}

func TestAWSMissingPermission(t *testing.T) {
	deny := func(f *fakeAWS, action string) {
		f.Refuse(action, 403, "UnauthorizedOperation", "You are not authorized to perform this operation.")
	}
	t.Run("to read", func(t *testing.T) {
		f := newAWS(t)
		deny(f, "DescribeRouteTables")
		assert.Contains(t, task.Fails(t, f.one()), "the permission ec2:DescribeRouteTables is missing")
	})
	t.Run("to write some", func(t *testing.T) {
		f := newAWS(t)
		f.Faults["CreateRoute"] = []aws.Fault{{}}
		deny(f, "CreateRoute")
		f.Tables["rtb-b"].Routes["10.0.0.0/16"] = aws.Via("eni-them")
		result := task.Run(t, f.router())
		assert.Equal(t, true, result["failed"])
		assert.Contains(t, result["msg"], "rtb-a: 2001:db8::/32: ec2:CreateRoute: UnauthorizedOperation")
		assert.Contains(t, result["msg"], "the permission ec2:CreateRoute is missing")
		assert.Subset(t, result, options{"changed": true, "verified": false})
		assert.Equal(t,
			[]any{
				"rtb-a: 10.0.0.0/16: goes to eni-us now",
				"rtb-b: 10.0.0.0/16: goes to eni-us now, before to eni-them",
			}, result["done"],
			"what can be taken is taken")
	})
	// One cause is said once for each table, and asked for once.
	t.Run("with many networks", func(t *testing.T) {
		f := newAWS(t)
		deny(f, "CreateRoute")
		calls := 0
		f.OnCall = func(_ aws.Machine, q url.Values) {
			if q.Get("Action") == "CreateRoute" {
				calls++
			}
		}
		var prefixes []string
		for n := range 30 {
			prefixes = append(prefixes, fmt.Sprintf("10.%d.0.0/16", 100+n))
		}
		o := f.router().And(options{"prefixes": prefixes})
		assert.Len(t, task.Succeeds(t, o.And(check))["warnings"], 2)
		assert.Equal(t, 2, calls)
		lines := strings.Split(strings.ReplaceAll(task.FailsUnchanged(t, o), "2 problems: (1) ", ""), "; (2) ")
		assert.Equal(t, 4, calls)
		for i, table := range []string{"rtb-a", "rtb-b"} {
			assert.Contains(t, lines[i], table+": 10.100.0.0/16 and 29 more: ec2:CreateRoute: UnauthorizedOperation")
		}
	})
	t.Run("no role at all", func(t *testing.T) {
		f := newAWS(t)
		f.NoRole = true
		assert.Contains(t, task.Fails(t, f.one()),
			"the instance has no role to act with: "+
				"attach an instance profile whose role allows ec2:DescribeRouteTables")
	})
}

func TestAWSVanishes(t *testing.T) {
	t.Run("the table, before the write", func(t *testing.T) {
		f := newAWS(t)
		f.OnRead = func() { maps.DeleteFunc(f.Tables, func(string, *aws.Table) bool { return true }) }
		assert.Contains(t, task.FailsUnchanged(t, f.one()),
			"rtb-a: 10.0.0.0/16: ec2:CreateRoute: InvalidRouteTableID.NotFound: "+
				"The routeTable ID 'rtb-a' does not exist (request req-0815); check its id, its region")
	})
	t.Run("the table, after the write", func(t *testing.T) {
		f := newAWS(t)
		f.OnRead = func() {
			if len(f.Writes) > 0 {
				f.Tables = nil
			}
		}
		f.Lag = 1
		assert.Contains(t, task.FailsChanged(t, f.one()),
			"rtb-a: ec2:DescribeRouteTables: InvalidRouteTableID.NotFound")
	})
	t.Run("the interface", func(t *testing.T) {
		f := newAWS(t)
		f.Refuse("CreateRoute", 400, "InvalidNetworkInterfaceID.NotFound",
			"The networkInterface ID 'eni-us' does not exist")
		assert.Contains(t, task.Fails(t, f.one()),
			"InvalidNetworkInterfaceID.NotFound: "+
				"The networkInterface ID 'eni-us' does not exist (request req-0815); check ")
	})
	t.Run("room in the table", func(t *testing.T) {
		f := newAWS(t)
		f.Refuse("CreateRoute", 400, "RouteLimitExceeded", "The maximum number of routes has been reached.")
		assert.Contains(t, task.Fails(t, f.one()),
			"RouteLimitExceeded: The maximum number of routes has been reached (request req-0815); the table is full")
	})
}

func TestDefaultAddressesAreRefused(t *testing.T) {
	f := newAWS(t)
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "")
	o := f.one()
	delete(o, "metadata_endpoint")
	assert.Contains(t, task.Fails(t, o), "169.254.169.254: a test reaches loopback only")

	o = f.control(t)
	delete(o, "api_endpoint")
	assert.Contains(t, task.Fails(t, o), "ec2.cn-north-1.amazonaws.com.cn: a test reaches loopback only")
}

func TestOptions(t *testing.T) {
	least := options{"mesh": "example", "tables": []string{"rtb-a"}, "prefixes": []string{"10.0.0.0/16"}}
	for name, tt := range map[string]struct {
		o   options
		msg string
	}{
		"nothing": {
			options{"mesh": "", "tables": []string{}, "prefixes": []string{}},
			"3 problems: (1) mesh: required option is missing; (2) prefixes: required option is missing; " +
				"(3) tables: required option is missing",
		},
		"cloud": {options{"cloud": "oracle"}, "cloud: expected one of auto, aws, azure, gcp"},
		"state": {options{"state": "gone"}, "state: expected one of present, absent"},
		"mesh": {
			options{"mesh": "My Mesh"},
			`mesh: expected up to 28 small letters, digits and hyphens, got "My Mesh"`,
		},
		"bits": {
			options{"prefixes": []string{"10.0.0.1/16"}},
			"prefixes[0]: expected a network, got 10.0.0.1/16, which has bits beyond its length; " +
				"did you mean 10.0.0.0/16?",
		},
		"no prefix": {options{"prefixes": []string{"office"}}, "prefixes[0]: "},
		"no table": {
			options{"tables": []string{"rtb-a", ""}},
			"tables[1]: expected the id of a route table, got nothing",
		},
		"timeout":            {options{"timeout": 0}, "timeout: expected 1 second or more, got 0"},
		"endpoint":           {options{"api_endpoint": "ec2.local"}, `api_endpoint: expected a URL, got "ec2.local"`},
		"priority":           {options{"priority": 65536}, "priority: expected a number from 0 to 65535, got 65536"},
		"region alone":       {options{"region": "eu-west-1"}, "region: goes with via"},
		"another cloud's":    {options{"priority": 900}, "priority: goes with cloud: gcp, got cloud: aws"},
		"unknown":            {options{"prefix": "10.0.0.0/16"}, "prefix: unknown option"},
		"no cloud's machine": {options{"tables": []string{"default"}}, "cloud: this machine's firmware says nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Contains(t, task.Fails(t, least.And(tt.o)), tt.msg)
		})
	}
}

func TestAutoGoesByTheFirmware(t *testing.T) {
	f := newAWS(t)
	result := task.On(t, rig.DMI(map[string]string{"sys_vendor": "Amazon EC2"}),
		f.one().And(options{"tables": []string{"mesh"}}))
	require.Equal(t, true, result["failed"])
	assert.Contains(t, result["msg"], "mesh: ec2:DescribeRouteTables: InvalidRouteTableID.NotFound")
}
