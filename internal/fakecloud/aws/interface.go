package aws

import (
	"fmt"
	"html"
	"net/http"
	"regexp"
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

var tagValue = regexp.MustCompile(`^[\w +=.:/@-]{1,256}$`) // what a tag may hold

const head = ` xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>req-tags</requestId>`

func (c *Cloud) describeTags(w http.ResponseWriter, r *http.Request, of Machine) {
	if r.Form.Get("Filter.1.Name")+" "+r.Form.Get("Filter.1.Value.1")+" "+
		r.Form.Get("Filter.2.Name") != "resource-id "+of.Instance+" key" {
		c.refuse(w, 400, "InvalidParameterValue", "Filter")
		return
	}
	key := r.Form.Get("Filter.2.Value.1")
	fmt.Fprint(w, `<DescribeTagsResponse`+head+`<tagSet>`)
	if value := c.Tags[key]; value != "" {
		fmt.Fprintf(w, `<item><resourceId>%s</resourceId><resourceType>instance</resourceType>`+
			`<key>%s</key><value>%s</value></item>`, of.Instance, html.EscapeString(key),
			html.EscapeString(value))
	}
	fmt.Fprint(w, `</tagSet></DescribeTagsResponse>`)
}

// createTag sets one tag of the instance that asks, and nothing else.
func (c *Cloud) createTag(w http.ResponseWriter, r *http.Request, of Machine) {
	key, value := r.Form.Get("Tag.1.Key"), r.Form.Get("Tag.1.Value")
	if r.Form.Get("ResourceId.1") != of.Instance || r.Form.Has("ResourceId.2") ||
		r.Form.Has("Tag.2.Key") || !tagValue.MatchString(value) {
		c.refuse(w, 400, "InvalidParameterValue", "ResourceId or Tag")
		return
	}
	c.Tags[key] = value
	c.done(w, "CreateTags", "tag "+key)
}
