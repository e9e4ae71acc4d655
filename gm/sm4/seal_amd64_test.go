package sm4

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/gm/internal/impl"
	"github.com/anole-os/anole/internal/testkit"
)

// What is encrypted and hashed in one go is what it is in two, also where the counter's last
// 32 bits wrap, or nearly.
func TestSealInOneGo(t *testing.T) {
	if impl.Available()[0] < impl.AVX512 {
		testkit.Need(t, &feature.UnsupportedError{Feature: "SM4 with AVX-512", Reason: feature.NoHardware, Need: "a processor with AVX-512, GFNI and VPCLMULQDQ"})
	}
	r := random(40)
	sizes := []int{0, 240, 241, 256, 1264, 1265, 1279, 1280, 1281, 2543, 2544, 2545, 2559, 2560, 3000, 12_800, 16_384, 20_479, 2*stretch*BlockSize + 1000}
	for n := 2049; n < 4200; n += 13 {
		sizes = append(sizes, n)
	}
	for _, size := range sizes {
		for _, before := range []uint32{0, 1, 80, 159, 160, 161, 320, 1000, 1 << 20} {
			key := (*[KeySize]byte)(some(r, KeySize))
			src, data := some(r, size), some(r, size%50)
			c := openAVX512(key)
			h := c.hasher()
			fast := &gcm{e: c, h: h, s: h.(sealer), nonce: 12, tag: BlockSize}
			slow := &gcm{e: openGeneric(key), nonce: 12, tag: BlockSize}
			slow.h = slow.e.hasher()
			var one, two work
			copy(one.counter[:], some(r, BlockSize))
			binary.BigEndian.PutUint32(one.counter[12:], -before)
			if before == 0 {
				binary.BigEndian.PutUint32(one.counter[12:], 1)
			}
			two = one
			got, want := bytes.Clone(src), make([]byte, size)
			mask, wantMask := fast.encrypt(&one, got, got, data), slow.encrypt(&two, want, src, data)
			if !bytes.Equal(got, want) || mask != wantMask || one.state != two.state {
				t.Fatalf("%d bytes, %d blocks before it wraps: not as they should be: text %v, mask %v, hash %v", size, before, bytes.Equal(got, want), mask == wantMask, one.state == two.state)
			}
		}
	}
}
