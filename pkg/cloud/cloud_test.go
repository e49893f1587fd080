package cloud_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"strings"
	"testing"
	"testing/fstest"
	"time"

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

// What cannot be read may be that of any cloud.
func TestDetectUnread(t *testing.T) {
	_, err := cloud.Detect(fstest.MapFS{"sys_vendor": {Mode: fs.ModeDir}})
	require.ErrorAs(t, err, new(*fs.PathError))
	got, err := cloud.Detect(fstest.MapFS{
		"chassis_asset_tag": {Mode: fs.ModeDir}, "product_name": {Data: []byte("Google Compute Engine\n")},
	})
	require.NoError(t, err)
	assert.Equal(t, cloud.GCP, got)
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

var quick = cloud.Pace{First: time.Microsecond, Most: 50 * time.Microsecond}

// How often each kind of error is tried, when it never goes away.
func TestTryCounts(t *testing.T) {
	for name, tt := range map[string]struct {
		kind            cloud.Kind
		tries, renewals int
	}{
		"final":   {kind: cloud.Final, tries: 1},
		"broken":  {kind: cloud.Broken, tries: 4},
		"expired": {kind: cloud.Expired, tries: 2, renewals: 1},
		"race":    {kind: cloud.Race, tries: 1},
	} {
		t.Run(name, func(t *testing.T) {
			tries, renewals := 0, 0
			err := quick.Try(t.Context(), func() { renewals++ }, func(context.Context) error {
				tries++
				return &cloud.Error{Do: "x", Kind: tt.kind}
			})
			assert.Error(t, err)
			assert.Equal(t, tt.tries, tries)
			assert.Equal(t, tt.renewals, renewals)
		})
	}
	t.Run("not the provider's", func(t *testing.T) {
		assert.EqualError(t, quick.Try(t.Context(), nil, func(context.Context) error { return errors.New("no") }), "no")
	})
}

func TestTryWaitsOutThrottling(t *testing.T) {
	n := 0
	require.NoError(t, quick.Try(t.Context(), nil, func(context.Context) error {
		if n++; n < 200 {
			return &cloud.Error{Kind: cloud.Throttled}
		}
		return nil
	}))

	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := quick.Try(ctx, nil, func(context.Context) error {
		return &cloud.Error{Do: "x", Code: "SlowDown", Kind: cloud.Throttled, After: time.Hour}
	})
	assert.EqualError(t, err, "x: SlowDown; still so when `timeout` was over")
}

func TestUntil(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	assert.EqualError(t, quick.Until(ctx, func(context.Context) (bool, string, error) {
		return false, "x is off", nil
	}),
		"x is off; still so when `timeout` was over")
}

func TestRace(t *testing.T) {
	n := 0
	err := quick.Race(t.Context(), func(context.Context) error {
		n++
		return &cloud.Error{Do: "x", Code: "412", Kind: cloud.Race}
	})
	assert.EqualError(t, err, "x: 412; lost against another writer 8 times: find it, and run again")
	assert.Equal(t, 8, n)
	assert.NoError(t, quick.Race(t.Context(), func(context.Context) error { return nil }))
}

// An operation that ends because the cloud is busy is not a race that somebody has won.
func TestBusyIsNoRace(t *testing.T) {
	n := 0
	require.NoError(t, quick.Race(t.Context(), func(context.Context) error {
		if n++; n > 20 {
			return nil
		}
		return (&cloud.Error{Do: "x", Code: "AnotherOperationInProgress", Kind: cloud.Throttled}).Ended()
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := quick.Race(ctx, func(context.Context) error {
		return (&cloud.Error{Do: "x", Code: "AnotherOperationInProgress", Kind: cloud.Throttled}).Ended()
	})
	assert.EqualError(t, err, "x: AnotherOperationInProgress; still so when `timeout` was over")
}

// A call that the end of the time cuts off says less than what came before it.
func TestWhatCameBefore(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	n := 0
	err := quick.Try(ctx, nil, func(ctx context.Context) error {
		if n++; n == 1 {
			return &cloud.Error{Do: "x", Code: "SlowDown", Kind: cloud.Throttled}
		}
		<-ctx.Done()
		return &cloud.Error{Do: "x", Err: ctx.Err(), Kind: cloud.Broken}
	})
	assert.EqualError(t, err, "x: SlowDown; still so when `timeout` was over")
	n = 0
	ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err = quick.Until(ctx, func(ctx context.Context) (bool, string, error) {
		if n++; n == 1 {
			return false, "x is off", nil
		}
		<-ctx.Done()
		return false, "", ctx.Err()
	})
	assert.EqualError(t, err, "x is off; still so when `timeout` was over")
}

// Once an answer was lost, a later refusal does not say that nothing was done.
func TestUnsure(t *testing.T) {
	n := 0
	err := quick.Try(t.Context(), nil, func(context.Context) error {
		if n++; n == 1 {
			return &cloud.Error{Do: "x", Kind: cloud.Broken, Unsure: true}
		}
		return &cloud.Error{Do: "x", Code: "412", Kind: cloud.Race}
	})
	assert.EqualError(t, err, "x: 412")
	assert.True(t, cloud.Unsure(err))
	assert.False(t, cloud.Unsure(&cloud.Error{Do: "x"}))
	assert.False(t, cloud.Unsure(errors.New("x")))

	_, err = net.Dial("tcp", "127.0.0.1:1")
	assert.False(t, cloud.Unheard(err), "nobody listens")
	assert.True(t, cloud.Unheard(io.ErrUnexpectedEOF))
}
