package zuc

import (
	"sync"

	"github.com/emmansun/gmsm/zuc"

	"github.com/anole-os/anole/gm/internal/kat"
)

// GM/T 0001.1-2012, example 1: a key and an IV of zeros. GM/T 0001.2-2012 and GM/T
// 0001.3-2012, which have the test sets of 3GPP's 128-EEA3 and 128-EIA3: set 1 of the former,
// and a message of 577 bits of the latter. ZUC-256: its paper's first examples.
const (
	katStream    = "27bede74018082da"
	katEEAKey    = "173d14ba5003731d7a60049470f00a29"
	katEEAText   = "6cf65340735552ab0c9752fa6f9025fe0bd675d9005875b200"
	katEEASealed = "a6c85fc66afb8533aafc2518dfe784940ee1e4b030238cc800"
	katEEABits   = 193
	katEIAKey    = "c9e6cec4607c72db000aefa88385ab0a"
	katEIAText   = "983b41d47d780c9e1ad11d7eb70391b1de0b35da2dc62f83e7b78d6306ca0ea07e941b7be91348f9fcb170e2217fecd97f9f68adb16e5d7d21e569d280ed775cebde3f4093c5388100000000"
	katEIABits   = 577
	katEIATag    = "fae8ff0b"
	katStream256 = "58d03ad62e032ce2dafc683a39bdcb03"
	katMAC256    = "d85e54bbcb9600967084c952a1654b26"
)

var (
	katEEAFrame = Frame{Count: 0x66035492, Bearer: 0xf}
	katEIAFrame = Frame{Count: 0xa94059da, Bearer: 0xa, Direction: 1}
)

// Checks are the self-tests. They ask no policy.
func Checks() []kat.Check {
	const stream, eea3, eia3, wide, mac, by = "ZUC key stream", "ZUC EEA", "ZUC EIA", "ZUC-256 key stream", "ZUC-256 MAC", "gmsm"
	keyStream := func(name string, key, iv int, known string) kat.Check {
		return kat.Check{Name: name, Implementation: by, Run: func() error {
			s, err := zuc.NewCipher(make([]byte, key), make([]byte, iv))
			if err != nil {
				return err
			}
			b := make([]byte, len(known)/2)
			s.XORKeyStream(b, b)
			return kat.Equal(name, by, b, known)
		}}
	}
	answer := func(name, known string, f func() ([]byte, error)) kat.Check {
		return kat.Check{Name: name, Implementation: by, Run: func() error {
			b, err := f()
			if err != nil {
				return err
			}
			return kat.Equal(name, by, b, known)
		}}
	}
	return []kat.Check{
		keyStream(stream, KeySize, IVSize, katStream),
		answer(eea3, katEEASealed, func() ([]byte, error) {
			return eea(kat.Hex(katEEAKey), katEEAFrame, kat.Hex(katEEAText), katEEABits)
		}),
		answer(eia3, katEIATag, func() ([]byte, error) {
			return eia(kat.Hex(katEIAKey), katEIAFrame, kat.Hex(katEIAText), katEIABits)
		}),
		keyStream(wide, KeySize256, IVSize256, katStream256),
		answer(mac, katMAC256, func() ([]byte, error) {
			return mac256(make([]byte, KeySize256), make([]byte, IVSize256), 16, make([]byte, 50), 400)
		}),
	}
}

// tested is the first run of Checks, before the first use, and what that came to.
var tested = sync.OnceValue(SelfTest)

// SelfTest runs Checks.
func SelfTest() error { return kat.Join(Checks()) }
