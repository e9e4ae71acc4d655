package sm4

import (
	"bytes"
	"crypto/cipher"
	"testing"
)

// Texts that kernels take in several stretches are what they are in one: each mode against
// pieces of another size.
func TestStretches(t *testing.T) {
	each(t, func(t *testing.T, of func([]byte) *Cipher) {
		r := random(80)
		c := of(some(r, KeySize))
		if _, ok := c.e.(*generic); ok {
			return // takes no stretches, and long
		}
		text, iv := some(r, (2*stretch+37)*BlockSize), some(r, BlockSize)
		whole, pieces := make([]byte, len(text)), make([]byte, len(text))
		inPieces := func(do func(dst, src []byte)) {
			const n = 1003 * BlockSize
			for at := 0; at < len(text); at += n {
				end := min(len(text), at+n)
				do(pieces[at:end], text[at:end])
			}
		}
		same := func(what string) {
			t.Helper()
			if !bytes.Equal(whole, pieces) {
				t.Errorf("%s: not the same at once", what)
			}
		}
		c.EncryptBlocks(whole, text)
		inPieces(c.EncryptBlocks)
		same("ECB")
		cipher.NewCTR(c, iv).XORKeyStream(whole, text)
		inPieces(cipher.NewCTR(c, iv).XORKeyStream)
		same("CTR")
		cipher.NewCBCEncrypter(c, iv).CryptBlocks(whole, text)
		inPieces(cipher.NewCBCEncrypter(c, iv).CryptBlocks)
		same("CBC")
		c.CBCEncryptMany([][]byte{whole, make([]byte, 16)}, [][]byte{text, iv}, [][]byte{iv, iv})
		same("CBC of many")
		a, b := c.e.hasher(), c.e.hasher()
		var one, two [BlockSize]byte
		a.hash(&one, text)
		for at := 0; at < len(text); at += BlockSize * 1003 {
			b.hash(&two, text[at:min(len(text), at+BlockSize*1003)])
		}
		if one != two {
			t.Error("GHASH: not the same at once")
		}
		// The last blocks of a long sector are those that a generic engine makes.
		key := some(r, KeySize)
		x := &XTS{data: of(key), tweak: c}
		y := &XTS{data: &Cipher{openGeneric((*[KeySize]byte)(key))}, tweak: c}
		x.EncryptSector(whole, text, 5)
		y.EncryptSector(pieces, text, 5)
		same("XTS")
	})
}
