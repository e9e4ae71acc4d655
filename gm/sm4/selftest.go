package sm4

import (
	"bytes"
	"crypto/cipher"
	"slices"

	"github.com/anole-os/anole/gm/internal/impl"
	"github.com/anole-os/anole/gm/internal/kat"
)

// GB/T 32907-2016, appendix A, and RFC 8998, appendix A.
const (
	katKey   = "0123456789abcdeffedcba9876543210"
	katBlock = "681edf34d206965e86b3e94f536e4246"
	katNonce = "00001234567800000000abcd"
	katData  = "feedfacedeadbeeffeedfacedeadbeefabaddad2"
	katText  = "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccddddddddddddddddeeeeeeeeeeeeeeeeffffffffffffffffeeeeeeeeeeeeeeeeaaaaaaaaaaaaaaaa"
	katGCM   = "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d" +
		"83de3541e4c2b58177e065a9bf7b62ec"
	katCCM = "48af93501fa62adbcd414cce6034d895dda1bf8f132f042098661572e7483094fd12e518ce062c98acee28d95df4416bed31a2f04476c18bb40c84a74b97dc5b" +
		"16842d4fa186f56ab33256971fa110f4"
)

// Checks are the self-tests of each implementation that the processor has: known answers,
// and the same results as the generic one in all modes.
func Checks() (all []kat.Check) {
	const encrypt, decrypt, gcm, ccm, cross = "SM4 encrypt", "SM4 decrypt", "SM4-GCM", "SM4-CCM", "SM4 modes against generic"
	for _, l := range impl.Available() {
		open, ok := implementations[l]
		if !ok {
			continue
		}
		name := l.String()
		of := func() *Cipher { return &Cipher{open((*[KeySize]byte)(kat.Hex(katKey)))} }
		check := func(what string, run func(c *Cipher) error) {
			all = append(all, kat.Check{Name: what, Implementation: name, Run: func() error { return run(of()) }})
		}
		check(encrypt, func(c *Cipher) error {
			b := kat.Hex(katKey)
			c.Encrypt(b, b)
			return kat.Equal(encrypt, name, b, katBlock)
		})
		check(decrypt, func(c *Cipher) error {
			b := kat.Hex(katBlock)
			c.Decrypt(b, b)
			return kat.Equal(decrypt, name, b, katKey)
		})
		check(gcm, func(c *Cipher) error { return aeadAnswer(gcm, name, katGCM, c.NewGCM) })
		check(ccm, func(c *Cipher) error { return aeadAnswer(ccm, name, katCCM, c.NewCCM) })
		if l != impl.Generic {
			check(cross, func(c *Cipher) error {
				generic := &Cipher{implementations[impl.Generic]((*[KeySize]byte)(kat.Hex(katKey)))}
				return kat.True(cross, name, slices.EqualFunc(modes(c), modes(generic), bytes.Equal))
			})
		}
	}
	return all
}

// SelfTest runs Checks.
func SelfTest() error { return kat.Join(Checks()) }

// aeadAnswer seals the RFC's example, opens it, and has it refused once it is changed.
func aeadAnswer(name, implementation, want string, of func(nonce, tag int) (cipher.AEAD, error)) error {
	a, err := of(12, 16)
	if err != nil {
		return err
	}
	nonce, data := kat.Hex(katNonce), kat.Hex(katData)
	sealed := a.Seal(nil, nonce, kat.Hex(katText), data)
	if err := kat.Equal(name, implementation, sealed, want); err != nil {
		return err
	}
	if text, err := a.Open(nil, nonce, sealed, data); err != nil || !bytes.Equal(text, kat.Hex(katText)) {
		return kat.ErrMismatch
	}
	sealed[0] ^= 1
	if _, err := a.Open(nil, nonce, sealed, data); err == nil {
		return kat.ErrMismatch
	}
	return nil
}

// modes is what all modes make of a text that has long and short pieces, with counters
// that wrap.
func modes(c *Cipher) (out [][]byte) {
	text := make([]byte, 3*80*BlockSize+200)
	for i := range text {
		text[i] = byte(i*i>>3 + i)
	}
	blocks := text[:len(text)/BlockSize*BlockSize]
	iv := bytes.Repeat([]byte{0xff}, BlockSize)
	add := func(n int, f func(dst []byte)) {
		dst := make([]byte, n)
		f(dst)
		out = append(out, dst)
	}
	add(len(blocks), func(dst []byte) { c.EncryptBlocks(dst, blocks) })
	add(len(blocks), func(dst []byte) { c.DecryptBlocks(dst, blocks) })
	add(len(text), func(dst []byte) { c.NewCTR(iv).XORKeyStream(dst, text) })
	add(len(blocks), func(dst []byte) { c.NewCBCEncrypter(iv).CryptBlocks(dst, blocks) })
	add(len(blocks), func(dst []byte) { c.NewCBCDecrypter(iv).CryptBlocks(dst, blocks) })
	x := &XTS{data: c, tweak: c}
	add(520, func(dst []byte) { x.EncryptSector(dst, text[:520], 7) })
	add(520, func(dst []byte) { x.DecryptSector(dst, text[:520], 7) })
	if a, err := c.NewGCM(12, 16); err == nil {
		out = append(out, a.Seal(nil, iv[:12], text, iv))
	}
	return out
}
