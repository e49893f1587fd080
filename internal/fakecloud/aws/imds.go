package aws

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

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
