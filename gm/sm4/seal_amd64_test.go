package sm4

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/gm/internal/impl"
	"github.com/anole-os/anole/internal/testkit"
)

// What is encrypted and hashed in one go is what it is in two, and where the counter would
// wrap it is left to those.
func TestSealInOneGo(t *testing.T) {
	if impl.Available()[0] < impl.AVX512 {
		testkit.Need(t, &feature.UnsupportedError{Feature: "SM4 with AVX-512", Reason: feature.NoHardware, Need: "a processor with AVX-512, GFNI and VPCLMULQDQ"})
	}
	r := random(40)
	for _, size := range []int{0, 1280, 2559, 2560, 3000, 12_800, 16_144} {
		for _, before := range []uint32{0, 1, 159, 160, 161, 1 << 20} {
			c := openAVX512((*[KeySize]byte)(some(r, KeySize))).(*avx512)
			h := c.hasher().(*wideHash)
			src := some(r, size)
			counter, state := [BlockSize]byte(some(r, BlockSize)), [BlockSize]byte(some(r, BlockSize))
			binary.BigEndian.PutUint32(counter[12:], -before)
			if before == 0 {
				binary.BigEndian.PutUint32(counter[12:], 7)
			}
			was := counter
			want, wantState := make([]byte, size), state
			got := bytes.Clone(src)
			n := h.seal(got, got, &counter, &state)
			if room := 1<<32 - uint64(binary.BigEndian.Uint32(was[12:])); n%1280 != 0 || n != size/1280*1280 && n != 0 || uint64(n/BlockSize) > room || n == 0 && size >= 2560 && room > 1100 {
				t.Errorf("%d bytes, %d blocks before it wraps: %d at once", size, room, n)
			}
			c.ctr(want[:n], src[:n], &was)
			h.hash(&wantState, want[:n])
			advance(&was, uint64(n/BlockSize))
			if !bytes.Equal(got[:n], want[:n]) || !bytes.Equal(got[n:], src[n:]) || state != wantState || counter != was {
				t.Errorf("%d bytes, %d blocks before it wraps: not as they should be", size, before)
			}
		}
	}
}
