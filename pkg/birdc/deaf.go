package birdc

import (
	"slices"
	"strings"
	"time"
)

// Deaf lists the protocols of the own site that hear of no interface any more, by what "show status"
// and "show protocols" say: BIRD 3 (3.1 to 3.4) forgets what hangs on which interface where it keeps
// a static protocol through a configure. So their names end in the stamp of the text, and it keeps
// none but through a text that it runs already. BIRD 2 does not forget, and has no stamp there.
func Deaf(status, protocols string) (names []string) {
	_, at, _ := strings.Cut(status, "Last reconfiguration on ")
	at, _, _ = strings.Cut(at, "\n")
	read, err := time.Parse(time.DateTime, strings.TrimSpace(at))
	if err != nil {
		return nil
	}
	for line := range strings.Lines(protocols) {
		// Name Proto Table State Date Time
		f := strings.Fields(line)
		if len(f) < 6 || f[1] != "Static" || f[3] != "up" || !strings.HasPrefix(f[0], "site") ||
			!strings.Contains(f[0], "_") {
			continue
		}
		if since, err := time.Parse(time.DateTime, f[4]+" "+f[5]); err == nil && since.Before(read) {
			names = append(names, f[0])
		}
	}
	slices.Sort(names)
	return names
}
