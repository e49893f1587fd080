package cloud_test

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/pkg/cloud"
)

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
