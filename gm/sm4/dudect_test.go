package sm4

import (
	"crypto/rand"
	"testing"

	"github.com/anole-os/anole/gm/internal/dudect"
)

// bytesOf are a class's: 0, or random.
func bytesOf(class, n int) []byte {
	b := make([]byte, n)
	if class == dudect.Random {
		_, _ = rand.Read(b)
	}
	return b
}

// Blocks and key schedules take as long for a key of zeros, and for a text of zeros, as for
// others. That the test finds what leaks is tested in gm/sm2.
func TestTime(t *testing.T) {
	each(t, func(t *testing.T, of func([]byte) *Cipher) {
		const size = 16 * BlockSize
		engines, keys, texts := [2][dudect.Inputs]engine{}, [2][dudect.Inputs][]byte{}, [2][dudect.Inputs][]byte{}
		for class := range engines {
			for i := range dudect.Inputs {
				keys[class][i], texts[class][i] = bytesOf(class, KeySize), bytesOf(class, size)
				engines[class][i] = of(keys[class][i]).e
			}
		}
		var e engine
		var src, dst [size]byte
		var key [KeySize]byte
		encrypt, decrypt := func() { e.encrypt(dst[:], src[:]) }, func() { e.decrypt(dst[:], src[:]) }
		byKey := func(class, i int) { e, src = engines[class][i], [size]byte(texts[dudect.Random][0]) }
		byText := func(class, i int) { e, src = engines[dudect.Random][0], [size]byte(texts[class][i]) }
		for _, c := range []dudect.Case{
			{Name: "encrypt, keys", Load: byKey, Run: encrypt},
			{Name: "encrypt, texts", Load: byText, Run: encrypt},
			{Name: "decrypt, keys", Load: byKey, Run: decrypt},
			{Name: "decrypt, texts", Load: byText, Run: decrypt},
			{Name: "a key", Load: func(class, i int) { key = [KeySize]byte(keys[class][i]) }, Run: func() { e = of(key[:]).e }},
		} {
			dudect.Constant(t, c)
		}
	})
}
