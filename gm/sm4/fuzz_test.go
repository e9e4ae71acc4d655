package sm4

import (
	"bytes"
	"crypto/cipher"
	"testing"

	"github.com/anole-os/anole/gm/internal/impl"
)

// All implementations make the same of any text, at any place, in every mode.
func FuzzModes(f *testing.F) {
	f.Add(make([]byte, 48), []byte("text"), []byte("data"), byte(0))
	f.Add(bytes.Repeat([]byte{0xff}, 48), bytes.Repeat([]byte{1}, 2049), make([]byte, 33), byte(7))
	f.Add([]byte("0123456789abcdeffedcba9876543210\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xf0"), make([]byte, 4000), []byte{}, byte(3))
	f.Fuzz(func(t *testing.T, keys, text, data []byte, shift byte) {
		if len(keys) < 48 || len(text) > 1<<16 {
			return
		}
		// At another distance from where memory is even.
		room := make([]byte, len(text)+int(shift%64))
		text = room[int(shift%64):][:copy(room[int(shift%64):], text)]
		want := inAllModes(t, openGeneric, keys, text, data)
		for _, l := range impl.Available() {
			open, ok := implementations[l]
			if !ok {
				continue
			}
			for mode, got := range inAllModes(t, open, keys, text, data) {
				if !bytes.Equal(got, want[mode]) {
					t.Errorf("%v, %s of %d bytes: not what the generic one makes", l, mode, len(text))
				}
			}
		}
	})
}

// inAllModes encrypts a text in all of them, and sees that it comes back.
func inAllModes(t *testing.T, open open, keys, text, data []byte) map[string][]byte {
	c, other := &Cipher{open((*[KeySize]byte)(keys))}, &Cipher{open((*[KeySize]byte)(keys[16:]))}
	iv := keys[32:48]
	out := map[string][]byte{}
	whole := text[:len(text)&^(BlockSize-1)]
	back := func(mode string, got, want []byte) {
		if !bytes.Equal(got, want) {
			t.Errorf("%s of %d bytes does not come back", mode, len(want))
		}
	}
	b := bytes.Clone(whole)
	c.EncryptBlocks(b, b)
	out["ECB"] = bytes.Clone(b)
	c.DecryptBlocks(b, b)
	back("ECB", b, whole)
	b = bytes.Clone(whole)
	cipher.NewCBCEncrypter(c, iv).CryptBlocks(b, b)
	out["CBC"] = bytes.Clone(b)
	cipher.NewCBCDecrypter(c, iv).CryptBlocks(b, b)
	back("CBC", b, whole)
	many := [][]byte{bytes.Clone(whole), bytes.Clone(whole[len(whole)/32*16:]), bytes.Clone(whole)}
	c.CBCEncryptMany(many, many, [][]byte{iv, iv, keys[:16]})
	out["CBC of many"] = bytes.Join(many, nil)
	b = bytes.Clone(text)
	cipher.NewCTR(c, iv).XORKeyStream(b, b)
	out["CTR"] = b
	for _, n := range []int{12, 16} {
		g, err := cipher.NewGCMWithNonceSize(c, n)
		if err != nil {
			t.Fatal(err)
		}
		sealed := g.Seal(nil, iv[:n], text, data)
		out["GCM"+string(rune('0'+n))] = bytes.Clone(sealed)
		opened, err := g.Open(sealed[:0], iv[:n], sealed, data)
		if err != nil {
			t.Errorf("GCM of %d bytes: %v", len(text), err)
		}
		back("GCM", opened, text)
	}
	ccm, err := c.NewCCM(12, 16)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) < 1<<16 {
		out["CCM"] = ccm.Seal(nil, iv[:12], text, data)
	}
	if len(text) >= BlockSize {
		for _, gb := range []bool{false, true} {
			x := &XTS{data: c, tweak: other, gb: gb}
			b := bytes.Clone(text)
			x.Encrypt(b, b, [BlockSize]byte(iv))
			out[map[bool]string{false: "XTS", true: "XTS of GB/T"}[gb]] = bytes.Clone(b)
			x.Decrypt(b, b, [BlockSize]byte(iv))
			back("XTS", b, text)
		}
	}
	return out
}
