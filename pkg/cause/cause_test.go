package cause_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/pkg/cause"
)

func TestNew(t *testing.T) {
	router := strings.Repeat("r", 60) + "-12"
	path := "/etc/wireguard/" + strings.Repeat("deep/", 40) + "wgmesh.key"
	for name, tt := range map[string]struct {
		got       cause.Cause
		found, do string
	}{
		"short": {
			cause.New("TCP 179 is held by %s, pid %d: stop it", "nginx", 812),
			"TCP 179 is held by nginx, pid 812", "stop it",
		},
		"last colon": {
			cause.New("wg20: peer %s: no key: run wg_keypair first", "a"),
			"wg20: peer a: no key", "run wg_keypair first",
		},
		"not of an argument": {
			cause.New("%s is down: start it", "a: b: c"), "a: b: c is down", "start it",
		},
		"nothing to do": {cause.New("%d%% lost", 3), "3% lost", ""},
		"verbs":         {cause.New("%-4d|%+.1f|%04o%%|%x", 3, 1.25, 8, 255), "3   |+1.2|0010%|ff", ""},
		"one line":      {cause.New("it says %s: look", "a\n\tb"), "it says a b", "look"},
		"quoted":        {cause.New("%q is not a name: give one", "a\x1b"), `"a\x1b" is not a name`, "give one"},
		"a long path": {
			cause.New("key file %s: mode %04o: chmod 600 it, and replace the key if anyone could have read it",
				path, 0o644),
			"key file /etc/wireguard/deep/deep/deep/deep/de.../deep/deep/deep/deep/deep/wgmesh.key: mode 0644",
			"chmod 600 it, and replace the key if anyone could have read it",
		},
		"what to do is cut last": {
			cause.New("%s says %s: run the mesh play on %s", router, path, "azure-1"),
			"rrrrrrrrrrrrrrrrrrrrrrrrrrrrrr...rrrrrrrrrrrrrrrrrrrrrrrrrr-12 says " +
				"/etc/wireguard/deep/deep/deep/...eep/deep/deep/deep/wgmesh.key",
			"run the mesh play on azure-1",
		},
		"a list": {
			cause.New("no floor for %s: run the mesh play here",
				cause.List(strings.Fields(strings.Repeat("10.200.100.0/24 ", 20)))),
			"no floor for 10.200.100.0/24, 10.200.100.0/24, 10.200.100.0/24, 10.200.100.0/24, 10.200.100.0/24, " +
				"10.200.100.0/24 and 14 more",
			"run the mesh play here",
		},
		"a list of one long name": {
			cause.New("router %s: endpoint is inside network %s of site %s: give one outside of all sites' networks",
				cause.List{router}, "2001:db8:40:1::/64", "dublin"),
			"router rrrrrrrrrrrrrrrrrrrrrrrr...rrrrrrrrrrrrrrrrrrrr-12: endpoint is inside network " +
				"2001:db8:40:1::/64 of site dublin",
			"give one outside of all sites' networks",
		},
		"a list whose first name is long": {
			cause.New("routers %s: endpoint is inside network %s of site %s: give one outside of all sites' networks",
				cause.List{router, router, router}, "10.1.0.0/16", "dublin"),
			"routers rrrrrrrrrrrrrrrrrrrrr...rrrrrrrrrrrrrrrrrr-12 and 2 more: endpoint is inside network " +
				"10.1.0.0/16 of site dublin",
			"give one outside of all sites' networks",
		},
		"a list that fits": {cause.New("no floor for %s: run it", cause.List{"a", "b"}), "no floor for a, b", "run it"},
		"prefixed": {
			cause.New("down: start it").Prefixed("tunnel %s to %s", "wg1", "a"),
			"tunnel wg1 to a: down", "start it",
		},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, cause.Cause{Found: tt.found, Do: tt.do}, tt.got)
			assert.LessOrEqual(t, len([]rune(tt.got.Error())), cause.Most)
		})
	}
}

func TestOf(t *testing.T) {
	known := cause.New("TCP 179 is held by %s: stop it", "nginx: master")
	one := func(found, do string) []cause.Cause { return []cause.Cause{{Found: found, Do: do}} }
	type test struct {
		err  error
		want []cause.Cause
	}
	tests := map[string]test{
		"a cause": {known, []cause.Cause{known}},
		"a cause of a part": {
			fmt.Errorf("tunnel 3 to a: %w", known),
			one("tunnel 3 to a: TCP 179 is held by nginx: master", "stop it"),
		},
		"joined": {
			errors.Join(known, errors.Join(errors.New("a"), errors.New("b; run it"))),
			[]cause.Cause{known, {Found: "a"}, {Found: "b", Do: "run it"}},
		},
		"joined behind words": {fmt.Errorf("mesh: %w", errors.Join(errors.New("a"), known)), []cause.Cause{
			{Found: "mesh: a"}, {Found: "mesh: TCP 179 is held by nginx: master", Do: "stop it"},
		}},
		"two errors of one line": {
			fmt.Errorf("a: %w: %w", known, errors.New("run b")),
			one("a: TCP 179 is held by nginx: master", "stop it: run b"),
		},
		"what the kernel refused": {
			fmt.Errorf("nothing was changed: keep /x: %w", &fs.PathError{Op: "write", Path: "/y", Err: syscall.ENOSPC}),
			one("nothing was changed: keep /x: write /y: no space left on device", ""),
		},
		"what the kernel refused, and what to do": {
			fmt.Errorf("key: %w; run wg_keypair first", &fs.PathError{Op: "open", Path: "/y", Err: syscall.EACCES}),
			one("key: open /y: permission denied", "run wg_keypair first"),
		},
		"a file that the kernel refused to rename": {
			fmt.Errorf("conf: %w", &os.LinkError{Op: "rename", Old: "/x", New: "/y", Err: syscall.EROFS}),
			one("conf: rename /x /y: read-only file system", ""),
		},
		"a long line": {
			errors.New(strings.Repeat("found ", 40) + "; " + strings.Repeat("look ", 40)),
			one("found found found found found found fo... found found found found found found ",
				strings.Repeat("look ", 7)+"look...ok look look look look look look look "),
		},
	}
	for name, tt := range map[string]struct{ text, found, do string }{
		"words": {
			"x.key: mode 0644: chown root and chmod 600 it", "x.key: mode 0644", "chown root and chmod 600 it",
		},
		"no advice": {"write x: no space left on device", "write x: no space left on device", ""},
		"expected":  {`port: expected an integer, got "x"`, `port: "x"`, "expected an integer"},
		"expected, no value": {
			"networks[1]: expected a network such as 10.1.0.0/16",
			"networks[1]", "expected a network such as 10.1.0.0/16",
		},
		"expected and what to do": {
			"x: expected a regular file, found a symbolic link; remove it",
			"x: expected a regular file, found a symbolic link", "remove it",
		},
		"a longer word":     {"a: running b: runs_c: run9: RUN d", "a: running b: runs_c: run9: RUN d", ""},
		"the first advice":  {"a: b, so run c; stop d", "a: b", "run c; stop d"},
		"a word and a sign": {"a: run: b", "a", "run: b"},
		"a word at the end": {"a; wait", "a", "wait"},
		"another alphabet":  {"é: runé", "é", "runé"},
		"what was meant":    {"a: did you mean b?", "a", "did you mean b?"},
		"expected twice":    {"a, expected b, found c, got d expected e", "a: c, got d expected e", "expected b"},
		"expected nothing":  {" expected , got ", "", "expected "},
	} {
		tests[name] = test{errors.New(tt.text), one(tt.found, tt.do)}
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := cause.Of(tt.err)
			assert.Equal(t, tt.want, got)
			for _, c := range got {
				assert.LessOrEqual(t, len([]rune(c.Error())), cause.Most)
			}
		})
	}
}

func TestLine(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "",
		" two \r\n\twords ":       "two words",
		"\x1b[2Jclears\x07":       "[2Jclears",
		"turns \u202eround\u200b": "turns round",
		"no \xff utf-8":           "no utf-8",
		"Größe":                   "Größe",
		strings.Repeat("ü", 21):   strings.Repeat("ü", 17) + "...",
	} {
		assert.Equal(t, want, cause.Line(text, 20), "%q", text)
	}
}
