package sm3

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	peer "github.com/emmansun/gmsm/sm3"

	"github.com/anole-os/anole/gm/internal/wycheproof"
)

func TestHMAC(t *testing.T) {
	each(t, func(t *testing.T) {
		wycheproof.MACs(t, "hmac_sm3_test.json", func(c *wycheproof.MAC) {
			h := NewHMAC(c.Key)
			_, _ = h.Write(c.Msg)
			if same := bytes.Equal(h.Sum(nil)[:c.TagSize/8], c.Tag); same != c.Valid() {
				t.Errorf("case %d, %s: it fits: %v, want %v", c.ID, c.Comment, same, c.Valid())
			}
		})
	})
}

func TestKDF(t *testing.T) {
	each(t, func(t *testing.T) {
		source := rand.NewChaCha8([32]byte{2})
		for n := range 2500 {
			if n > 100 {
				n = 100 + 37*(n-100)%5000
			}
			z := make([]byte, n%150)
			_, _ = source.Read(z)
			// Not gmsm's own, which is wrong for secrets of 61 bytes.
			var want []byte
			for ct := uint32(1); len(want) < n; ct++ {
				sum := peer.Sum(binary.BigEndian.AppendUint32(bytes.Clone(z), ct))
				want = append(want, sum[:]...)
			}
			if got := KDF(z, n); !bytes.Equal(got, want[:n]) {
				t.Fatalf("%d bytes of %d: not what another makes of it", n, len(z))
			}
		}
	})
	defer func() {
		if recover() == nil {
			t.Error("a negative length is derived")
		}
	}()
	KDF(nil, -1)
}
