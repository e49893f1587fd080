package status_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/status"
)

func TestRebootBy(t *testing.T) {
	for _, tt := range []struct {
		name, running, files, want string // boot/vmlinuz- goes before each file that names no folder
	}{
		{"nothing is known", "", "", ""},
		{"Debian, the newest runs", "6.1.0-28-amd64", "6.1.0-28-amd64 6.1.0-9-amd64", ""},
		{
			"Debian, a newer one is there", "6.1.0-9-amd64",
			"6.1.0-28-amd64 6.1.0-9-amd64",
			"/boot/vmlinuz-6.1.0-28-amd64, and 6.1.0-9-amd64 runs",
		},
		{
			"a backport", "6.1.0-28-amd64",
			"6.1.0-28-amd64 6.12.9+bpo-amd64",
			"/boot/vmlinuz-6.12.9+bpo-amd64, and 6.1.0-28-amd64 runs",
		},
		{"another flavour", "6.1.0-9-cloud-amd64", "6.1.0-28-amd64 6.1.0-9-cloud-amd64", ""},
		{
			"Ubuntu's flag goes first", "6.8.0-40-generic",
			"run/reboot-required 6.8.0-40-generic",
			"/run/reboot-required",
		},
		{
			"EL",
			"5.14.0-427.13.1.el9_4.x86_64",
			"5.14.0-427.13.1.el9_4.x86_64 5.14.0-503.11.1.el9_5.x86_64 0-rescue-2f1",
			"/boot/vmlinuz-5.14.0-503.11.1.el9_5.x86_64, and 5.14.0-427.13.1.el9_4.x86_64 runs",
		},
		{
			"EL, an update of the same", "5.14.0-427.el9.x86_64",
			"5.14.0-427.el9.x86_64 5.14.0-427.13.1.el9_4.x86_64",
			"/boot/vmlinuz-5.14.0-427.13.1.el9_4.x86_64, and 5.14.0-427.el9.x86_64 runs",
		},
		{
			"EL, one for debugging", "5.14.0-427.el9.x86_64",
			"5.14.0-427.el9.x86_64 5.14.0-503.el9.x86_64+debug",
			"",
		},
		{"modules without a kernel", "6.1.0-9-amd64", "6.1.0-9-amd64 lib/modules/6.1.0-28-amd64/modules.dep", ""},
		{"a container", "6.8.0-40-generic", "6.11.0-1-generic boot/vmlinuz-", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			put := func(path, text string) {
				path = filepath.Join(root, path)
				must.Write(t, path, text, 0o600)
			}
			for f := range strings.FieldsSeq(tt.files) {
				if !strings.Contains(f, "/") {
					f = "boot/vmlinuz-" + f
				}
				put(f, "")
			}
			if tt.running != "" {
				put("proc/sys/kernel/osrelease", tt.running+"\n")
			}
			assert.Equal(t, tt.want, status.RebootBy(root))
		})
	}
}
