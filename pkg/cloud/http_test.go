package cloud

import (
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/fakecloud"
	"github.com/wgmesh/router/internal/must"
)

func TestIsMetadata(t *testing.T) {
	d := dialer{metadata: host("http://127.0.0.1:8080/x")}
	for name, want := range map[string]bool{
		"169.254.169.254": true, "169.254.170.2": true, "fd00:ec2::254": true,
		"::ffff:169.254.169.254": true, "168.63.129.16": true,
		"metadata.google.internal": true, "Metadata.Google.Internal.": true, "127.0.0.1": true,
		"127.0.0.2": false, "ec2.eu-west-1.amazonaws.com": false, "management.azure.com": false,
		"10.0.0.1": false, "": false,
	} {
		assert.Equal(t, want, d.isMetadata(name), name)
	}
	assert.False(t, dialer{}.isMetadata(""))
}

// The proxies of the environment are for APIs.
func TestNoProxyForMetadata(t *testing.T) {
	proxy := &url.URL{Scheme: "http", Host: "127.0.0.1:3128"}
	choose := dialer{metadata: "127.0.0.1"}.proxy(func(*http.Request) (*url.URL, error) { return proxy, nil })
	for target, want := range map[string]*url.URL{"http://127.0.0.1/latest": nil, "https://127.0.0.9/api": proxy} {
		r := must.Get(http.NewRequest(http.MethodGet, target, nil))(t)
		assert.Equal(t, want, must.Get(choose(r))(t), target)
	}
}

// No test of ours reaches a cloud or a metadata service by accident: this is
// one that forgot to override the addresses.
func TestDefaultsAreRefused(t *testing.T) {
	for _, target := range []string{
		"http://169.254.169.254/", "http://[fd00:ec2::254]/", "http://metadata.google.internal/",
		"https://management.azure.com/",
		"https://ec2.eu-west-1.amazonaws.com/", "https://compute.googleapis.com/",
	} {
		_, err := Client("", fakecloud.Loopback).Get(target)
		assert.ErrorContains(t, err, "a test reaches loopback only", target)
	}
	_, err := (dialer{allow: fakecloud.Loopback}).dial(t.Context(), "tcp", "169.254.169.254:80")
	assert.ErrorContains(t, err, "a test reaches loopback only")
}

// What the role router drops when it is only forwarded are the metadata services
// that this package knows, and what is next door.
func TestRoleDropsWhatIsForwardedToMetadata(t *testing.T) {
	text := must.Get(os.ReadFile("../../roles/router/files/root/etc/wgmesh/metadata.nft"))(t)
	var dropped []netip.Prefix
	for _, rule := range regexp.MustCompile(
		`ip6? daddr \{(.*)\} counter drop`).FindAllStringSubmatch(string(text), -1) {
		for _, word := range regexp.MustCompile(`[0-9a-f.:/]+`).FindAllString(rule[1], -1) {
			p, err := netip.ParsePrefix(word)
			if err != nil {
				a := must.Get(netip.ParseAddr(word))(t)
				p = netip.PrefixFrom(a, a.BitLen())
			}
			dropped = append(dropped, p)
		}
	}
	known := append([]netip.Addr{}, metadataAddresses...)
	for _, a := range []string{
		"169.254.169.254", "169.254.170.2", "169.254.169.253", "169.254.169.123", "fe80::a9fe:a9fe",
	} {
		known = append(known, netip.MustParseAddr(a))
	}
	for _, a := range known {
		found := false
		for _, p := range dropped {
			found = found || p.Contains(a)
		}
		assert.True(t, found, "%s is forwarded", a)
	}
	for _, p := range dropped {
		assert.False(t, p.Contains(netip.MustParseAddr("10.0.0.1")) ||
			p.Contains(netip.MustParseAddr("fd00::1")), "%s is somebody's network", p)
	}
}
