package sm2

import (
	"github.com/anole-os/anole/gm/internal/impl"
	"github.com/anole-os/anole/gm/internal/kat"
)

// GB/T 32918.5-2017, appendices A and C: the key, the signature over "message digest", and
// C1 C3 C2 of "encryption standard".
const (
	katScalar    = "3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8"
	katPoint     = "0409f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"
	katDigest    = "f0b43e94ba45accaace692ed534382eb17e6ab5a19ce7b31f4486fdfc0d28640"
	katNonce     = "59276e27d506861a16680f3ad9c02dccef3cc1fa3cdbe4ce6d54b80deac1bc21"
	katSignature = "3046022100f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3" +
		"022100b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa"
	katSealed = "0404ebfc718e8d1798620432268e77feb6415e2ede0e073c0f4f640ecd2e149a73e858f9d81e5430a57b36daab8f950a3c64e6ee6a63094d99283aff767e124df0" +
		"59983c18f809e262923c53aec295d30383b54e39d609d160afcb1908d0bd8766" + "21886ca989ca9c7d58087307ca93092d651efa"
	katOpened = "656e6372797074696f6e207374616e64617264"
)

// Checks are the self-tests. That a new key signs and verifies is for who makes one.
func Checks() []kat.Check {
	const public, decrypt, by = "SM2 public key", "SM2 decrypt", "gmsm"
	checks := []kat.Check{
		{Name: public, Implementation: by, Run: func() error {
			k, err := NewPrivateKey(kat.Hex(katScalar))
			if err != nil {
				return err
			}
			known, err := NewPublicKey(kat.Hex(katPoint))
			if err != nil {
				return err
			}
			return kat.True(public, by, k.PublicKey.Equal(known))
		}},
		{Name: decrypt, Implementation: by, Run: func() error {
			k, err := NewPrivateKey(kat.Hex(katScalar))
			if err != nil {
				return err
			}
			text, err := k.Decrypt(nil, kat.Hex(katSealed), nil)
			if err != nil {
				return err
			}
			return kat.Equal(decrypt, by, text, katOpened)
		}},
	}
	checks = append(checks, exchangeCheck())
	for _, l := range impl.Available() {
		if e, ok := engines[l]; ok {
			checks = append(checks, engineChecks(e, l.String())...)
		}
	}
	return checks
}

// engineChecks are of signing, with the standard's nonce, and of each way to verify.
func engineChecks(e eng, by string) []kat.Check {
	const sign, verify = "SM2 sign", "SM2 verify"
	return []kat.Check{
		{Name: sign, Implementation: by, Run: func() error {
			key, err := NewPrivateKey(kat.Hex(katScalar))
			if err != nil {
				return err
			}
			digest := wordsOf(kat.Hex(katDigest))
			k := wordsOf(kat.Hex(katNonce))
			all := []words{baseMultBy(e, &k)}
			if e != nil {
				ks, xs := [lane]words{}, [lane]words{}
				for i := range ks {
					ks[i] = k
				}
				e.baseMany(xs[:], ks[:])
				all = append(all, xs[:]...)
			}
			for i := range all {
				r, s, ok := NewSigner(key).finish(&digest, &k, &all[i])
				if !ok {
					return kat.ErrMismatch
				}
				if err := kat.Equal(sign, by, appendSignature(nil, &r, &s), katSignature); err != nil {
					return err
				}
			}
			return nil
		}},
		{Name: verify, Implementation: by, Run: func() error {
			pub, err := NewPublicKey(kat.Hex(katPoint))
			if err != nil {
				return err
			}
			good, bad := kat.Hex(katSignature), kat.Hex(katSignature)
			bad[len(bad)-1] ^= 1
			return kat.True(verify, by, takes(e, pub, good) && !takes(e, pub, bad))
		}},
	}
}

// takes says whether an engine takes a signature of katDigest by all of its ways.
func takes(e eng, pub *PublicKey, sig []byte) bool {
	digest := kat.Hex(katDigest)
	if e == nil {
		return plainVerify(pub, digest, sig) == nil
	}
	var all [lane]job
	j := &all[0]
	j.x, j.y = wordsOf(pub.X.FillBytes(make([]byte, 32))), wordsOf(pub.Y.FillBytes(make([]byte, 32)))
	if !j.read(digest, sig) {
		return false
	}
	for i := range all {
		all[i] = *j
	}
	answers := append([]answer{e.once(&j.x, &j.y, &j.claim), e.table(&j.x, &j.y).check(&j.claim)}, sliceOf(e.many(&all))...)
	for _, a := range answers {
		if !a.sure || a.ok != answers[0].ok {
			return false
		}
	}
	return answers[0].ok && e.onCurve(&j.x, &j.y)
}

func sliceOf(a [lane]answer) []answer { return a[:] }

// SelfTest runs Checks.
func SelfTest() error { return kat.Join(Checks()) }
