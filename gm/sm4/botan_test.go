package sm4

import (
	"bytes"
	"crypto/cipher"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/anole-os/anole/internal/testkit"
)

// Botan reads what is written here, and the other way round: the modes that OpenSSL's
// command has not.
func TestBotan(t *testing.T) {
	botan := testkit.NeedPeer(t, "botan-3")
	file := filepath.Join(t.TempDir(), "text")
	run := func(in []byte, args ...string) []byte {
		t.Helper()
		if err := os.WriteFile(file, in, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(botan, append(append([]string{"cipher"}, args...), file)...).CombinedOutput()
		if err != nil {
			t.Fatalf("botan %v: %v: %s", args, err, out)
		}
		return out
	}
	each(t, func(t *testing.T, of func([]byte) *Cipher) {
		r, pick := random(70), rand.New(random(71))
		for range 6 {
			key, other, nonce, data, text := some(r, KeySize), some(r, KeySize), some(r, 12), some(r, 1+pick.IntN(40)), some(r, 16+pick.IntN(6000))
			with := func(mode string, key, nonce, data []byte) []string {
				return []string{"--cipher=SM4/" + mode, "--key=" + hex.EncodeToString(key), "--nonce=" + hex.EncodeToString(nonce), "--ad=" + hex.EncodeToString(data)}
			}
			c := of(key)
			gcm, err := cipher.NewGCM(c)
			if err != nil {
				t.Fatal(err)
			}
			ccm, err := c.NewCCM(12, 16)
			if err != nil {
				t.Fatal(err)
			}
			for mode, a := range map[string]cipher.AEAD{"GCM": gcm, "CCM(16,3)": ccm} {
				args := with(mode, key, nonce, data)
				sealed := a.Seal(nil, nonce, text, data)
				if theirs := run(text, args...); !bytes.Equal(theirs, sealed) {
					t.Fatalf("%s, %d bytes: it is not what botan makes of it", mode, len(text))
				}
				if back := run(sealed, append(args, "--decrypt")...); !bytes.Equal(back, text) {
					t.Fatalf("%s, %d bytes: botan reads something else", mode, len(text))
				}
			}
			x := &XTS{data: of(key), tweak: of(other)}
			tweak := [BlockSize]byte(some(r, BlockSize))
			got := make([]byte, len(text))
			x.Encrypt(got, text, tweak)
			args := with("XTS", append(bytes.Clone(key), other...), tweak[:], nil)
			if theirs := run(text, args...); !bytes.Equal(theirs, got) {
				t.Fatalf("XTS, %d bytes: it is not what botan makes of it", len(text))
			}
			if back := run(got, append(args, "--decrypt")...); !bytes.Equal(back, text) {
				t.Fatalf("XTS, %d bytes: botan reads something else", len(text))
			}
		}
	})
}
