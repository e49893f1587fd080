package bird

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
)

// stampName is the constant by which a text names itself. BIRD tells its value
// on request, so the daemon itself says which text it runs. The time of its
// last reconfiguration cannot: after an undo it is that of the older text.
const stampName = "wgmesh_config"

// A Stamp names one rendered text. The empty Stamp is that of any text that
// is not ours.
type Stamp string

// noStamp stands in the text while its stamp is computed.
const noStamp = "0000000000000000"

// stamped puts the stamp of a text into it.
func stamped(rendered string) string {
	sum := sha256.Sum256([]byte(rendered))
	return strings.Replace(rendered, noStamp, hex.EncodeToString(sum[:8]), 1)
}

// StampOf reads the stamp that a text carries.
func StampOf(text []byte) Stamp {
	m := regexp.MustCompile(`(?m)^define ` + stampName + ` = "([0-9a-f]{16})";$`).FindSubmatch(text)
	if m == nil {
		return ""
	}
	return Stamp(m[1])
}
