package ansible

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// render makes the text of a view for --diff, which compares line by line. A
// string is taken as it is. Anything else is laid out like YAML with one value
// on a line and sorted keys.
func render(view any) string {
	if view == nil {
		return ""
	}
	if text, ok := view.(string); ok {
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		return text
	}
	raw, err := json.Marshal(view)
	if err != nil {
		return fmt.Sprintf("(%T cannot be shown)\n", view)
	}
	tree, err := parseJSON(raw)
	if err != nil {
		return fmt.Sprintf("(%T cannot be shown)\n", view)
	}
	var b strings.Builder
	for _, line := range layout(tree) {
		b.WriteString(line + "\n")
	}
	return b.String()
}

func layout(tree any) []string {
	var lines []string
	switch v := tree.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if inner := layout(v[key]); nested(v[key]) {
				lines = append(lines, key+":")
				lines = append(lines, indent("  ", "  ", inner)...)
			} else {
				lines = append(lines, key+": "+inner[0])
			}
		}
		if len(v) == 0 {
			return []string{"{}"}
		}
	case []any:
		for _, item := range v {
			lines = append(lines, indent("- ", "  ", layout(item))...)
		}
		if len(v) == 0 {
			return []string{"[]"}
		}
	default:
		lines = []string{scalar(v)}
	}
	return lines
}

// nested says that a value needs lines of its own.
func nested(tree any) bool {
	switch v := tree.(type) {
	case map[string]any:
		return len(v) > 0
	case []any:
		return len(v) > 0
	}
	return false
}

func scalar(v any) string {
	text, ok := scalarText(v)
	switch {
	case !ok:
		return "null"
	case text == "" || strings.ContainsAny(text, "\n\r\t"):
		return strconv.Quote(text)
	}
	return text
}

// indent puts first before the first line and rest before the others.
func indent(first, rest string, lines []string) []string {
	for i := range lines {
		if i == 0 {
			lines[i] = first + lines[i]
		} else {
			lines[i] = rest + lines[i]
		}
	}
	return lines
}
