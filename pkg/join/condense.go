package join

import (
	"regexp"
	"strings"
)

var (
	message = regexp.MustCompile(`(?m)^(?:\[(?:WARNING|ERROR)\]:|ERROR!) *`)
	unread  = regexp.MustCompile(`^Completely failed to parse inventory source (\S+)`)
	// core 2.14 and core 2.19 have their own words for it.
	attempt = regexp.MustCompile(`(?s)^(?:\* Failed to parse \S+|Failed to parse inventory) with '?(\w+)'? plugin: (.*)`)
	yaml214 = regexp.MustCompile(`(?s)^We were unable to read either as JSON nor YAML.*?Syntax Error while loading YAML\.\s*(.*?)\s*The error appears to be in '([^']+)': line (\d+).*`)
	origin  = regexp.MustCompile(`(?m)^Origin: (/[^:\s]+:\d+)`)
	stderr  = regexp.MustCompile(`(?s)Standard error from inventory script:\s*(.*)`)
)

// condense says in one line why a program of Ansible failed, from what it wrote
// to stderr: the error; or, when that is only that a source could not be read,
// what the plugin that should have read it said.
func condense(text string) string {
	parts := message.Split(text, -1)
	last := strings.TrimSpace(parts[len(parts)-1])
	m := unread.FindStringSubmatch(last)
	if m == nil {
		if before, _, found := strings.Cut(last, "\n\n"); found {
			last = before
		}
		return oneLine(last)
	}
	source, why := m[1], "Ansible can not read it"
	for _, part := range parts[1:] {
		// The plugin ini is tried last, with everything.
		if m := attempt.FindStringSubmatch(strings.TrimSpace(part)); m != nil && (m[1] != "ini" || strings.HasSuffix(source, ".ini")) {
			why = reason(m[2])
			break
		}
	}
	if strings.HasPrefix(why, source) {
		return oneLine(why)
	}
	return oneLine(source + ": " + why)
}

// reason shortens what a plugin said.
func reason(said string) string {
	if m := yaml214.FindStringSubmatch(said); m != nil {
		return m[2] + ":" + m[3] + ": " + m[1]
	}
	why, _, _ := strings.Cut(said, "\n\n")
	if m := origin.FindStringSubmatch(said); m != nil {
		why = m[1] + ": " + why
	}
	if m := stderr.FindStringSubmatch(said); m != nil {
		why = strings.TrimSpace(why) + " " + m[1]
	}
	return why
}
