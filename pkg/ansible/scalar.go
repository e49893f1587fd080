package ansible

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
)

// setScalar converts src to the kind of dst, as leniently as Ansible's own
// modules do, but never with a loss: 1.5 is not an int.
func setScalar(src any, dst reflect.Value) error {
	text, ok := scalarText(src)
	if dst.Kind() == reflect.String {
		if !ok {
			return fmt.Errorf("expected a string, got %s", describe(src))
		}
		dst.SetString(text)
		return nil
	}
	text = strings.TrimSpace(text)
	switch {
	case dst.Kind() == reflect.Bool:
		if b, known := parseBool(text); ok && known {
			dst.SetBool(b)
			return nil
		}
		return fmt.Errorf("expected yes or no, got %s", describe(src))
	case dst.CanInt(), dst.CanUint():
		if _, isBool := src.(bool); !ok || isBool {
			return fmt.Errorf("expected an integer, got %s", describe(src))
		}
		return setInteger(text, dst)
	case dst.CanFloat():
		f, err := strconv.ParseFloat(text, 64)
		if !ok || err != nil {
			return fmt.Errorf("expected a number, got %s", describe(src))
		}
		dst.SetFloat(f)
		return nil
	default:
		return fmt.Errorf("internal error: options of type %s are not supported", dst.Type())
	}
}

// setInteger accepts "51820" and also 1e3 and 2.0, which are whole.
func setInteger(text string, dst reflect.Value) error {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
			return fmt.Errorf("expected an integer, got %q", text)
		}
		n = int64(f)
	}
	if dst.CanUint() {
		if n < 0 || dst.OverflowUint(uint64(n)) {
			return fmt.Errorf("expected an integer from 0 to %d, got %s", uint64(1)<<dst.Type().Bits()-1, text)
		}
		dst.SetUint(uint64(n))
		return nil
	}
	if dst.OverflowInt(n) {
		return fmt.Errorf("expected an integer of %d bits, got %s", dst.Type().Bits(), text)
	}
	dst.SetInt(n)
	return nil
}

// parseBool knows the words that Ansible knows.
func parseBool(text string) (value, known bool) {
	switch strings.ToLower(text) {
	case "yes", "y", "on", "true", "t", "1", "1.0":
		return true, true
	case "no", "n", "off", "false", "f", "0", "0.0":
		return false, true
	}
	return false, false
}

// scalarText is the text of a string, number or bool.
func scalarText(src any) (string, bool) {
	switch v := src.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

// split makes a list of an array, of "a, b", of an array inside a string or of one value.
func split(src any) ([]any, bool) {
	switch v := src.(type) {
	case []any:
		return v, true
	case string:
		if inner, err := parseJSON([]byte(v)); err == nil {
			if list, ok := inner.([]any); ok {
				return list, true
			}
		}
		var out []any
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimSpace(part); part != "" {
				out = append(out, part)
			}
		}
		return out, true
	case json.Number, bool:
		return []any{v}, true
	}
	return nil, false
}

// plain turns the numbers of a JSON tree into int64 or float64, for options of type any.
func plain(src any) any {
	switch v := src.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64() // out of range becomes infinite, as in encoding/json
		return f
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = plain(v[k])
		}
	}
	return src
}

// describe names a value in an error. Only short scalars are repeated.
func describe(src any) string {
	switch v := src.(type) {
	case nil:
		return "null"
	case []any:
		return "a list"
	case map[string]any:
		return "a dictionary"
	case string:
		if len(v) > 40 {
			return "a long string"
		}
		return strconv.Quote(v)
	}
	text, _ := scalarText(src)
	return text
}
