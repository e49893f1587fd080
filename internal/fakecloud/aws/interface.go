package aws

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
)

// An Interface is a network interface.
type Interface struct {
	ID, Instance string
	Index        int
	Managed      bool
	Check        bool // the source/destination check: with it on, nothing is forwarded
	shown        []bool
}

// Checks are the source/destination checks, by interface.
func (c *Cloud) Checks() map[string]bool {
	out := map[string]bool{}
	for _, e := range c.Interfaces {
		out[e.ID] = e.Check
	}
	return out
}

func (c *Cloud) describeInterfaces(w http.ResponseWriter, r *http.Request) {
	c.Reads++
	fmt.Fprint(w, `<DescribeNetworkInterfacesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">`+
		`<requestId>req-describe</requestId><networkInterfaceSet>`)
	for _, e := range c.Interfaces {
		byID := r.Form.Get("NetworkInterfaceId.1") == e.ID
		byInstance := r.Form.Get("Filter.1.Name") == "attachment.instance-id" &&
			r.Form.Get("Filter.1.Value.1") == e.Instance
		if !byID && !byInstance {
			continue
		}
		shown := e.Check
		if len(e.shown) > 0 {
			shown, e.shown = e.shown[0], e.shown[1:]
		}
		fmt.Fprintf(w, `<item><networkInterfaceId>%s</networkInterfaceId><fieldOfTomorrow>x</fieldOfTomorrow>`+
			`<requesterManaged>%t</requesterManaged><sourceDestCheck>%t</sourceDestCheck>`+
			`<attachment><instanceId>%s</instanceId><deviceIndex>%d</deviceIndex>`+
			`<networkCardIndex>0</networkCardIndex><status>attached</status></attachment></item>`, e.ID,
			e.Managed, shown, e.Instance, e.Index)
	}
	fmt.Fprint(w, `</networkInterfaceSet></DescribeNetworkInterfacesResponse>`)
}

func (c *Cloud) modify(w http.ResponseWriter, r *http.Request) {
	i := slices.IndexFunc(c.Interfaces, func(e *Interface) bool { return e.ID == r.Form.Get("NetworkInterfaceId") })
	check, err := strconv.ParseBool(r.Form.Get("SourceDestCheck.Value"))
	switch {
	case i < 0:
		c.refuse(w, 400, "InvalidNetworkInterfaceID.NotFound", "The networkInterface ID does not exist")
		return
	case err != nil || len(r.Form["SecurityGroupId.1"]) > 0:
		c.refuse(w, 400, "InvalidParameterCombination", "")
		return
	case r.Form.Get("DryRun") == "true":
		c.dryRun(w)
		return
	}
	e := c.Interfaces[i]
	for range c.Lag {
		e.shown = append(e.shown, e.Check)
	}
	e.Check = check
	c.done(w, "ModifyNetworkInterfaceAttribute", fmt.Sprintf("%s %t", e.ID, check))
}
