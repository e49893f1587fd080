package join

import (
	"os"
	"regexp"
)

// cloudInitLog is where cloud-init says what of the user-data it did not
// understand. `cloud-init status --long` and `cloud-init schema --system` of
// Debian 12 (22.4.2) find nothing wrong with user-data that is not YAML.
const cloudInitLog = "/var/log/cloud-init.log"

// invalidFormat is what cloud-init's load_yaml warns of, in cloudinit/util.py. What
// follows in that line may quote the user-data.
var invalidFormat = regexp.MustCompile(`Failed loading yaml blob\. Invalid format at (line \d+ column \d+)`)

// missing is the problem that the file path is not there: a router without
// user-data, or one whose user-data is not YAML.
func missing(path, log string) error {
	text, _ := os.ReadFile(log) // there is none without cloud-init
	if at := invalidFormat.FindAllSubmatch(text, -1); at != nil {
		return wrong("%s: no such file; the user-data that should bring it is not YAML: invalid format at %s, says %s",
			path, at[len(at)-1][1], log)
	}
	return wrong("%s: no such file; user-data (cloud-init, write_files) or the image brings it: "+
		"see `grep WARNING %s`", path, log)
}
