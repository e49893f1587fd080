package plan

import "strings"

// Sets of characters for Only and Name.
const (
	Digits  = "0123456789"
	Letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

	Alphanumeric = Letters + Digits
)

// Only reports whether a text is of these ASCII characters, and not empty.
func Only(text, characters string) bool { return text != "" && strings.Trim(text, characters) == "" }

// PlainName is that of a router or a site. It is fit for files, for comments of BIRD, for patterns
// of Ansible and for messages of one line; its length is that of a symbol of BIRD, with room for
// what is put around it.
var PlainName = Name{First: Alphanumeric, Rest: Alphanumeric + "_.-", Most: 56}

// A Name is what names of one kind are made of: one of the characters of First, then those
// of Rest, Most in all. They go into files, commands and scripts of others.
type Name struct {
	First, Rest string
	Most        int
}

// Fits reports whether a text is such a name.
func (n Name) Fits(text string) bool {
	return text != "" && len(text) <= n.Most && Only(text[:1], n.First) && strings.Trim(text[1:], n.Rest) == ""
}
