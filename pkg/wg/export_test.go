package wg

// What the external tests look at from inside.
var (
	Parse      = parse
	Render     = render
	Summarise  = summarise
	MSSSummary = mssSummary
	MSSText    = mssText
	ParseUnits = parseUnits
	LastLines  = lastLines

	DropIn      = dropIn
	MachineMark = machineMark
)

// ReadKeyFile reads a key file and forgets the key; what it prints as is kept.
func ReadKeyFile(path string) (printed string, err error) {
	key, err := readKeyFile(path)
	defer key.wipe()
	return key.String(), err
}

// SecretOf makes a secret of b, to see how it prints.
func SecretOf(b [32]byte) any { return secret(b) }
