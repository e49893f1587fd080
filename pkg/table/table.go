// Package table aligns rows of cells for a terminal. The modules that report on
// tunnels draw their tables with it.
package table

import "strings"

// least is the width down to which a column of names is narrowed.
const least = 6

// Lines puts each row on one line, its cells one space apart and the columns
// aligned. Rows may have fewer cells than others. When a line would be wider
// than width characters, the columns of names given by narrow are narrowed, the
// widest first and of equal ones the first, and a name that is cut ends in "~".
func Lines(rows [][]string, width int, narrow ...int) []string {
	widths := measure(rows)
	fit(widths, width, narrow)
	lines := make([]string, 0, len(rows))
	for _, cells := range rows {
		var line strings.Builder
		for c, cell := range cells {
			if c > 0 {
				line.WriteByte(' ')
			}
			line.WriteString(pad(cell, widths[c]))
		}
		lines = append(lines, strings.TrimRight(line.String(), " "))
	}
	return lines
}

func measure(rows [][]string) []int {
	var widths []int
	for _, cells := range rows {
		for c, cell := range cells {
			if c == len(widths) {
				widths = append(widths, 0)
			}
			widths[c] = max(widths[c], len([]rune(cell)))
		}
	}
	return widths
}

func fit(widths []int, width int, narrow []int) {
	total := len(widths) - 1
	for _, w := range widths {
		total += w
	}
	for ; total > width; total-- {
		widest := -1
		for _, c := range narrow {
			if c < len(widths) && widths[c] > least && (widest < 0 || widths[c] > widths[widest]) {
				widest = c
			}
		}
		if widest < 0 {
			return
		}
		widths[widest]--
	}
}

func pad(cell string, width int) string {
	runes := []rune(cell)
	if len(runes) > width {
		return string(runes[:width-1]) + "~"
	}
	return cell + strings.Repeat(" ", width-len(runes))
}
