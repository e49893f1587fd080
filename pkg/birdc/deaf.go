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
	at := func(of string) time.Time {
		_, text, _ := strings.Cut(status, of)
		text, _, _ = strings.Cut(text, "\n")
		at, _ := time.Parse(time.DateTime, strings.TrimSpace(text))
		return at
	}
	now, read := at("Current server time is "), at("Last reconfiguration on ")
	for line := range strings.Lines(protocols) {
		// Name Proto Table State Since
		f := strings.Fields(line)
		if len(f) > 4 && f[1] == "Static" && f[3] == "up" && strings.HasPrefix(f[0], "site") &&
			strings.Contains(f[0], "_") && before(f[4], read, now) {
			names = append(names, f[0])
		}
	}
	slices.Sort(names)
	return names
}

// before reports whether BIRD's time of a protocol is before another one for sure: of what is older
// than 20 hours it has the date alone. It computes times anew whenever it says them.
func before(since string, read, now time.Time) bool {
	const inexact = 500 * time.Millisecond
	if day, err := time.Parse(time.DateOnly, since); err == nil {
		return !read.Before(day.AddDate(0, 0, 1))
	}
	at, err := time.Parse(time.DateTime, now.Format(time.DateOnly)+" "+since)
	if at.After(now.Add(inexact)) {
		at = at.AddDate(0, 0, -1)
	}
	return err == nil && at.Add(inexact).Before(read)
}
