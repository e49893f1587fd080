package keypair

// diffAbsent plans to take the keys away. The record of the machine goes last: a run that
// is cut off finds what is left.
func diffAbsent(want Want, have Have) Delta {
	d := Delta{files: want.Files, before: have}
	const why = "state: absent"
	for _, k := range []Key{have.Private, have.Sealing, {Info: have.identity, Leftovers: have.leftovers}} {
		if k.Exists {
			d.add(Clear, k.Path, why)
		}
		for _, path := range k.Leftovers {
			d.add(Clear, path, why)
		}
	}
	return d
}
