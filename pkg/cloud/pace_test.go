package cloud_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/pkg/cloud"
)

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
	assert.EqualError(t, err, "x: 412; lost against another writer 8 times: who else manages it?")
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
