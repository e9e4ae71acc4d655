package sm9

import (
	"encoding/asn1"
	"math/big"
	"sync"

	"github.com/emmansun/gmsm/sm9"

	"github.com/anole-os/anole/gm/internal/kat"
)

// GM/T 0044.5-2016, annex A: the master key, Alice's key and her signature (h and S) over
// "Chinese IBS standard"; annex C: the master key, the capsule for Bob and its key; annex D:
// C1, C3 and C2 of "Chinese IBE standard" for Bob, under the master key of annex C.
const (
	katSignMaster = "0130e78459d78545cb54c587e02cf480ce0b66340f319f348a1d5b1f2dc5f4"
	katSignKey    = "04a5702f05cf1315305e2d6eb64b0deb923db1a0bcf0caff90523ac8754aa6982078559a844411f9825c109f5ee3f52d720dd01785392a727bb1556952b2b013d3"
	katH          = "823c4b21e4bd2dfe1ed92c606653e996668563152fc33f55d7bfbb9bd9705adb"
	katS          = "0473bf96923ce58b6ad0e13e9643a406d8eb98417c50ef1b29cef9adb48b6d598c856712f1c2e0968ab7769f42a99586aed139d5b8b3e15891827cc2aced9baa05"
	katMaster     = "01edee3778f441f8dea3d9fa0acc4e07ee36c93f9a08618af4ad85cede1c22"
	katCapsule    = "041edee2c3f465914491de44cefb2cb434ab02c308d9dc5e2067b4fed5aaac8a0f1c9b4c435eca35ab83bb734174c0f78fde81a53374aff3b3602bbc5e37be9a4c"
	katKey        = "4ff5cf86d2ad40c8f4bac98d76abdbde0c0e2f0a829d3f911ef5b2bce0695480"
	katC1         = "042445471164490618e1ee20528ff1d545b0f14c8bcaa44544f03dab5dac07d8ff42ffca97d57cddc05ea405f2e586feb3a6930715532b8000759f13059ed59ac0"
	katC3         = "ba672387bcd6de5016a158a52bb2e7fc429197bcab70b25afee37a2b9db9f367"
	katC2         = "1b5f5b0e951489682f3e64e1378cdd5da9513b1c"
	katOpened     = "4368696e65736520494245207374616e64617264"
)

// Checks are the self-tests: of what the standard has an example of that can be checked
// without its random numbers, and what gmsm tests of itself with those. They ask no policy.
func Checks() []kat.Check {
	const key, by = "SM9 user key", "gmsm"
	const verifies, capsule, opens, own = "SM9 verify", "SM9 decapsulate", "SM9 decrypt", "SM9 sign, exchange, encapsulate, encrypt"
	return []kat.Check{
		{Name: key, Implementation: by, Run: func() error {
			k, err := katUser()
			if err != nil {
				return err
			}
			return kat.Equal(key, by, k.Bytes(), katSignKey)
		}},
		{Name: verifies, Implementation: by, Run: func() error {
			k, err := katUser()
			if err != nil {
				return err
			}
			good, err := asn1.Marshal(struct {
				H []byte
				S asn1.BitString
			}{kat.Hex(katH), bits(katS)})
			if err != nil {
				return err
			}
			takes := func(msg string) bool { return verify(k.MasterPublic(), []byte("Alice"), []byte(msg), good) == nil }
			return kat.True(verifies, by, takes("Chinese IBS standard") && !takes("Chinese IBS Standard"))
		}},
		{Name: capsule, Implementation: by, Run: func() error {
			k, err := katBob()
			if err != nil {
				return err
			}
			sealed, err := asn1.Marshal(bits(katCapsule))
			if err != nil {
				return err
			}
			b, err := k.UnwrapKey([]byte("Bob"), sealed, len(katKey)/2)
			if err != nil {
				return err
			}
			return kat.Equal(capsule, by, b, katKey)
		}},
		{Name: opens, Implementation: by, Run: func() error {
			k, err := katBob()
			if err != nil {
				return err
			}
			sealed, err := asn1.Marshal(struct {
				Type   int
				C1     asn1.BitString
				C3, C2 []byte
			}{0, bits(katC1), kat.Hex(katC3), kat.Hex(katC2)})
			if err != nil {
				return err
			}
			b, err := decrypt(k, []byte("Bob"), sealed)
			if err != nil {
				return err
			}
			return kat.Equal(opens, by, b, katOpened)
		}},
		{Name: own, Implementation: by, Run: func() error { return kat.True(own, by, sm9.SelfTest() == nil) }},
	}
}

func bits(s string) asn1.BitString {
	b := kat.Hex(s)
	return asn1.BitString{Bytes: b, BitLength: 8 * len(b)}
}

// number is the DER of a master key.
func number(s string) ([]byte, error) { return asn1.Marshal(new(big.Int).SetBytes(kat.Hex(s))) }

func katUser() (*SignKey, error) {
	der, err := number(katSignMaster)
	if err != nil {
		return nil, err
	}
	master, err := parse(sm9.UnmarshalSignMasterPrivateKeyASN1, der)
	if err != nil {
		return nil, err
	}
	return master.GenerateUserKey([]byte("Alice"), ForSigning)
}

func katBob() (*EncryptKey, error) {
	der, err := number(katMaster)
	if err != nil {
		return nil, err
	}
	master, err := parse(sm9.UnmarshalEncryptMasterPrivateKeyASN1, der)
	if err != nil {
		return nil, err
	}
	return master.GenerateUserKey([]byte("Bob"), ForEncryption)
}

// tested is the first run of Checks, before the first use, and what that came to.
var tested = sync.OnceValue(SelfTest)

// SelfTest runs Checks.
func SelfTest() error { return kat.Join(Checks()) }
