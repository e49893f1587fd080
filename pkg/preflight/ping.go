package preflight

// ping asks whether the host answers ping, by which the others see that it is there.
func ping(_ Want, h Have) []Finding {
	if h.NoPing == "" {
		return nil
	}
	return []Finding{{Cause: "this router answers no ping (" + h.NoPing + ")", Do: "the others cannot see by ping that packets get here: set it to 0", Harmless: true}}
}
