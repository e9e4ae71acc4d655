//go:build !race

package sm4

import "testing"

// Under the race detector a pool loses what is put into it, now and then: these are for
// a build without it.

// unallocated wants f to allocate nothing; now and then a pool is emptied meanwhile.
func unallocated(t *testing.T, n int, f func()) {
	t.Helper()
	if got := testing.AllocsPerRun(50, f); got >= 1 {
		t.Errorf("%d bytes: %v allocations", n, got)
	}
}

// Nothing is allocated for data, whatever its length.
func TestAllocations(t *testing.T) {
	each(t, func(t *testing.T, of func([]byte) *Cipher) {
		c := of(make([]byte, KeySize))
		stream, cbc := c.NewCTR(make([]byte, BlockSize)), c.NewCBCDecrypter(make([]byte, BlockSize))
		for _, n := range []int{16, 48, 512, 4096} {
			b := make([]byte, n)
			unallocated(t, n, func() {
				c.EncryptBlocks(b, b)
				c.DecryptBlocks(b, b)
				stream.XORKeyStream(b, b)
				cbc.CryptBlocks(b, b)
			})
		}
	})
}

func TestAllocationsGCM(t *testing.T) {
	each(t, func(t *testing.T, of func([]byte) *Cipher) {
		a, err := of(make([]byte, KeySize)).NewGCM(12, 16)
		if err != nil {
			t.Fatal(err)
		}
		nonce, data := make([]byte, 12), make([]byte, 13)
		for _, n := range []int{0, 64, 16384} {
			text := make([]byte, n, n+16)
			unallocated(t, n, func() {
				sealed := a.Seal(text[:0], nonce, text, data)
				if _, err := a.Open(sealed[:0], nonce, sealed, data); err != nil {
					t.Error(err)
				}
			})
		}
	})
}

func TestAllocationsXTS(t *testing.T) {
	key := make([]byte, 2*KeySize)
	key[0] = 1 // the halves have to differ
	x, err := NewXTS(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{64, 40, 512, 4096} {
		b := make([]byte, n)
		unallocated(t, n, func() {
			x.EncryptSector(b, b, 7)
			x.DecryptSector(b, b, 8)
		})
	}
}

func TestAllocationsMany(t *testing.T) {
	each(t, func(t *testing.T, of func([]byte) *Cipher) {
		c, many, vectors := of(make([]byte, KeySize)), make([][]byte, 100), make([][]byte, 100)
		for i := range many {
			many[i], vectors[i] = make([]byte, 16*i), make([]byte, 16)
		}
		unallocated(t, 16*len(many)*len(many)/2, func() { c.CBCEncryptMany(many, many, vectors) })
	})
}
