package aws

import (
	"fmt"
	"net/http"
	"strconv"
)

// listEntries shows the entries of a prefix list, two on a page.
func (c *Cloud) listEntries(w http.ResponseWriter, r *http.Request) {
	id := r.Form.Get("PrefixListId")
	entries, found := c.Lists[id]
	if !found {
		c.refuse(w, 400, "InvalidPrefixListID.NotFound", "The prefix list ID '"+id+"' does not exist")
		return
	}
	from, _ := strconv.Atoi(r.Form.Get("NextToken"))
	end := min(from+2, len(entries))
	fmt.Fprint(w, `<GetManagedPrefixListEntriesResponse`+head+`<entrySet>`)
	for _, cidr := range entries[from:end] {
		fmt.Fprintf(w, `<item><cidr>%s</cidr><description>x</description></item>`, cidr)
	}
	fmt.Fprint(w, `</entrySet>`)
	if end < len(entries) {
		fmt.Fprintf(w, `<nextToken>%d</nextToken>`, end)
	}
	fmt.Fprint(w, `</GetManagedPrefixListEntriesResponse>`)
}
