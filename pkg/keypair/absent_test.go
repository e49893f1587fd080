package keypair_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// All keys go, and the record; a second run finds nothing. A broken key goes too.
func TestAbsent(t *testing.T) {
	r := newRig(t)
	r.converge()
	r.want.Absent = true
	d, pub, done := r.converge()
	assert.Len(t, done, 3)
	assert.Empty(t, pub.PublicKey+pub.SealingKey)
	_, after := d.Views()
	assert.Nil(t, after.PublicKey)
	assert.Equal(t, "absent", after.PrivateKeyFile)
	for _, path := range []string{r.want.PrivateKey, r.want.SealingKey, r.want.Identity} {
		assert.NoFileExists(t, path)
	}
	again, err := r.plan()
	require.NoError(t, err)
	assert.True(t, again.Empty())
}
