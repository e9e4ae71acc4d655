package sm4

import (
	"bytes"
	"crypto/cipher"
	"fmt"
	"math/rand/v2"
	"testing"
)

// Any number of messages, of any lengths, in place or not, is what each is by itself.
func TestCBCEncryptMany(t *testing.T) {
	each(t, func(t *testing.T, of func([]byte) *Cipher) {
		r, pick := random(60), rand.New(random(61))
		for round := range 120 {
			c := of(some(r, KeySize))
			n := pick.IntN(200)
			if round < 20 {
				n = round
			}
			var dst, src, ivs, want, was [][]byte
			for range n {
				size := BlockSize * pick.IntN(12)
				if pick.IntN(10) == 0 {
					size = BlockSize * pick.IntN(300)
				}
				text, iv := some(r, size), some(r, BlockSize)
				w := make([]byte, size)
				cipher.NewCBCEncrypter(c, iv).CryptBlocks(w, text)
				out := make([]byte, size+pick.IntN(3))
				if pick.IntN(2) == 0 {
					out = text
				}
				dst, src, ivs, want, was = append(dst, out), append(src, text), append(ivs, iv), append(want, w), append(was, bytes.Clone(iv))
			}
			c.CBCEncryptMany(dst, src, ivs)
			for i := range want {
				if !bytes.Equal(dst[i][:len(want[i])], want[i]) || !bytes.Equal(dst[i][len(want[i]):], make([]byte, len(dst[i])-len(want[i]))) && &dst[i][0] != &src[i][0] {
					t.Fatalf("round %d: message %d of %d, %d bytes: not as it should be", round, i, n, len(want[i]))
				}
				if !bytes.Equal(ivs[i], was[i]) {
					t.Fatalf("message %d: its vector changed", i)
				}
			}
		}
		c, b := of(make([]byte, KeySize)), make([]byte, 64)
		for name, f := range map[string]func(){
			"fewer places":  func() { c.CBCEncryptMany(nil, [][]byte{b}, [][]byte{b[:16]}) },
			"fewer vectors": func() { c.CBCEncryptMany([][]byte{b}, [][]byte{b}, nil) },
			"no block":      func() { c.CBCEncryptMany([][]byte{b}, [][]byte{b}, [][]byte{b[:15]}) },
			"half a block":  func() { c.CBCEncryptMany([][]byte{b}, [][]byte{b[:24]}, [][]byte{b[:16]}) },
			"overlap":       func() { c.CBCEncryptMany([][]byte{b[1:]}, [][]byte{b[:32]}, [][]byte{b[:16]}) },
			"short place":   func() { c.CBCEncryptMany([][]byte{b[:16]}, [][]byte{b[:32]}, [][]byte{b[:16]}) },
		} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s: no panic", name)
					}
				}()
				f()
			}()
		}
	})
}

const manySize = 16384 + 64

func BenchmarkMany(b *testing.B) {
	c, err := NewCipher(make([]byte, KeySize))
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{16, 32, 48, 64, 80} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var src, ivs [][]byte
			for range n {
				src, ivs = append(src, make([]byte, manySize)), append(ivs, make([]byte, 16))
			}
			b.SetBytes(int64(n) * manySize)
			for b.Loop() {
				c.CBCEncryptMany(src, src, ivs)
			}
		})
	}
}
