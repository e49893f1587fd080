package aws

import (
	"fmt"
	"html"
	"net/http"
	"regexp"
)

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
