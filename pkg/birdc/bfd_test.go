package birdc_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/birdc"
)

func TestParseBFD(t *testing.T) {
	got := birdc.ParseBFD(string(must.Get(os.ReadFile("testdata/bird-2.0.12-bfd.txt"))(t)))
	require.Len(t, got, 3)
	assert.Equal(t, "172.31.21.1 sg0b Down", got[0].Address.String()+" "+got[0].Interface+" "+got[0].State)
	assert.Equal(t, "172.31.20.1 sg0 Up", got[1].Address.String()+" "+got[1].Interface+" "+got[1].State)
	assert.Empty(t, birdc.ParseBFD(string(must.Get(os.ReadFile("testdata/bird-2.0.12-bfd-off.txt"))(t))))
}

func FuzzParseBFD(f *testing.F) {
	f.Add(string(must.Get(os.ReadFile("testdata/bird-2.0.12-bfd.txt"))(f)))
	f.Add("fe80::1%wg0 wg0 Up\n1.2.3.4\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range birdc.ParseBFD(text) {
			require.True(t, s.Address.IsValid())
			require.NotEmpty(t, s.State)
		}
	})
}
