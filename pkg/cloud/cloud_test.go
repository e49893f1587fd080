package cloud_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/pkg/cloud"
)

var three = []cloud.Interface{{ID: "c"}, {ID: "a", Primary: true}, {ID: "b", Forwarding: true}}

func TestSelect(t *testing.T) {
	for name, tt := range map[string]struct {
		words []string
		ids   []string
		err   string
	}{
		"all":            {words: []string{"all"}, ids: []string{"a", "b", "c"}},
		"primary":        {words: []string{"primary"}, ids: []string{"a"}},
		"ids":            {words: []string{"c", "B"}, ids: []string{"b", "c"}},
		"each once":      {words: []string{"primary", "a", "all"}, ids: []string{"a", "b", "c"}},
		"somebody's own": {words: []string{"a", "x"}, err: "interfaces: x is none of vm, which has a, b, c"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := cloud.Select(three, tt.words, "vm")
			if tt.err != "" {
				assert.EqualError(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			var ids []string
			for _, i := range got {
				ids = append(ids, i.ID)
			}
			assert.Equal(t, tt.ids, ids)
		})
	}
	_, err := cloud.Select(nil, []string{"all"}, "vm")
	assert.EqualError(t, err, "interfaces: all is none of vm, which has none that can be set")
}

// After the changes of a plan nothing is left to plan.
func TestDiffConverges(t *testing.T) {
	for _, want := range []bool{true, false} {
		delta := cloud.Diff(want, three)
		require.NotEmpty(t, delta)
		assert.Empty(t, cloud.Diff(want, cloud.After(three, delta)))
	}
	assert.False(t, three[0].Forwarding, "After changed what it was given")
}

func TestDetect(t *testing.T) {
	for name, tt := range map[string]struct {
		dmi  map[string]string
		want string
		err  string
	}{
		"aws, nitro": {
			dmi: map[string]string{"sys_vendor": "Amazon EC2", "product_name": "m5.large"}, want: cloud.AWS,
		},
		"aws, xen": {dmi: map[string]string{
			"sys_vendor": "Xen", "product_name": "HVM domU",
			"bios_version": "4.11.amazon",
		}, want: cloud.AWS},
		"azure": {
			dmi: map[string]string{
				"sys_vendor":   "Microsoft Corporation",
				"product_name": "Virtual Machine", "chassis_asset_tag": "7783-7084-3265-9085-8269-3286-77",
			},
			want: cloud.Azure,
		},
		"hyper-v": {
			dmi: map[string]string{
				"sys_vendor":   "Microsoft Corporation",
				"product_name": "Virtual Machine", "chassis_asset_tag": "1",
			},
			err: "a \"Virtual Machine\" of \"Microsoft Corporation\", neither",
		},
		"gcp": {
			dmi:  map[string]string{"sys_vendor": "Google", "product_name": "Google Compute Engine"},
			want: cloud.GCP,
		},
		"chromebook": {
			dmi: map[string]string{"sys_vendor": "Google", "product_name": "Eve"},
			err: "neither AWS, Azure nor GCP",
		},
		"says nothing": {dmi: map[string]string{}, err: "says nothing in /sys/class/dmi/id"},
		"somebody's pc": {
			dmi: map[string]string{"sys_vendor": "LENOVO", "product_name": "T14"},
			err: "neither AWS, Azure nor GCP",
		},
	} {
		t.Run(name, func(t *testing.T) {
			files := fstest.MapFS{}
			for file, text := range tt.dmi {
				files[file] = &fstest.MapFile{Data: []byte(text + "\n")}
			}
			got, err := cloud.Detect(files)
			assert.Equal(t, tt.want, got)
			if tt.err != "" {
				assert.ErrorContains(t, err, tt.err)
			} else {
				assert.NoError(t, err)
			}
		})
	}
}

func TestErrorIsOneLine(t *testing.T) {
	e := &cloud.Error{
		Do: "read x", Code: "Denied", Message: "No.\r\n\tNot you.\x1b[31m",
		RequestID: "r-1", Hint: "ask somebody",
	}
	assert.Equal(t, "read x: Denied: No. Not you. [31m (request r-1); ask somebody", e.Error())

	e = &cloud.Error{Do: "read x", Err: io.ErrUnexpectedEOF}
	assert.Equal(t, "read x: unexpected EOF", e.Error())
	assert.True(t, errors.Is(e, io.ErrUnexpectedEOF))

	e = &cloud.Error{Do: "read x", Message: strings.Repeat("é", 10_000)}
	assert.Less(t, len(e.Error()), 1000)
}

func FuzzError(f *testing.F) {
	f.Add("Code", "a\nb", "id")
	f.Fuzz(func(t *testing.T, code, message, id string) {
		text := (&cloud.Error{Do: "x", Code: code, Message: message, RequestID: id}).Error()
		assert.NotContains(t, text, "\n")
		assert.NotContains(t, text, "\x1b")
		assert.Less(t, len(text), 3*4*500)
	})
}
