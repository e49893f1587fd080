package cause

// Advises reports whether a text begins with what somebody can do.
func Advises(text string) bool {
	_, _, ok := advice(": " + text)
	return ok
}
