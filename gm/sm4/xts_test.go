package sm4

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	peercipher "github.com/emmansun/gmsm/cipher"
	peer "github.com/emmansun/gmsm/sm4"
)

// All lengths of sectors, by both standards, in place and not, are what another
// implementation makes of them.
func TestXTS(t *testing.T) {
	each(t, func(t *testing.T, of func([]byte) *Cipher) {
		r, pick := random(20), rand.New(random(21))
		for n := 16; n < 2100; n++ {
			key, src := some(r, 2*KeySize), some(r, n)
			if n%100 == 0 {
				src = some(r, 4096*(1+pick.IntN(3))+pick.IntN(40))
			}
			number := pick.Uint64()
			tweak := numbered(number)
			for _, gb := range []bool{false, true} {
				en, err := peercipher.NewXTSEncrypter(peer.NewCipher, key[:KeySize], key[KeySize:], tweak[:])
				if gb {
					en, err = peercipher.NewGBXTSEncrypter(peer.NewCipher, key[:KeySize], key[KeySize:], tweak[:])
				}
				if err != nil {
					t.Fatal(err)
				}
				want := make([]byte, len(src))
				en.CryptBlocks(want, src)
				x := &XTS{of(key[:KeySize]), of(key[KeySize:]), gb}
				got := bytes.Repeat([]byte{9}, len(src)+5)
				x.EncryptSector(got, src, number)
				if !bytes.Equal(got[:len(src)], want) || !bytes.Equal(got[len(src):], []byte{9, 9, 9, 9, 9}) {
					t.Fatalf("%d bytes, GB %t: not as they should be", len(src), gb)
				}
				got = got[:len(src)]
				x.DecryptSector(got, got, number)
				if !bytes.Equal(got, src) {
					t.Fatalf("%d bytes, GB %t: do not come back", len(src), gb)
				}
				x.Encrypt(got, got, tweak)
				if !bytes.Equal(got, want) {
					t.Fatalf("%d bytes, GB %t: in place not as they should be", len(src), gb)
				}
				x.Decrypt(got, want, tweak)
				if !bytes.Equal(got, src) {
					t.Fatalf("%d bytes, GB %t: do not come back to another place", len(src), gb)
				}
			}
		}
	})
}

// Sectors in a row are what each is under its number.
func TestXTSSectors(t *testing.T) {
	each(t, func(t *testing.T, of func([]byte) *Cipher) {
		r, pick := random(22), rand.New(random(23))
		for range 300 {
			size, n, number, step := 16+pick.IntN(600), pick.IntN(40), pick.Uint64(), uint64(1+pick.IntN(9))
			if pick.IntN(3) == 0 {
				size = []int{512, 4096}[pick.IntN(2)]
			}
			key, src := some(r, 2*KeySize), some(r, size*n)
			x := &XTS{of(key[:KeySize]), of(key[KeySize:]), pick.IntN(2) == 0}
			want, got := make([]byte, len(src)), bytes.Clone(src)
			for i := range n {
				x.EncryptSector(want[i*size:(i+1)*size], src[i*size:(i+1)*size], number+step*uint64(i))
			}
			x.EncryptSectors(got, got, size, number, step)
			if !bytes.Equal(got, want) {
				t.Fatalf("%d sectors of %d bytes: not as each is", n, size)
			}
			if x.DecryptSectors(got, got, size, number, step); !bytes.Equal(got, src) {
				t.Fatalf("%d sectors of %d bytes: do not come back", n, size)
			}
		}
	})
}

func TestXTSWrongUse(t *testing.T) {
	var size XTSKeySizeError
	if _, err := NewXTS(make([]byte, 16)); !errors.As(err, &size) || size != 16 {
		t.Error(err)
	}
	if _, err := NewXTSGB(make([]byte, 32)); !errors.Is(err, errSameKeys) {
		t.Error(err)
	}
	key := make([]byte, 32)
	key[0] = 1
	x, err := NewXTS(key)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 64)
	for name, f := range map[string]func(){
		"not a full block":             func() { x.EncryptSector(b, b[:15], 0) },
		"shorter than input":           func() { x.DecryptSector(b[:31], b[:32], 0) },
		"not of full sectors":          func() { x.EncryptSectors(b, b, 40, 0, 1) },
		"input is not of full sectors": func() { x.EncryptSectors(b, b, 0, 0, 1) },
		"overlaps input":               func() { x.EncryptSector(b[1:33], b[:32], 0) },
	} {
		panics(t, name, f)
	}
}
