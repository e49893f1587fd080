package join

import (
	"regexp"
	"strings"
)

var (
	hyphen  = regexp.MustCompile(`-\n(\S)`)
	message = regexp.MustCompile(`(?m)^(?:\[(?:WARNING|ERROR)\]:|ERROR!) *`)
	failed  = regexp.MustCompile(`(?m)^(?:\[ERROR\]:|ERROR!)`)
	unread  = regexp.MustCompile(`^Completely failed to parse inventory source (\S+)`)
	// core 2.14 and core 2.19 have their own words for it.
	attempt = regexp.MustCompile(
		`(?s)^(?:\*\s+Failed\s+to\s+parse\s+\S+|Failed to parse inventory)\s+with\s+'?(\w+)'?\s+plugin:\s+(.*)`)
	yaml214 = regexp.MustCompile(
		`^We were unable to read either as JSON nor YAML.*?Syntax Error while loading YAML\. ` +
			`(.*?) The error appears to be in '([^']+)': line (\d+).*`)
	origin = regexp.MustCompile(`(?m)^Origin: (/[^:\s]+:\d+)`)
	stderr = regexp.MustCompile(`(?s)Standard error from inventory script:\s*(.*)`)
)

// condense says in one line why a program of Ansible failed, from what it wrote
// to stderr: the error; or, when that is only that a source could not be read,
// what the plugin that should have read it said.
func condense(text string) string {
	// Core 2.14 breaks lines after 79 characters, in names with hyphens too.
	text = hyphen.ReplaceAllString(text, "-$1")
	parts := message.Split(text, -1)
	if !failed.MatchString(text) {
		return lastLine(text)
	}
	last := strings.TrimSpace(parts[len(parts)-1])
	m := unread.FindStringSubmatch(last)
	if m == nil {
		if before, _, found := strings.Cut(last, "\n\n"); found {
			last = before
		}
		return oneLine(last)
	}
	source, why := m[1], "Ansible cannot read it"
	for _, part := range parts[1:] {
		// The plugin ini is tried last, with everything.
		if m := attempt.FindStringSubmatch(strings.TrimSpace(part)); m != nil &&
			(m[1] != "ini" || strings.HasSuffix(source, ".ini")) {
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
	if m := yaml214.FindStringSubmatch(strings.Join(strings.Fields(said), " ")); m != nil {
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

// lastLine is what remains when Python itself fails: the end of its traceback.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if last := lines[len(lines)-1]; !message.MatchString(last) {
		return oneLine(last)
	}
	return ""
}
