package cloudroutes_test

import (
	"net/url"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/fakecloud"
	"github.com/wgmesh/router/internal/fakecloud/aws"
	"github.com/wgmesh/router/internal/fakecloud/rig"
	cloudroutes "github.com/wgmesh/router/modules/cloud_routes"
	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/cloud"
)

// lists has the tables send prefix lists somewhere, and counts how often which is read.
func (f *fakeAWS) lists(to string, entries map[string][]string) map[string]int {
	read := map[string]int{}
	f.Lists = entries
	for id := range entries {
		f.Tables["rtb-a"].Routes[id], f.Tables["rtb-b"].Routes[id] = to, to
	}
	f.OnCall = func(_ aws.Machine, q url.Values) {
		if q.Get("Action") == "GetManagedPrefixListEntries" {
			read[q.Get("PrefixListId")]++
		}
	}
	return read
}

// sends is the warning about rtb-a's list pl-2.
func sends(what, to string) []any {
	return []any{"rtb-a: the prefix list pl-2 sends " + what + " to " + to + ", before our route and also when that " +
		"moves: AWS takes the more specific one; take such entries out of the list"}
}

// An entry is a route: a more specific one goes before ours, and an equal one after it.
func TestAWSPrefixList(t *testing.T) {
	for name, tt := range map[string]struct {
		to       string
		entries  []string
		warnings []any
	}{
		"a part": {
			transit,
			[]string{"10.0.3.0/24", "10.9.0.0/16"},
			sends("10.0.3.0/24 of 10.0.0.0/16", "the transit gateway tgw-1"),
		},
		"a part with IPv6": {
			transit,
			[]string{"2001:db8:7::/48"},
			sends("2001:db8:7::/48 of 2001:db8::/32", "the transit gateway tgw-1"),
		},
		"parts on three pages": {
			transit,
			[]string{"10.0.5.0/24", "10.9.0.0/16", "10.0.4.0/24", "10.0.6.0/24", "10.0.3.0/24"},
			sends("10.0.3.0/24 of 10.0.0.0/16 and 3 more", "the transit gateway tgw-1"),
		},
		"to a router": {aws.Via("eni-us"), []string{"10.0.3.0/24"}, sends("10.0.3.0/24 of 10.0.0.0/16", "eni-us")},
		"to nobody": {
			blackhole, []string{"10.0.3.0/24"}, sends("10.0.3.0/24 of 10.0.0.0/16", "eni-gone (blackhole)"),
		},
		"the same network":     {transit, []string{"10.0.0.0/16", "2001:db8::/32"}, nil},
		"the same in a larger": {transit, []string{"10.0.128.0/17"}, nil},
		"a larger one":         {transit, []string{"10.0.0.0/12", "0.0.0.0/0"}, nil},
		"another's":            {transit, []string{"10.9.0.0/16", "10.9.3.0/24"}, nil},
		"after a static route": {transit, []string{"10.0.77.0/24"}, nil},
		"of no entries":        {transit, []string{}, nil},
		"of a gateway endpoint, which is not read": {aws.Gateway, []string{"10.0.3.0/24"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := newAWS(t)
			read := f.lists(tt.to, map[string][]string{"pl-2": tt.entries})
			f.Tables["rtb-a"].Routes["10.0.77.0/24"] = transit
			o := f.one().And(options{"prefixes": []string{"10.0.0.0/16", "10.0.128.0/17", "2001:db8::/32"}})
			for _, each := range []options{o.And(check), o, o} {
				result := task.Succeeds(t, each)
				if tt.warnings == nil {
					assert.NotContains(t, result, "warnings")
				} else {
					assert.Equal(t, tt.warnings, result["warnings"])
				}
			}
			assert.Len(t, f.Writes, 3)
			pages := 3 * max(1, (len(tt.entries)+1)/2)
			if tt.to == aws.Gateway {
				pages = 0
			}
			assert.Equal(t, pages, read["pl-2"], "once in each run, not at each read of the tables")
			assert.Zero(t, read["pl-1"])
			task.Succeeds(t, o.And(absent))
			assert.Equal(t, pages, read["pl-2"], "nor to take routes away")
		})
	}
}

// What a virtual private gateway propagates comes after a prefix list.
func TestAWSPrefixListBeforePropagated(t *testing.T) {
	f := newAWS(t)
	f.lists(transit, map[string][]string{"pl-2": {"10.0.3.0/24"}})
	f.Tables["rtb-a"].Propagated = []string{"10.0.3.0/24"}
	assert.Equal(t, sends("10.0.3.0/24 of 10.0.0.0/16", "the transit gateway tgw-1"),
		task.Succeeds(t, f.one())["warnings"])
}

// A list of several tables is read once, and said for each; also where a prefix is refused.
func TestAWSPrefixListOfTwoTables(t *testing.T) {
	f := newAWS(t)
	read := f.lists(transit, map[string][]string{"pl-3": {"10.0.4.0/24"}, "pl-2": {"10.0.3.0/24"}})
	f.Tables["rtb-b"].Routes["10.0.0.0/16"] = transit
	result := task.Run(t, f.router())
	assert.Equal(t, true, result["failed"])
	assert.Equal(t, map[string]int{"pl-2": 1, "pl-3": 1}, read)
	var begin []string
	for _, w := range result["warnings"].([]any) {
		begin = append(begin, w.(string)[:len("rtb-a: the prefix list pl-2")])
	}
	assert.Equal(t, []string{
		"rtb-a: the prefix list pl-2", "rtb-a: the prefix list pl-3",
		"rtb-b: the prefix list pl-2", "rtb-b: the prefix list pl-3",
	}, begin)
}

// What cannot be read is said once, and in the same words each time, and fails nothing.
func TestAWSUnreadPrefixList(t *testing.T) {
	const unread = "rtb-a: prefix lists such as pl-2, which may hold parts of `prefixes`, are not looked into: " +
		"ec2:GetManagedPrefixListEntries: "
	for name, tt := range map[string]struct {
		fault aws.Fault
		said  string
		calls int
	}{
		"a missing permission": {
			aws.Fault{
				Code: "UnauthorizedOperation", Message: "You are not authorized to perform this operation.",
				Status: 403, Forever: true,
			},
			"UnauthorizedOperation: You are not authorized to perform this operation; the permission " +
				"ec2:GetManagedPrefixListEntries is missing: allow it in the policy of the role or user", 1,
		},
		"throttled": { // not waited for until the time is over
			aws.Fault{Code: "RequestLimitExceeded", Message: "Request limit exceeded.", Status: 503, Forever: true},
			"RequestLimitExceeded: Request limit exceeded (request req-0815)", 4,
		},
		"gone": {
			aws.Fault{}, "InvalidPrefixListID.NotFound: The prefix list ID 'pl-2' does not exist (request req-0815)", 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newAWS(t)
			read := f.lists(transit, map[string][]string{"pl-2": {"10.0.3.0/24"}, "pl-3": {"10.0.3.0/24"}})
			f.Faults["GetManagedPrefixListEntries"] = []aws.Fault{tt.fault}
			delete(f.Lists, "pl-2")
			result := task.Succeeds(t, f.router())
			assert.Equal(t, true, result["verified"])
			assert.Equal(t, []any{unread + tt.said}, result["warnings"])
			assert.Equal(t, map[string]int{"pl-2": tt.calls}, read)
		})
	}
	t.Run("for a moment", func(t *testing.T) {
		f := newAWS(t)
		f.lists(transit, map[string][]string{"pl-2": {"10.0.3.0/24"}})
		f.Faults["GetManagedPrefixListEntries"] = slices.Repeat(
			[]aws.Fault{{Code: "RequestLimitExceeded", Status: 503}}, 3)
		assert.Equal(t, sends("10.0.3.0/24 of 10.0.0.0/16", "the transit gateway tgw-1"),
			task.Succeeds(t, f.one())["warnings"])
	})
}

type options = rig.Options

// Words of the tests.
var (
	check  = options{"_ansible_check_mode": true} // as Ansible sends it in check mode
	absent = options{"state": "absent"}
)

var task rig.Task = func(dmi fstest.MapFS) ansible.Module {
	pace := cloud.Pace{First: time.Millisecond, Most: 20 * time.Millisecond}
	p := cloudroutes.Planner{Pace: pace, DMI: dmi, Allow: fakecloud.Loopback}
	return ansible.New(p.Plan, ansible.Unlocked())
}

// A write arrives and its answer gets lost. When asked again the cloud shows that it was done, and
// the module says that it has changed something. It says so too where no write is ever answered.
func TestLostAnswers(t *testing.T) {
	type cloud struct {
		o    options
		lose *int
	}
	for name, make := range map[string]func(t *testing.T) cloud{
		"aws": func(t *testing.T) cloud { f := newAWS(t); return cloud{f.one(), &f.Lose.Times} },
		"azure": func(t *testing.T) cloud {
			f := newAzure(t)
			return cloud{f.router(), &f.Lose.Times}
		},
		"gcp": func(t *testing.T) cloud { f := newGCP(t); return cloud{f.router(), &f.Lose.Times} },
	} {
		t.Run(name, func(t *testing.T) {
			c := make(t)
			for _, state := range []string{"present", "absent"} {
				*c.lose = 1
				result := task.Succeeds(t, c.o.And(options{"state": state}))
				assert.Equal(t, true, result["verified"])
				assert.Len(t, result["done"], 1)
				task.Unchanged(t, c.o.And(options{"state": state}))
			}
			c = make(t)
			*c.lose = 100
			result := task.Run(t, c.o)
			assert.Equal(t, true, result["changed"], "%v", result)
		})
	}
}
