package sm4

import (
	"bytes"
	"crypto/cipher"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"github.com/anole-os/anole/gm/internal/peer"
)

// OpenSSL reads what is written here, and the other way round, under random keys.
func TestOpenSSL(t *testing.T) {
	peer.EachOpenSSL(t, func(t *testing.T, o peer.OpenSSL) {
		each(t, func(t *testing.T, of func([]byte) *Cipher) { withOpenSSL(t, o, of) })
	})
}

func withOpenSSL(t *testing.T, o peer.OpenSSL, of func([]byte) *Cipher) {
	run := func(in []byte, args ...string) []byte {
		t.Helper()
		return o.Feed(t, in, append([]string{"enc", "-nopad"}, args...)...)
	}
	r, pick := random(50), rand.New(random(51))
	for range 3 {
		key, iv, text := some(r, KeySize), some(r, BlockSize), some(r, BlockSize*pick.IntN(3000))
		c, got := of(key), make([]byte, len(text))
		with := []string{"-K", hex.EncodeToString(key), "-iv", hex.EncodeToString(iv)}
		for mode, encrypt := range map[string]func(){
			"-sm4-ecb": func() { c.EncryptBlocks(got, text) },
			"-sm4-cbc": func() { cipher.NewCBCEncrypter(c, iv).CryptBlocks(got, text) },
			"-sm4-ctr": func() { cipher.NewCTR(c, iv).XORKeyStream(got, text) },
		} {
			args := append([]string{mode}, with...)
			if mode == "-sm4-ecb" {
				args = args[:3]
			}
			encrypt()
			if want := run(text, args...); !bytes.Equal(got, want) {
				t.Fatalf("%s, %d bytes: it is not what openssl makes of it", mode, len(text))
			}
			if back := run(got, append(args, "-d")...); !bytes.Equal(back, text) {
				t.Fatalf("%s, %d bytes: openssl reads something else", mode, len(text))
			}
		}
		// And what openssl wrote is read here.
		theirs := run(text, append([]string{"-sm4-cbc"}, with...)...)
		cipher.NewCBCDecrypter(c, iv).CryptBlocks(got, theirs)
		if !bytes.Equal(got, text) {
			t.Fatalf("CBC, %d bytes of openssl: they are not read", len(text))
		}
		theirs = run(text, "-sm4-ecb", "-K", hex.EncodeToString(key))
		c.DecryptBlocks(got, theirs)
		if !bytes.Equal(got, text) {
			t.Fatalf("ECB, %d bytes of openssl: they are not read", len(text))
		}
	}
}
