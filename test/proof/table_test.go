//go:build lab

package proof_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// A row is one of the table that a failed run ends with.
type row struct{ routers, follows, text string }

const tableHead = "CAUSE -> WHAT TO DO"

// causes reads that table, and looks that there is one, that it is the last that the
// run says before the recap, and that a terminal of 80 columns shows it.
func causes(t *testing.T, out string) []row {
	t.Helper()
	if !assert.Equal(t, 1, strings.Count(out, tableHead), "tables at the end: %s", tail(out)) {
		return nil
	}
	begin := strings.LastIndex(out[:strings.Index(out, tableHead)], "\n") + 1
	table, rest, _ := strings.Cut(out[begin:], "\nok: [")
	assert.Regexp(t, `^[^\n]*\n+PLAY RECAP`, rest, "something comes after the table")
	head, body, _ := strings.Cut(table, "\n")
	follows, text := strings.Index(head, "FOLLOWS"), strings.Index(head, tableHead)
	var rows []row
	for line := range strings.Lines(body) {
		line = strings.TrimRight(line, "\n")
		assert.LessOrEqual(t, len(line), 80, line)
		assert.Regexp(t, `^[ -~]*$`, line)
		line += strings.Repeat(" ", max(0, text-len(line)))
		if strings.TrimSpace(line[follows:text]) != "" {
			rows = append(rows, row{follows: strings.TrimSpace(line[follows:text])})
		}
		if assert.NotEmpty(t, rows, line) {
			r := &rows[len(rows)-1]
			r.routers = strings.TrimSpace(r.routers + " " + strings.TrimSpace(line[:follows]))
			r.text = strings.TrimSpace(r.text + " " + strings.TrimSpace(line[text:]))
		}
	}
	seen := map[string]bool{}
	for _, r := range rows {
		assert.Regexp(t, regexp.MustCompile(`\S.* -> \S`), r.text, "it does not say what to do")
		assert.LessOrEqual(t, len(r.text), 160+len(" -> "), r.text)
		assert.False(t, seen[r.text], "twice: %s", r.text)
		seen[r.text] = true
	}
	return rows
}

// flat is what a run said on one line, so that no width of a table is in the way.
func flat(out string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(out), " "), " -> ", ": ")
}

// said is the table as one text.
func said(rows []row) string {
	var b strings.Builder
	for _, r := range rows {
		b.WriteString(r.routers + ", " + r.follows + ": " + r.text + "\n")
	}
	return b.String()
}
