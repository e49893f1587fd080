package cloudforwarding_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/fakecloud/aws"
	"github.com/wgmesh/router/internal/fakecloud/rig"
)

// fakeAWS is the stand-in with the options that lead to it.
type fakeAWS struct{ *aws.Cloud }

func newAWS(t *testing.T) *fakeAWS { return &fakeAWS{aws.Start(t)} }

// router are the options on the router itself, against the stand-in.
func (f *fakeAWS) router() options {
	return options{"cloud": "aws", "api_endpoint": f.EC2.URL, "metadata_endpoint": f.IMDS.URL, "timeout": 20}
}

// control are the options on a control node.
func (f *fakeAWS) control(t *testing.T) options {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	return f.router().And(options{"cloud": "auto", "instance_id": "i-router", "region": "cn-north-1"})
}

const (
	describe = "DescribeNetworkInterfaces"
	modify   = "ModifyNetworkInterfaceAttribute"
)

func TestAWSOnTheRouter(t *testing.T) {
	f := newAWS(t)
	result := task.Succeeds(t, f.router())
	assert.Subset(t, result, options{
		"changed": true, "verified": true, "restart_required": false, "instance": "i-router in cn-north-1",
	})
	assert.Equal(t, []any{"eni-0a: enabled forwarding", "eni-0b: enabled forwarding"}, result["done"])
	assert.Equal(t, []any{
		map[string]any{"id": "eni-0a", "primary": true, "forwarding": true},
		map[string]any{"id": "eni-0b", "primary": false, "forwarding": true},
	}, result["interfaces"])
	assert.Equal(t,
		map[string]bool{"eni-0a": false, "eni-0b": false, "eni-0c": true, "eni-0f": true},
		f.Checks(), "a managed and a foreign interface are left alone")
	assert.Zero(t, f.Bare, "metadata requests without a token")

	t.Run("again", func(t *testing.T) {
		task.Unchanged(t, f.router())
		assert.Len(t, f.Writes, 2)
	})
	t.Run("and off", func(t *testing.T) {
		result := task.Run(t, f.router().And(options{"state": "disabled"}))
		assert.Equal(t, []any{"eni-0a: disabled forwarding", "eni-0b: disabled forwarding"}, result["done"])
		assert.True(t, f.Checks()["eni-0a"])
	})
}

func TestAWSInterfaces(t *testing.T) {
	for name, tt := range map[string]struct {
		words  []string
		writes []string
		msg    string
	}{
		"primary": {words: []string{"primary"}, writes: []string{"eni-0a false"}},
		"one":     {words: []string{"eni-0b"}, writes: []string{"eni-0b false"}},
		"twice":   {words: []string{"eni-0b", "all"}, writes: []string{"eni-0a false", "eni-0b false"}},
		"a foreign": {
			words: []string{"eni-0a", "eni-0f"},
			msg:   "interfaces: eni-0f is none of i-router in cn-north-1, which has eni-0a, eni-0b",
		},
		"a managed": {
			words: []string{"eni-0c"},
			msg:   "interfaces: eni-0c is none of i-router in cn-north-1, which has eni-0a, eni-0b",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newAWS(t)
			result := task.Run(t, f.router().And(options{"interfaces": tt.words}))
			if tt.msg != "" {
				assert.Equal(t, tt.msg, result["msg"])
			}
			assert.Equal(t, tt.writes, f.Writes)
		})
	}
}

func TestAWSFromTheControlNode(t *testing.T) {
	f := newAWS(t)
	result := task.Succeeds(t, f.control(t))
	assert.Equal(t, "aws", result["cloud"])
	assert.Len(t, f.Writes, 2)
	assert.Zero(t, f.Session, "the role of the machine it runs on was not asked for")
}

func TestAWSCheckMode(t *testing.T) {
	f := newAWS(t)
	result := task.Run(t, f.router().And(check).And(options{"_ansible_diff": true}))
	assert.Subset(t, result, options{"changed": true, "verified": false})
	assert.NotContains(t, result, "warnings")
	assert.Contains(t, result["diff"].(map[string]any)["after"], "forwarding: true")
	assert.Empty(t, f.Writes)

	f.Refuse(modify, 403, "UnauthorizedOperation",
		"You are not authorized to perform this operation. Encoded authorization failure message: AAAA")
	result = task.Run(t, f.router().And(check).And(options{"interfaces": "primary"}))
	assert.Equal(t,
		[]any{"eni-0a: ec2:ModifyNetworkInterfaceAttribute: UnauthorizedOperation: " +
			"You are not authorized to perform this operation (request req-0815); " +
			"the permission ec2:ModifyNetworkInterfaceAttribute is missing: " +
			"allow it in the policy of the role or user"}, result["warnings"])
	assert.Empty(t, f.Writes)
}

func TestAWSWaitsForTheRead(t *testing.T) {
	f := newAWS(t)
	f.Lag = 3
	result := task.Run(t, f.router())
	assert.Equal(t, true, result["verified"])
	assert.Equal(t, 1+2*4, f.Reads)
}

// Another writer takes the change back before it was read.
func TestAWSLostRace(t *testing.T) {
	f := newAWS(t)
	f.OnWrite = func() { f.Interfaces[0].Check = true }
	assert.Equal(t,
		"eni-0a: SourceDestCheck was set to false and still reads true; still so when `timeout` was over",
		task.FailsChanged(t, f.router().And(options{"timeout": 3})))
}

func TestAWSThrottling(t *testing.T) {
	slow := aws.Fault{Code: "RequestLimitExceeded", Message: "Request limit exceeded.", Status: 503}
	t.Run("is waited out", func(t *testing.T) {
		f := newAWS(t)
		f.Faults[describe] = slices.Repeat([]aws.Fault{slow}, 12)
		f.Faults[modify] = slices.Repeat([]aws.Fault{slow}, 12)
		assert.Equal(t, true, task.Run(t, f.router())["verified"])
	})
	t.Run("until timeout", func(t *testing.T) {
		f := newAWS(t)
		slow.Forever = true
		f.Faults[modify] = []aws.Fault{slow}
		// On a busy machine the time may be over while a request is under way, which
		// may have been done. So this asks for no word on whether something changed.
		assert.Equal(t,
			"eni-0a: ec2:ModifyNetworkInterfaceAttribute: RequestLimitExceeded: "+
				"Request limit exceeded (request req-0815); still so when `timeout` was over",
			task.Fails(t, f.router().And(options{"timeout": 3})))
	})
}

func TestAWSExpiredCredentials(t *testing.T) {
	t.Run("of the role are renewed", func(t *testing.T) {
		f := newAWS(t)
		f.Valid = 2
		assert.Equal(t, true, task.Run(t, f.router())["verified"])
		assert.Equal(t, 2, f.Session)
	})
	t.Run("of a person are not", func(t *testing.T) {
		f := newAWS(t)
		f.Refuse(describe, 400, "RequestExpired", "Request has expired.")
		assert.Equal(t,
			"i-router in cn-north-1: ec2:DescribeNetworkInterfaces: RequestExpired: "+
				"Request has expired (request req-0815); "+
				"the credentials have expired: get new ones, such as with aws sso login; "+
				"if they are new, set the clock",
			task.Fails(t, f.control(t)))
	})
}

func TestAWSMissingPermission(t *testing.T) {
	deny := func(f *fakeAWS, action string) {
		f.Refuse(action, 403, "UnauthorizedOperation", "You are not authorized to perform this operation.")
	}
	t.Run("to read", func(t *testing.T) {
		f := newAWS(t)
		deny(f, describe)
		assert.Contains(t, task.Fails(t, f.router()), "the permission ec2:DescribeNetworkInterfaces is missing")
	})
	t.Run("to write the second", func(t *testing.T) {
		f := newAWS(t)
		f.Faults[modify] = []aws.Fault{{}}
		deny(f, modify)
		result := task.Run(t, f.router())
		assert.Contains(t, result["msg"], "eni-0b: ec2:ModifyNetworkInterfaceAttribute: UnauthorizedOperation")
		assert.Subset(t, result, options{"changed": true, "verified": false})
		assert.Equal(t, []any{"eni-0a: enabled forwarding"}, result["done"])
	})
	t.Run("no role at all", func(t *testing.T) {
		f := newAWS(t)
		f.NoRole = true
		assert.Contains(t, task.Fails(t, f.router()), "the instance has no role to act with")
	})
}

func TestAWSBrokenService(t *testing.T) {
	f := newAWS(t)
	f.Faults[describe] = slices.Repeat([]aws.Fault{{Code: "InternalError", Status: 500}}, 3)
	assert.Equal(t, true, task.Run(t, f.router())["verified"])

	f.EC2.Close()
	assert.Contains(t, task.Fails(t, f.router()), "connection refused")
}

// The write is done, and then the service fails for good: it was changed.
func TestAWSFailsLate(t *testing.T) {
	f := newAWS(t)
	f.Faults[describe] = []aws.Fault{{}}
	f.Refuse(describe, 500, "InternalError", "An internal error has occurred")
	result := task.Run(t, f.router())
	assert.Equal(t,
		"eni-0a: ec2:DescribeNetworkInterfaces: InternalError: An internal error has occurred (request req-0815)",
		result["msg"])
	assert.Subset(t, result, options{"changed": true, "verified": false})
	assert.Equal(t, []any{"eni-0a: enabled forwarding"}, result["done"])
}

func TestAWSVanishedInstance(t *testing.T) {
	t.Run("before", func(t *testing.T) {
		f := newAWS(t)
		f.Interfaces = nil
		assert.Equal(t,
			"i-router in cn-north-1: no network interface is attached to it; "+
				"check its id, its region and account, and that it was not terminated",
			task.Fails(t, f.router()))
	})
	t.Run("after the write", func(t *testing.T) {
		f := newAWS(t)
		f.OnWrite = func() { f.Interfaces[0].Instance = "" }
		assert.Equal(t,
			"eni-0a: it is no longer attached to i-router in cn-north-1; run again when the instance has settled",
			task.FailsChanged(t, f.router()))
	})
	t.Run("for good", func(t *testing.T) {
		f := newAWS(t)
		f.Refuse(modify, 400, "InvalidNetworkInterfaceID.NotFound", "The networkInterface ID 'eni-0a' does not exist")
		assert.Contains(t, task.FailsUnchanged(t, f.router()),
			"InvalidNetworkInterfaceID.NotFound: "+
				"The networkInterface ID 'eni-0a' does not exist (request req-0815); check ")
	})
}

// A test that forgets to override an address reaches nobody: the default ones
// are refused before a packet is sent.
func TestDefaultAddressesAreRefused(t *testing.T) {
	f := newAWS(t)
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "")
	o := f.router()
	delete(o, "metadata_endpoint")
	msg := task.Fails(t, o)
	assert.Contains(t, msg, "169.254.169.254: a test reaches loopback only")

	o = f.control(t)
	delete(o, "api_endpoint")
	for region, host := range map[string]string{
		"eu-central-1": "ec2.eu-central-1.amazonaws.com", "cn-north-1": "ec2.cn-north-1.amazonaws.com.cn",
		"us-gov-west-1": "ec2.us-gov-west-1.amazonaws.com", "eusc-de-east-1": "ec2.eusc-de-east-1.amazonaws.eu",
	} {
		assert.Contains(t, task.Fails(t, o.And(options{"region": region})), host+": a test reaches loopback only")
	}
}

func TestOptions(t *testing.T) {
	for name, tt := range map[string]struct {
		o   options
		msg string
	}{
		"cloud":              {options{"cloud": "oracle"}, "cloud: expected one of auto, aws, azure, gcp"},
		"state":              {options{"state": "on"}, "state: expected one of enabled, disabled"},
		"interfaces":         {options{"interfaces": []string{}}, "interfaces: required option is missing"},
		"timeout":            {options{"timeout": 0}, "timeout: expected 1 second or more, got 0"},
		"endpoint":           {options{"api_endpoint": "ec2.local"}, `api_endpoint: expected a URL, got "ec2.local"`},
		"region alone":       {options{"region": "eu-west-1"}, "region: goes with instance_id"},
		"unknown":            {options{"instance": "i-1"}, "instance: unknown option"},
		"no cloud's machine": {options{}, "cloud: this machine's firmware says nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Contains(t, task.Fails(t, tt.o), tt.msg)
		})
	}
}

func TestAutoGoesByTheFirmware(t *testing.T) {
	f := newAWS(t)
	o := f.router()
	delete(o, "cloud")
	result := task.On(t, rig.DMI(map[string]string{"sys_vendor": "Amazon EC2", "product_name": "t3.micro"}), o)
	assert.Equal(t, "aws", result["cloud"], "%v", result["msg"])
}
